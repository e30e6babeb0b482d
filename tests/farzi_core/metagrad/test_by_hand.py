"""Operations that the engine differentiates by hand give what autograd gives, and are left to autograd where they might not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from farzi_core.metagrad import AdamConfig, compute_meta_gradient, unrolled_meta_gradient
from farzi_core.metagrad import by_hand as by_hand_module
from farzi_core.metagrad.by_hand import DerivativesByHand
from farzi_core.metagrad.log_sum_exp import log_sum_exp
from farzi_core.metagrad.param_products import OwedProducts, Treatment, multiply
from tests.farzi_core.metagrad.conftest import Problem, Tensors, largest_error

ADAM = AdamConfig(lr=5e-3, betas=(0.95, 0.975))
N, V, H = 6, 7, 4


@dataclass
class Calls:
    products: int = 0
    log_sums: int = 0


@pytest.fixture(autouse=True)
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Counts what is done by hand, however small it is."""
    counted = Calls()

    def counting_multiply(left: Tensor, right: Tensor, treatment: Treatment) -> Tensor:
        counted.products += 1
        return multiply(left, right, treatment)

    def counting_log_sum_exp(logits: Tensor) -> Tensor:
        counted.log_sums += 1
        return log_sum_exp(logits)

    monkeypatch.setattr(by_hand_module, "MIN_MULTIPLICATIONS", 0)
    monkeypatch.setattr(by_hand_module, "MIN_LOGITS", 0)
    monkeypatch.setattr(by_hand_module, "multiply", counting_multiply)
    monkeypatch.setattr(by_hand_module, "log_sum_exp", counting_log_sum_exp)
    return counted


def make_problem(inner_loss: Callable[[Tensors, Tensors, int], Tensor]) -> Problem:
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    params = {"table": normal(V, H), "mixing": normal(H, H), "scale": normal(H)}
    synthetic = {"probabilities": normal(2, N // 2, V).softmax(-1), "latents": normal(N, H)}
    return Problem(inner_loss, lambda params: sum((p.sin().sum() for p in params.values()), torch.zeros(())), params, synthetic)


def soft_tokens(params: Tensors, synthetic: Tensors, step: int) -> Tensor:
    embedded = synthetic["probabilities"] @ params["table"]
    hidden = torch.tanh(embedded @ params["mixing"]) * params["scale"]
    normalizers = functional.linear(hidden, params["table"]).logsumexp(-1)
    return (normalizers - (hidden * embedded).sum(-1)).mean()


def transposed_views(params: Tensors, synthetic: Tensors, step: int) -> Tensor:
    hidden = torch.matmul(synthetic["latents"], params["mixing"].T).tanh()
    rows = torch.mm(hidden, params["table"].t()) + hidden.mm(params["table"].transpose(0, 1)) * hidden.matmul(
        params["table"].mT
    )
    return torch.logsumexp(rows, dim=1).square().mean() + torch.logsumexp(input=rows, dim=-1).mean()


def used_in_every_way(params: Tensors, synthetic: Tensors, step: int) -> Tensor:
    """Data and parameters that have a part in products, and another one elsewhere."""
    probabilities, table = synthetic["probabilities"], params["table"]
    entropy = (probabilities * probabilities.log()).sum()
    twice = probabilities @ table + (probabilities @ (table * table)) + probabilities[:, :1] @ table
    wide = probabilities @ torch.cat([table, table], 1)
    return twice.cos().mean() * entropy + wide.sin().mean() + table.pow(3).mean() + (twice @ params["mixing"]).square().mean()


def constant_inputs(params: Tensors, synthetic: Tensors, step: int) -> Tensor:
    inputs = torch.linspace(-1.0, 1.0, N * H, dtype=params["mixing"].dtype).view(N, H) * (step + 1)
    return ((inputs @ params["mixing"]).tanh() * synthetic["latents"]).sum(-1).logsumexp(0) + (
        inputs @ params["mixing"] @ params["table"].T
    ).logsumexp(-1).mean()


def masked_logits(params: Tensors, synthetic: Tensors, step: int) -> Tensor:
    logits = (synthetic["latents"] @ params["mixing"]) @ params["table"].T
    hidden_events = torch.arange(V) % 3 == step % 3
    return logits.masked_fill(hidden_events, -torch.inf).logsumexp(-1).mean()


def data_made_inside(params: Tensors, synthetic: Tensors, step: int) -> Tensor:
    """Factors that synthetic data alone has a part in, whole and by rows, and one that is a parameter itself."""
    tokens = (synthetic["latents"] @ synthetic["latents"].T[:, :H]).softmax(-1)
    rows = synthetic["probabilities"][[step % 2]].log_softmax(-1) @ params["table"]
    return (tokens @ params["mixing"]).cos().mean() + rows.square().mean() + (params["table"] @ params["mixing"]).sin().sum()


def minibatches(params: Tensors, synthetic: Tensors, step: int) -> Tensor:
    """Rows by their numbers, one of them twice and one from the end, some changed in place, next to the whole."""
    numbers = torch.tensor([step % N, 2, -1, 2])
    batch, others = synthetic["latents"][numbers], synthetic["latents"][numbers[:2]].mul_(2.0)
    hidden = (batch @ params["mixing"]).tanh() * batch.square() + (others @ params["mixing"]).sin().sum()
    whole = (synthetic["latents"] @ params["mixing"]).cos().mean()
    return (hidden @ params["table"].T).logsumexp(-1).mean() + whole * synthetic["probabilities"][torch.tensor([1])].log().sum()


LOSSES = [soft_tokens, transposed_views, used_in_every_way, constant_inputs, masked_logits, data_made_inside, minibatches]


def solve_both(problem: Problem, num_steps: int, **options: Any) -> float:
    expected = unrolled_meta_gradient(
        problem.inner_loss, problem.outer_loss, problem.start_params, problem.synthetic, ADAM, num_inner_steps=num_steps
    )
    result = problem.solve(ADAM, num_inner_steps=num_steps, **options)
    assert result.replay_error == 0.0
    return largest_error(result, expected)


@pytest.mark.parametrize("inner_loss", LOSSES)
@pytest.mark.parametrize("method", ["stored", "checkpointed"])
@pytest.mark.parametrize("budget", [None, 20_000])
def test_what_is_done_by_hand_equals_autograd(calls: Calls, inner_loss: Any, method: str, budget: int | None) -> None:
    assert solve_both(make_problem(inner_loss), 12, method=method, memory_budget_bytes=budget) <= 1e-9
    assert calls.products > 0


@pytest.mark.parametrize("inner_loss", LOSSES)
def test_with_reversed_states(inner_loss: Any) -> None:
    assert solve_both(make_problem(inner_loss), 12, method="reversed") <= 1e-5


def test_soft_tokens_are_done_by_hand_whole(calls: Calls) -> None:
    problem = make_problem(soft_tokens)
    problem.solve(ADAM, num_inner_steps=1, method="stored")
    assert (calls.products, calls.log_sums) == (3, 1)


def gradient_penalty(params: Tensors, synthetic: Tensors, step: int) -> Tensor:
    loss = soft_tokens(params, synthetic, step)
    (slope,) = torch.autograd.grad(loss, params["table"], create_graph=True)
    return loss + slope.square().sum()


def function_transform(params: Tensors, synthetic: Tensors, step: int) -> Tensor:
    rows: Tensor = torch.func.vmap(lambda row: (row @ params["table"]).logsumexp(-1))(synthetic["probabilities"])
    return rows.square().sum()


def inner_function_gradient(params: Tensors, synthetic: Tensors, step: int) -> Tensor:
    def loss(table: Tensor) -> Tensor:
        return (synthetic["probabilities"] @ table).logsumexp(-1).sum()

    slope: Tensor = torch.func.grad(loss)(params["table"])
    return slope.square().sum() + loss(params["table"])


def activation_checkpointing(params: Tensors, synthetic: Tensors, step: int) -> Tensor:
    def block(hidden: Tensor) -> Tensor:
        return ((hidden @ params["mixing"]).tanh() @ params["table"].T).logsumexp(-1)

    result: Tensor = checkpoint(block, synthetic["probabilities"] @ params["table"], use_reentrant=False)
    return result.square().mean()


def checkpointed_rows(params: Tensors, synthetic: Tensors, step: int) -> Tensor:
    def block(table: Tensor) -> Tensor:
        return (synthetic["latents"][torch.tensor([3, step % N])] @ params["mixing"]).tanh() @ table.T

    result: Tensor = checkpoint(block, params["table"], use_reentrant=False)
    return result.square().mean()


def compiled(params: Tensors, synthetic: Tensors, step: int) -> Tensor:
    function = torch.compile(lambda left, right: (left @ right).tanh().logsumexp(-1), backend="eager")
    result: Tensor = function(synthetic["probabilities"], params["table"])
    return result.square().mean()


def clipped_gradient(params: Tensors, synthetic: Tensors, step: int) -> Tensor:
    table = params["table"] * 1.0
    table.register_hook(lambda slope: slope.tanh())  # type: ignore[no-untyped-call]
    return soft_tokens(params | {"table": table}, synthetic, step)


def sparse_inputs(params: Tensors, synthetic: Tensors, step: int) -> Tensor:
    counts = torch.eye(N, V, dtype=params["table"].dtype).to_sparse()
    return ((counts @ params["table"]) * synthetic["latents"]).sum().tanh()


@pytest.mark.parametrize(
    "inner_loss",
    [
        gradient_penalty,
        clipped_gradient,
        sparse_inputs,
        function_transform,
        inner_function_gradient,
        activation_checkpointing,
        checkpointed_rows,
        compiled,
    ],
)
def test_losses_that_differentiate_in_their_own_way_still_work(inner_loss: Any) -> None:
    assert solve_both(make_problem(inner_loss), 6) <= 1e-9


def test_an_ensemble_equals_the_loop_over_its_members() -> None:
    problem = make_problem(soft_tokens)
    members = {name: torch.stack([value, value.flip(0)]) for name, value in problem.start_params.items()}
    together = compute_meta_gradient(
        problem.inner_loss, problem.outer_loss, members, problem.synthetic, ADAM, num_inner_steps=4, ensemble=True
    )
    for name in problem.synthetic:
        alone = [
            compute_meta_gradient(
                problem.inner_loss,
                problem.outer_loss,
                {key: value[index] for key, value in members.items()},
                problem.synthetic,
                ADAM,
                num_inner_steps=4,
            ).synthetic[name]
            for index in range(2)
        ]
        torch.testing.assert_close(together.synthetic[name], torch.stack(alone).mean(0))


def test_autograd_sees_the_rows_that_a_loss_takes_and_not_the_data() -> None:
    problem = make_problem(minibatches)
    params = {name: value.requires_grad_() for name, value in problem.start_params.items()}
    data = {name: value.requires_grad_() for name, value in problem.synthetic.items()}
    with DerivativesByHand(params.values(), data) as by_hand:
        rows = data["probabilities"][torch.tensor([1, -1])]
        parts = (data["probabilities"][0], data["probabilities"][[1]], data["probabilities"][torch.tensor([True, False])])
    (taken,) = by_hand.rows
    assert taken.taken is rows
    assert (taken.name, taken.numbers.tolist(), taken.values.is_leaf) == ("probabilities", [1, 1], True)
    assert torch.autograd.grad(rows.sum(), [taken.values, data["probabilities"]], allow_unused=True)[1] is None
    assert torch.equal(rows, problem.synthetic["probabilities"][[1, 1]])
    assert not any(part.is_leaf for part in parts), "what is not row numbers stays with autograd"


def test_autocast_is_left_alone(calls: Calls) -> None:
    problem = make_problem(soft_tokens).to(torch.float32)

    def inner_loss(params: Tensors, synthetic: Tensors, step: int) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return soft_tokens(params, synthetic, step).float()

    compute_meta_gradient(
        inner_loss, problem.outer_loss, problem.start_params, problem.synthetic, ADAM, num_inner_steps=2, method="stored"
    )
    assert calls == Calls()


def test_first_and_second_derivatives_of_log_sum_exp() -> None:
    logits = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(log_sum_exp, logits)
    assert torch.autograd.gradgradcheck(log_sum_exp, logits)


@pytest.mark.parametrize("row", [[0.0, -torch.inf, 2.0], [-torch.inf] * 3, [torch.inf, 1.0, 2.0], [1e4, -1e4, 1e4]])
def test_log_sum_exp_of_rows_at_the_edge(row: list[float]) -> None:
    logits = torch.tensor([row, [1.0, 2.0, 3.0]], dtype=torch.float64)
    assert torch.equal(log_sum_exp(logits), torch.logsumexp(logits, -1))


@pytest.mark.parametrize("left_varies", [True, False])
def test_first_and_second_derivatives_of_a_product(left_varies: bool) -> None:
    left = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=left_varies)
    right = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)

    def product(left: Tensor, right: Tensor) -> Tensor:
        return multiply(left, right, Treatment(None, gradient_is_known=False, left_has_params=True))

    assert torch.autograd.gradcheck(product, (left, right))
    assert torch.autograd.gradgradcheck(product, (left, right))


def test_what_is_owed_is_added_once() -> None:
    total, owed = torch.ones(2, 3, 4, dtype=torch.float64), OwedProducts()
    assert not owed.add_to(total)
    first, second = (
        (torch.randn(6, 5, dtype=torch.float64), torch.randn(4, 5, dtype=torch.float64)),
        (
            torch.randn(6, 2, dtype=torch.float64),
            torch.randn(4, 2, dtype=torch.float64),
        ),
    )
    owed.pairs.extend([first, second])
    assert owed.add_to(total)
    expected = 1.0 + first[0] @ first[1].T + second[0] @ second[1].T
    torch.testing.assert_close(total.view(6, 4), expected)
    assert not owed.add_to(total)


@pytest.mark.parametrize(("least", "expected"), [(0, Calls(3, 1)), (10_000, Calls())])
def test_small_operations_stay_with_autograd(
    calls: Calls, monkeypatch: pytest.MonkeyPatch, least: int, expected: Calls
) -> None:
    monkeypatch.setattr(by_hand_module, "MIN_MULTIPLICATIONS", least)
    monkeypatch.setattr(by_hand_module, "MIN_LOGITS", least)
    problem = make_problem(soft_tokens)
    params = {name: value.requires_grad_() for name, value in problem.start_params.items()}
    with DerivativesByHand(params.values()):
        soft_tokens(params, problem.synthetic, 0)
    assert calls == expected


@pytest.mark.parametrize("name", ["product", "log_sum_exp"])
def test_a_third_derivative_is_refused(name: str) -> None:
    left, right = (torch.randn(3, 3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    product = multiply(left, right, Treatment(None, gradient_is_known=False, left_has_params=True))
    value = product.square().sum() if name == "product" else log_sum_exp(left).square().sum()
    (first,) = torch.autograd.grad(value, left, create_graph=True)
    with pytest.raises(NotImplementedError, match="third derivative"):
        torch.autograd.grad(first.square().sum(), left, create_graph=True)
