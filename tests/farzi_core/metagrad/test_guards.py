"""What goes wrong inside a caller's loss comes out as a sentence with a remedy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional as F  # noqa: N812

from farzi_core.errors import ConfigError, NumericalError
from farzi_core.metagrad import AdamConfig, NotDifferentiableError
from farzi_core.metagrad.guards import check_finite
from tests.farzi_core.metagrad.conftest import Problem

Tensors = dict[str, Tensor]
InnerLoss = Callable[[Tensors, Tensors, int], Tensor]

PARAMS = {"w": torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)}
SYNTHETIC = {"x": torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64)}
METHODS = ("stored", "offloaded", "checkpointed", "reversed", "truncated", "published", "unrolled")


def good_loss(params: Tensors, synthetic: Tensors, step: int) -> Tensor:
    return (params["w"] * synthetic["x"]).tanh().square().sum()


def problem(inner_loss: InnerLoss = good_loss, outer_loss: Callable[[Tensors], Tensor] | None = None) -> Problem:
    return Problem(inner_loss, outer_loss or (lambda params: params["w"].square().sum()), dict(PARAMS), dict(SYNTHETIC))


@pytest.mark.parametrize("method", METHODS)
def test_detached_params_are_explained(method: str) -> None:
    detached = problem(lambda p, x, step: (p["w"].detach() * x["x"].detach()).sum())
    with pytest.raises(NotDifferentiableError, match=r"inner_loss does not depend on params.*Remove \.detach"):
        detached.solve(num_inner_steps=2, method=method, window=1)


def test_detached_synthetic_data_are_explained() -> None:
    detached = problem(lambda p, x, step: (p["w"] * x["x"].detach()).square().sum())
    with pytest.raises(NotDifferentiableError, match=r"depends on none of the synthetic tensors.*remove"):
        detached.solve(num_inner_steps=2)


@pytest.mark.parametrize("method", METHODS)
def test_a_loss_that_uses_no_synthetic_data_is_explained(method: str) -> None:
    unused = problem(lambda p, x, step: p["w"].square().sum())
    with pytest.raises(NotDifferentiableError, match=r"depends on none of the synthetic tensors.*use the synthetic data"):
        unused.solve(num_inner_steps=3, method=method, window=1)


def test_no_synthetic_data_at_all_are_allowed() -> None:
    nothing = replace(problem(lambda p, x, step: p["w"].square().sum()), synthetic={})
    for method in METHODS:
        result = nothing.solve(num_inner_steps=3, method=method, window=3)
        assert result.meta_gradient_norm == 0.0
        assert bool(result.start_params["w"].any())


def test_detached_outer_loss_is_explained() -> None:
    with pytest.raises(NotDifferentiableError, match="outer_loss does not depend on params"):
        problem(outer_loss=lambda p: p["w"].detach().sum()).solve(num_inner_steps=2)


@pytest.mark.parametrize("name", ["w", "x"])
def test_in_place_changes_are_explained_and_never_reach_the_caller(name: str) -> None:
    def changing(params: Tensors, synthetic: Tensors, step: int) -> Tensor:
        with torch.no_grad():
            (params if name == "w" else synthetic)[name].mul_(2.0)
        return good_loss(params, synthetic, step)

    given = problem(changing)
    with pytest.raises(NotDifferentiableError, match=r"in place.*instead of x.mul_"):
        given.solve(num_inner_steps=2)
    assert torch.equal(given.start_params["w"], torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64))
    assert torch.equal(given.synthetic["x"], torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64))


def test_in_place_changes_of_differentiated_params_are_explained() -> None:
    with pytest.raises(NotDifferentiableError, match=r"in place.*instead of x.mul_"):
        problem(lambda p, x, step: (p["w"].mul_(2.0) * x["x"]).sum()).solve(num_inner_steps=2)


def test_fused_attention_without_double_backward_is_explained() -> None:
    def fused(params: Tensors, synthetic: Tensors, step: int) -> Tensor:
        queries = torch.outer(params["w"], synthetic["x"]).view(1, 1, 3, 3)
        return F.scaled_dot_product_attention(queries, queries, queries).square().sum()

    with pytest.raises(NotDifferentiableError, match=r"cannot be differentiated twice .*write out the softmax"):
        problem(fused).solve(num_inner_steps=2)


class Cube(Function):
    """An operation without forward-mode derivative."""

    @staticmethod
    def forward(value: Tensor) -> Tensor:
        return value**3

    @staticmethod
    def setup_context(ctx: object, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)  # type: ignore[attr-defined]

    @staticmethod
    def backward(ctx: object, cotangent: Tensor) -> Tensor:
        (value,) = ctx.saved_tensors  # type: ignore[attr-defined]
        result: Tensor = 3 * value**2 * cotangent
        return result


def test_operations_without_forward_mode_point_at_the_other_order() -> None:
    cubed = problem(lambda p, x, step: Cube.apply(p["w"] * x["x"]).sum())  # type: ignore[no-untyped-call]
    with pytest.raises(NotDifferentiableError, match="reverse_over_reverse"):
        cubed.solve(num_inner_steps=2, product="forward_over_reverse")
    expected = problem(lambda p, x, step: ((p["w"] * x["x"]) ** 3).sum()).solve(num_inner_steps=2)
    torch.testing.assert_close(cubed.solve(num_inner_steps=2).synthetic, expected.synthetic)


def test_a_callers_own_error_passes_unchanged() -> None:
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        problem(lambda p, x, step: p["w"].view(1, 3) @ x["x"].view(1, 3)).solve(num_inner_steps=2)


def test_a_loss_that_is_no_scalar_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"inner_loss returned a tensor of shape \(3,\); return one number"):
        problem(lambda p, x, step: p["w"] * x["x"]).solve(num_inner_steps=2)
    with pytest.raises(ConfigError, match="outer_loss returned float"):
        problem(outer_loss=lambda p: 1.0).solve(num_inner_steps=2)  # type: ignore[arg-type,return-value]


@pytest.mark.parametrize("method", METHODS)
def test_a_loss_that_becomes_infinite_names_its_step(method: str) -> None:
    with pytest.raises(NumericalError, match="inner_loss is NaN or infinite at inner step 3; lower") as caught:
        problem(lambda p, x, step: good_loss(p, x, step) / (3.0 - step)).solve(num_inner_steps=9, method=method, window=4)
    assert (caught.value.step, caught.value.tensor) == (3, "inner_loss")


@pytest.mark.parametrize("method", METHODS)
def test_a_gradient_that_is_nan_names_its_parameter(method: str) -> None:
    given = problem(lambda p, x, step: good_loss(p, x, step) + (p["w"] * 0).sum() + p["b"].sqrt().sum())
    given.start_params["b"] = torch.zeros(2, dtype=torch.float64)
    with pytest.raises(NumericalError, match="the inner gradient of 'b'") as caught:
        given.solve(num_inner_steps=2, method=method, window=1)
    assert caught.value.step == 0


def test_autograd_through_a_root_of_zero_is_explained_and_the_engine_does_without() -> None:
    given = problem(lambda p, x, step: good_loss(p, x, step) + p["b"].square().sum(), lambda p: p["w"].sum() + p["b"].sum())
    given.start_params["b"] = torch.zeros(2, dtype=torch.float64)
    adam = AdamConfig(eps_root=0.0)
    with pytest.raises(NumericalError, match=r"the adjoint of 'b' .* raise eps_root if it is 0"):
        given.solve(adam, num_inner_steps=2, method="unrolled")
    result = given.solve(adam, num_inner_steps=2, method="stored")
    assert all(bool(value.isfinite().all()) for value in (*result.synthetic.values(), *result.start_params.values()))


def test_an_adjoint_that_is_infinite_names_its_parameter_and_step() -> None:
    # Finite value and gradient at 0, infinite second derivative.
    def kinked(params: Tensors, synthetic: Tensors, step: int) -> Tensor:
        loss = good_loss(params, synthetic, step)
        return loss + params["b"].abs().pow(1.5).sum() if step == 0 else loss

    given = problem(kinked)
    given.start_params["b"] = torch.zeros(2, dtype=torch.float64)
    given = replace(given, outer_loss=lambda p: p["w"].sum() + p["b"].sum())
    with pytest.raises(NumericalError, match="the adjoint of 'b'") as caught:
        given.solve(num_inner_steps=2)
    assert caught.value.step == 0


def test_an_infinite_outer_loss_is_named() -> None:
    with pytest.raises(NumericalError, match="outer_loss"):
        problem(outer_loss=lambda p: p["w"].sum() / 0.0).solve(num_inner_steps=2)


def test_finite_values_whose_sum_overflows_are_no_error() -> None:
    check_finite(torch.tensor([3e38, 3e38]), "values", 0)
    for bad in (float("nan"), float("inf"), float("-inf")):
        with pytest.raises(NumericalError, match="values is NaN or infinite at inner step 7"):
            check_finite(torch.tensor([3e38, bad, 3e38]), "values", 7)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "magic"}, "method='magic' is not known; allowed: stored, offloaded, checkpointed, reversed, truncated"),
        ({"product": "sideways"}, "product='sideways' is not known; allowed: auto, forward_over_reverse"),
        ({"num_inner_steps": 0}, "num_inner_steps=0 trains nothing"),
        ({"method": "truncated"}, "window=None; give the number"),
        ({"method": "truncated", "window": 0}, "window=0; give the number"),
    ],
)
def test_arguments_out_of_range_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        problem().solve(**options)  # type: ignore[arg-type]


def test_tensors_without_gradients_are_refused() -> None:
    given = problem()
    with pytest.raises(ConfigError, match=r"synthetic\['x'\] is torch.int64"):
        replace(given, synthetic={"x": torch.tensor([1, 2, 3])}).solve()
    with pytest.raises(ConfigError, match=r"start_params are torch.int64"):
        replace(given, start_params={"w": torch.tensor([1, 2, 3])}).solve()
    with pytest.raises(ConfigError, match="start_params holds no tensors"):
        replace(given, start_params={}).solve()
    with pytest.raises(ConfigError, match=r"mixes torch.float32 on cpu, torch.float64 on cpu"):
        replace(given, start_params={**PARAMS, "b": torch.zeros(1)}).solve()


@pytest.mark.parametrize("error", [RuntimeError, NotImplementedError, ValueError])
@pytest.mark.parametrize("message", ["", "out of my range"])
def test_an_error_of_the_loss_itself_passes_unchanged(error: type[Exception], message: str) -> None:
    def broken(params: Tensors, synthetic: Tensors, step: int) -> Tensor:
        raise error(message)

    with pytest.raises(error, match=f"^{message}$") as caught:
        problem(broken).solve(num_inner_steps=2)
    assert type(caught.value) is error
