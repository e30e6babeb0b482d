"""The hand-written derivatives of logsumexp(hidden @ table.T) against finite differences and against autograd's own."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.func import grad, hessian, jvp, vmap

from farzi_core.students.log_normalizer import log_normalizer


@pytest.fixture
def inputs() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(5, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    table = torch.randn(7, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    return hidden, table


def fast(hidden: Tensor, table: Tensor) -> Tensor:
    return log_normalizer(hidden, table).square().sum()


def plain(hidden: Tensor, table: Tensor) -> Tensor:
    return (hidden @ table.T).logsumexp(-1).square().sum()


def test_value_survives_large_logits() -> None:
    hidden, table = torch.tensor([[1000.0], [-1000.0]]), torch.tensor([[1.0], [2.0]])
    torch.testing.assert_close(log_normalizer(hidden, table), torch.tensor([2000.0, -1000.0]))


def test_derivatives_agree_with_finite_differences(inputs: tuple[Tensor, Tensor]) -> None:
    assert gradcheck(log_normalizer, inputs, check_forward_ad=True)
    assert gradgradcheck(log_normalizer, inputs, check_fwd_over_rev=True)


def along(loss: Callable[[Tensor, Tensor], Tensor], values: tuple[Tensor, Tensor], argument: int) -> Tensor:
    """Return the derivative of the gradient of one input along ones; the other input is a plain constant."""
    constant = values[1 - argument].detach()

    def gradient(value: Tensor) -> Tensor:
        pair = (value, constant) if argument == 0 else (constant, value)
        result: Tensor = grad(loss, argnums=argument)(*pair)
        return result

    value = values[argument].detach()
    tangent: Tensor = jvp(gradient, (value,), (torch.ones_like(value),))[1]
    return tangent


@pytest.mark.parametrize("argument", [0, 1])
def test_each_input_can_be_the_only_differentiated_one(inputs: tuple[Tensor, Tensor], argument: int) -> None:
    torch.testing.assert_close(along(fast, inputs, argument), along(plain, inputs, argument))


def test_hessians_map_over_a_batch(inputs: tuple[Tensor, Tensor]) -> None:
    table = inputs[1].detach()
    batch = torch.stack([inputs[0].detach(), -inputs[0].detach()])
    torch.testing.assert_close(vmap(hessian(fast), (0, None))(batch, table), vmap(hessian(plain), (0, None))(batch, table))


def test_third_derivatives_are_refused_instead_of_wrong(inputs: tuple[Tensor, Tensor]) -> None:
    (first,) = torch.autograd.grad(fast(*inputs), inputs[0], create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), inputs[0], create_graph=True)
    with pytest.raises(NotImplementedError, match="third derivative"):
        torch.autograd.grad(second.sum(), inputs[0])
