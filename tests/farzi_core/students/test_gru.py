"""The hand-written derivatives of a GRU over time against autograd through a loop, and against finite differences."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.func import grad, hessian, jacrev, jvp, vmap
from torch.nn import functional as F  # noqa: N812

from farzi_core.students.gru import run_gru

WIDTH = 2


def loop(inputs: Tensor, weight: Tensor) -> Tensor:
    hidden, states = torch.zeros_like(inputs[0, :, :WIDTH]), []
    for reset_in, update_in, candidate_in in (step.chunk(3, -1) for step in inputs):
        reset_recurrent, update_recurrent, recurrent = (hidden @ weight).chunk(3, -1)
        reset, update = (reset_in + reset_recurrent).sigmoid(), (update_in + update_recurrent).sigmoid()
        hidden = (1 - update) * (candidate_in + reset * recurrent).tanh() + update * hidden
        states.append(hidden)
    return torch.stack(states)


@pytest.fixture
def tensors() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(4, 3, 3 * WIDTH, generator=generator, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(WIDTH, 3 * WIDTH, generator=generator, dtype=torch.float64, requires_grad=True)
    return inputs, weight


def scalar(run: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda inputs, weight: run(inputs, weight).sin().sum()


def test_hidden_states_are_those_of_torch(tensors: tuple[Tensor, Tensor]) -> None:
    inputs, weight = tensors[0].detach(), tensors[1].detach()
    peer = torch.nn.GRU(3 * WIDTH, WIDTH, bias=False, dtype=torch.float64)
    peer.load_state_dict({"weight_ih_l0": torch.eye(3 * WIDTH), "weight_hh_l0": weight.T})
    torch.testing.assert_close(run_gru(inputs, weight), peer(inputs)[0].detach())
    torch.testing.assert_close(run_gru(inputs, weight), loop(inputs, weight))


def test_derivatives_agree_with_finite_differences(tensors: tuple[Tensor, Tensor]) -> None:
    assert gradcheck(run_gru, tensors, check_forward_ad=True)
    assert gradgradcheck(run_gru, tensors, check_fwd_over_rev=True)


@pytest.mark.parametrize("argument", [0, 1])
def test_each_input_can_be_the_only_differentiated_one(tensors: tuple[Tensor, Tensor], argument: int) -> None:
    values = [tensor.detach() for tensor in tensors]

    def along(run: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        def gradient(value: Tensor) -> Tensor:
            pair = (value, values[1]) if argument == 0 else (values[0], value)
            result: Tensor = grad(scalar(run), argnums=argument)(*pair)
            return result

        tangent: Tensor = jvp(gradient, (values[argument],), (torch.ones_like(values[argument]),))[1]
        return tangent

    torch.testing.assert_close(along(run_gru), along(loop))


def test_hessians_map_over_members(tensors: tuple[Tensor, Tensor]) -> None:
    inputs = torch.stack([tensors[0].detach(), -tensors[0].detach()])
    weights = torch.stack([tensors[1].detach(), 0.5 * tensors[1].detach()])
    for argument in (0, 1):
        members = vmap(hessian(scalar(run_gru), argument))(inputs, weights)
        torch.testing.assert_close(members, vmap(hessian(scalar(loop), argument))(inputs, weights))


def test_third_derivatives_are_right(tensors: tuple[Tensor, Tensor]) -> None:
    inputs, weight = (tensor.detach() for tensor in tensors)

    def third(run: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        result: Tensor = jacrev(jacrev(grad(scalar(run), argnums=1), argnums=1), argnums=1)(inputs, weight)
        return result

    torch.testing.assert_close(third(run_gru), third(loop))


def test_an_update_gate_held_at_one_keeps_the_empty_state_in_values_and_derivatives(tensors: tuple[Tensor, Tensor]) -> None:
    inputs, weight = (tensor.detach() for tensor in tensors)
    idle = torch.full_like(inputs[:2], 0.3)
    idle[..., WIDTH : 2 * WIDTH] = float("inf")
    padded = torch.cat([idle, inputs])
    assert not bool(run_gru(padded, weight)[:2].any())
    assert torch.equal(run_gru(padded, weight)[2:], run_gru(inputs, weight))
    expected = hessian(scalar(run_gru), 1)(inputs, weight)
    torch.testing.assert_close(hessian(scalar(run_gru), 1)(padded, weight), expected)
    assert not bool(grad(scalar(run_gru))(padded, weight)[:2].any())


def test_one_step_from_nothing() -> None:
    inputs = torch.tensor([[[0.0, 0.5, 2.0]]])
    expected = (1 - F.sigmoid(torch.tensor(0.5))) * torch.tensor(2.0).tanh()
    torch.testing.assert_close(run_gru(inputs, torch.ones(1, 3)).squeeze(), expected)
