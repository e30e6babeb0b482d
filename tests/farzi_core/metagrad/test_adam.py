"""adam_step against torch.optim.Adam, and adam_step_reverse against autograd."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from farzi_core.errors import ConfigError
from farzi_core.metagrad import AdamAdjoint, AdamConfig, AdamState, adam_step, adam_step_reverse, init_state


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.95, 0.975), (0.0, 0.0)])
def test_steps_are_those_of_torch(dtype: torch.dtype, betas: tuple[float, float]) -> None:
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(3, 2, generator=generator, dtype=dtype)
    config = AdamConfig(lr=0.02, betas=betas, eps=1e-6, eps_root=0.0)
    state, theirs = init_state(start), start.clone().requires_grad_()
    optimizer = torch.optim.Adam([theirs], lr=0.02, betas=betas, eps=1e-6)
    for _ in range(50):
        grad = torch.randn(3, 2, generator=generator, dtype=dtype)
        state = adam_step(state, grad, config)
        theirs.grad = grad
        optimizer.step()
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5
    torch.testing.assert_close(state.params, theirs.detach(), rtol=tolerance, atol=tolerance)


def test_a_step_changes_none_of_its_inputs() -> None:
    before = AdamState(torch.randn(4), torch.randn(4), torch.rand(4), step=2)
    copies = [before.params.clone(), before.exp_avg.clone(), before.exp_avg_sq.clone()]
    grad = torch.randn(4)
    after = adam_step(before, grad, AdamConfig())
    adjoint = AdamAdjoint(torch.randn(4), torch.randn(4), torch.randn(4), torch.zeros(()))
    adjoints = [adjoint.adj_params.clone(), adjoint.adj_exp_avg.clone(), adjoint.adj_exp_avg_sq.clone()]
    adam_step_reverse(adjoint, after, grad, AdamConfig())
    assert all(map(torch.equal, copies, (before.params, before.exp_avg, before.exp_avg_sq)))
    assert all(map(torch.equal, adjoints, (adjoint.adj_params, adjoint.adj_exp_avg, adjoint.adj_exp_avg_sq)))


@pytest.mark.parametrize("eps_root", [0.0, 1e-3])
def test_reverse_step_is_the_transpose_of_the_step(eps_root: float) -> None:
    config = AdamConfig(lr=0.03, betas=(0.8, 0.9), eps=1e-3, eps_root=eps_root)
    generator = torch.Generator().manual_seed(0)
    params, exp_avg, grad, *cotangents = torch.randn(6, 5, generator=generator, dtype=torch.float64).unbind()
    exp_avg_sq = torch.rand(5, generator=generator, dtype=torch.float64)

    def step(params: Tensor, exp_avg: Tensor, exp_avg_sq: Tensor, grad: Tensor, lr: Tensor) -> tuple[Tensor, ...]:
        mean = 0.8 * exp_avg + 0.2 * grad
        square = 0.9 * exp_avg_sq + 0.1 * grad**2
        root = (square / (1 - 0.9**4) + eps_root).sqrt()
        return params - lr * mean / (1 - 0.8**4) / (root + 1e-3), mean, square

    lr = torch.tensor(0.03, dtype=torch.float64)
    inputs = [value.requires_grad_() for value in (params, exp_avg, exp_avg_sq, grad, lr)]
    expected = torch.autograd.grad(step(*inputs), inputs, cotangents)

    values = [value.detach() for value in inputs]
    after = adam_step(AdamState(values[0], values[1], values[2], 3), values[3], config)
    adjoint = AdamAdjoint(cotangents[0], cotangents[1], cotangents[2], torch.zeros((), dtype=torch.float64))
    before, adj_grad = adam_step_reverse(adjoint, after, values[3], config)
    found = (before.adj_params, before.adj_exp_avg, before.adj_exp_avg_sq, adj_grad, before.adj_lr)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lr": 0.0}, "lr=0.0 is not a learning rate"),
        ({"lr": float("nan")}, "lr=nan"),
        ({"betas": (0.9, 1.0)}, "decay rates"),
        ({"betas": (-0.1, 0.9)}, "decay rates"),
        ({"eps": 0.0}, "eps=0.0 would divide by 0"),
        ({"eps_root": -1e-8}, "eps_root=-1e-08 is not allowed"),
    ],
)
def test_constants_out_of_range_are_refused(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        AdamConfig(**arguments)  # type: ignore[arg-type]
