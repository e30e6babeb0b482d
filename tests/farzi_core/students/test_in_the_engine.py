"""Every student as the inner problem of a meta-gradient: exact against unrolled autograd, and as an ensemble."""

from __future__ import annotations

import pytest
import torch

from tests.farzi_core.metagrad.conftest import SHARP, SMOOTH, largest_error, relative_error, student_problem
from tests.farzi_core.metagrad.test_ensemble import members
from tests.farzi_core.metagrad.test_exactness import reference

STUDENTS = ("gru4rec", "fmlp", "narm", "lstm")


@pytest.mark.parametrize("architecture", STUDENTS)
@pytest.mark.parametrize("product", ["reverse_over_reverse", "forward_over_reverse"])
def test_the_meta_gradient_equals_unrolled_autograd(architecture: str, product: str) -> None:
    problem = student_problem(architecture, 1)
    for method in ("stored", "checkpointed"):
        result = problem.solve(SHARP, num_inner_steps=6, method=method, product=product)
        assert largest_error(result, reference(problem, SHARP, 6)) <= 1e-9, method


@pytest.mark.parametrize("architecture", STUDENTS)
def test_an_ensemble_is_the_mean_over_its_members(architecture: str) -> None:
    together, alone = members(student_problem(architecture, 1))
    result = together.solve(SMOOTH, num_inner_steps=4, method="stored", ensemble=True)
    expected = [reference(member, SMOOTH, 4) for member in alone]
    mean = {name: torch.stack([member.synthetic[name] for member in expected]).mean(0) for name in result.synthetic}
    finals = {name: torch.stack([member.final_params[name] for member in expected]) for name in result.final_params}
    assert relative_error(result.synthetic, mean) <= 1e-9
    assert relative_error(result.final_params, finals) <= 1e-9
