from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from farzi_core.students import causal_filter
from farzi_core.students.causal_filter import filter_by_product, filter_by_transform, filter_causally

Filter = Callable[[Tensor, Tensor], Tensor]


def make(length: int, longest: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(2, length, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    return inputs, torch.randn(longest, 3, generator=generator, dtype=torch.float64, requires_grad=True)


def by_hand(inputs: Tensor, kernel: Tensor) -> Tensor:
    filtered = torch.zeros_like(inputs)
    for t in range(inputs.shape[1]):
        for lag in range(t + 1):
            filtered[:, t] += kernel[lag] * inputs[:, t - lag]
    return filtered


@pytest.mark.parametrize("compute", [filter_by_product, filter_by_transform, filter_causally])
@pytest.mark.parametrize(("length", "longest"), [(1, 1), (1, 4), (5, 5), (4, 7)])
def test_both_ways_are_the_sum_over_lags(compute: Filter, length: int, longest: int) -> None:
    inputs, kernel = (tensor.detach() for tensor in make(length, longest))
    torch.testing.assert_close(compute(inputs, kernel), by_hand(inputs, kernel))


def test_long_sequences_take_the_transform_and_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, kernel = (tensor.detach() for tensor in make(5, 5))
    monkeypatch.setattr(causal_filter, "LONGEST_TOEPLITZ", 4)
    assert torch.equal(filter_causally(inputs, kernel), filter_by_transform(inputs, kernel))
    torch.testing.assert_close(filter_causally(inputs, kernel), filter_by_product(inputs, kernel))


@pytest.mark.parametrize("compute", [filter_by_product, filter_by_transform])
def test_derivatives_agree_with_finite_differences(compute: Filter) -> None:
    assert gradcheck(compute, make(4, 6), check_forward_ad=True)
    assert gradgradcheck(compute, make(3, 4), check_fwd_over_rev=True)
