"""Several inner loops at once give what the loop over them gives."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from farzi_core.errors import ConfigError
from farzi_core.metagrad import NotDifferentiableError
from tests.farzi_core.metagrad.conftest import PROBLEMS, SMOOTH, Problem, Tensors, relative_error
from tests.farzi_core.metagrad.test_exactness import reference

NUM_MEMBERS = 3


def members(problem: Problem) -> tuple[Problem, list[Problem]]:
    """Return the problem with members along a leading axis, and each member's own."""
    generator = torch.Generator().manual_seed(9)
    starts: list[Tensors] = [
        {
            name: value + 0.1 * torch.randn(value.shape, generator=generator, dtype=value.dtype)
            for name, value in problem.start_params.items()
        }
        for _ in range(NUM_MEMBERS)
    ]
    stacked = {name: torch.stack([start[name] for start in starts]) for name in problem.start_params}
    return replace(problem, start_params=stacked), [replace(problem, start_params=start) for start in starts]


@pytest.mark.parametrize("method", ["stored", "checkpointed", "reversed", "unrolled"])
def test_an_ensemble_is_the_mean_over_its_members(problem: Problem, method: str) -> None:
    together, alone = members(problem)
    result = together.solve(SMOOTH, num_inner_steps=6, method=method, ensemble=True)
    expected = [reference(member, SMOOTH, 6) for member in alone]
    mean = {name: torch.stack([member.synthetic[name] for member in expected]).mean(0) for name in result.synthetic}
    starts = {
        name: torch.stack([member.start_params[name] for member in expected]) / NUM_MEMBERS for name in result.start_params
    }
    finals = {name: torch.stack([member.final_params[name] for member in expected]) for name in result.final_params}
    assert relative_error(result.synthetic, mean) <= 1e-9
    assert relative_error(result.start_params, starts) <= 1e-9
    assert relative_error(result.final_params, finals) <= 1e-9
    torch.testing.assert_close(result.lr, torch.stack([member.lr for member in expected]).mean(), rtol=1e-9, atol=0.0)
    torch.testing.assert_close(result.outer_loss, torch.stack([member.outer_loss for member in expected]).mean())


def test_both_orders_of_differentiation_agree(shapes: Problem) -> None:
    together, _ = members(shapes)
    results = [
        together.solve(SMOOTH, num_inner_steps=4, ensemble=True, product=product)
        for product in ("reverse_over_reverse", "forward_over_reverse")
    ]
    assert relative_error(results[0].synthetic, results[1].synthetic) <= 1e-9


def test_an_order_that_an_operation_does_not_support_is_explained() -> None:
    together, _ = members(PROBLEMS["sasrec"]())
    with pytest.raises(NotDifferentiableError, match="choose product='reverse_over_reverse'"):
        together.solve(SMOOTH, num_inner_steps=2, ensemble=True, product="forward_over_reverse")


def test_params_without_a_common_axis_are_refused(shapes: Problem) -> None:
    with pytest.raises(ConfigError, match=r"ensemble=True needs one leading axis .* torch.stack"):
        shapes.solve(num_inner_steps=2, ensemble=True)


def test_a_member_loss_that_is_no_number_is_refused(shapes: Problem) -> None:
    together, _ = members(shapes)
    wrong = replace(together, outer_loss=lambda params: params["vector"])
    with pytest.raises(ConfigError, match=r"outer_loss returned a tensor of shape \(3,\)"):
        wrong.solve(num_inner_steps=2, ensemble=True)
