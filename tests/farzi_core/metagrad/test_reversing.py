"""``reversed``: bit-identical states on the way back, constant memory, and errors where fixed point ends."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from farzi_core.errors import ConfigError, NumericalError
from farzi_core.metagrad import AdamConfig
from farzi_core.metagrad.adam import init_state
from farzi_core.metagrad.fixed_point import FixedPoint
from farzi_core.metagrad.information_buffer import InformationBuffer
from farzi_core.metagrad.limbs import Limbs, add, subtract
from farzi_core.metagrad.reversing import ReversedTrajectory
from tests.farzi_core.metagrad.conftest import GENTLE, PROBLEMS, SHARP, SMOOTH, Problem, largest_error, relative_error
from tests.farzi_core.metagrad.test_engine import Doubling
from tests.farzi_core.metagrad.test_exactness import reference


@pytest.mark.parametrize("num_inner_steps", [1, 2, 10])
def test_gradient_equals_unrolled_autograd(problem: Problem, num_inner_steps: int) -> None:
    result = problem.solve(SHARP, num_inner_steps=num_inner_steps, method="reversed")
    assert largest_error(result, reference(problem, SHARP, num_inner_steps)) <= 1e-8
    assert result.replay_error == 0.0


@pytest.mark.parametrize(
    ("name", "adam", "num_inner_steps"), [("sasrec", SMOOTH, 50), ("sasrec", GENTLE, 200), ("shapes", SHARP, 50)]
)
def test_gradient_of_long_loops_equals_unrolled_autograd(name: str, adam: AdamConfig, num_inner_steps: int) -> None:
    problem = PROBLEMS[name]()
    result = problem.solve(adam, num_inner_steps=num_inner_steps, method="reversed")
    assert largest_error(result, reference(problem, adam, num_inner_steps)) <= 1e-8
    assert result.replay_error == 0.0


def test_float32_loops_come_back_bit_for_bit() -> None:
    problem = PROBLEMS["sasrec"]()
    expected = reference(problem, GENTLE, 100)
    result = problem.to(torch.float32).solve(GENTLE, num_inner_steps=100, method="reversed")
    assert result.replay_error == 0.0
    assert {value.dtype for value in result.synthetic.values()} == {torch.float32}
    assert relative_error({n: v.double() for n, v in result.synthetic.items()}, expected.synthetic) <= 1e-3


def test_forward_over_reverse_is_reversed_too(shapes: Problem) -> None:
    result = shapes.solve(num_inner_steps=5, method="reversed", product="forward_over_reverse")
    assert largest_error(result, reference(shapes, SHARP, 5)) <= 1e-8


@pytest.mark.parametrize("betas", [(0.0, 0.9), (0.5, 0.75), (0.9123456789, 0.98765), (1 / 3, 0.0)])
def test_any_betas_come_back(shapes: Problem, betas: tuple[float, float]) -> None:
    adam = AdamConfig(lr=1e-2, betas=betas)
    result = shapes.solve(adam, num_inner_steps=20, method="reversed")
    assert result.replay_error == 0.0
    assert largest_error(result, reference(shapes, adam, 20)) <= 1e-6


def drifting(problem: Problem) -> Problem:
    calls = 0

    def inner_loss(params: dict[str, Tensor], synthetic: dict[str, Tensor], step: int) -> Tensor:
        nonlocal calls
        calls += 1
        return problem.inner_loss(params, synthetic, step) * (1.0 + 1e-6 * calls)

    return replace(problem, inner_loss=inner_loss)


def test_a_loss_that_cannot_be_repeated_shows_in_the_replay_error() -> None:
    values = torch.tensor([1.0, 2.0], dtype=torch.float64)
    square = Problem(lambda p, x, step: (p["w"] - x["x"]).square().sum(), lambda p: p["w"].sum(), {"w": values}, {"x": -values})
    result = drifting(square).solve(num_inner_steps=5, method="reversed")
    assert 0.0 < result.replay_error < 1.0


def test_a_second_moment_below_zero_on_the_way_back_is_explained(shapes: Problem) -> None:
    with pytest.raises(NumericalError, match=r"lost its way at inner step .* seed its noise by the step"):
        drifting(shapes).solve(num_inner_steps=5, method="reversed")


def kept_bytes(num_steps: int) -> int:
    trajectory = ReversedTrajectory(Doubling(), AdamConfig(lr=1e-4, betas=(0.9, 0.999)))
    trajectory.run(init_state(torch.rand(7)), num_steps)
    size = sum(value.nbytes for value in trajectory.kept_tensors())
    assert [met.step for met in trajectory.walk_back()] == list(reversed(range(num_steps)))
    assert trajectory.replay_error == 0.0
    return size


def test_memory_is_constant_until_a_word_is_full_and_one_word_more_after_that() -> None:
    word = 7 * 8
    assert kept_bytes(2) == kept_bytes(360) == 8 * word  # w, its start, m and v of two limbs, a word for m and one for v
    assert kept_bytes(400) == 9 * word
    assert kept_bytes(1100) == 10 * word


@pytest.mark.parametrize("beta", [0.9, 0.999, 0.95, 0.5, 0.0, 0.9123456789, 0.001])
@pytest.mark.parametrize("num_limbs", [1, 2])
def test_products_are_undone_bit_for_bit_however_many_there_are(beta: float, num_limbs: int) -> None:
    generator = torch.Generator().manual_seed(0)
    buffer = InformationBuffer(beta)

    def draw() -> Limbs:
        low = torch.randint(0, 2**32, (20,), generator=generator)
        return (torch.randint(-(2**61), 2**61, (20,), generator=generator), low)[:num_limbs]

    value, met, terms = draw(), [], []
    for _ in range(900 if beta >= 0.9 else 80):
        met.append([limb.clone() for limb in value])
        terms.append(draw())
        product = buffer.multiply(value)
        torch.testing.assert_close(product[0].double(), met[-1][0].double() * beta, rtol=1e-8, atol=2.0)
        value = add(product, terms[-1])
    while met:
        value = buffer.divide(subtract(value, terms.pop()))
        assert all(map(torch.equal, value, met.pop()))
    assert not buffer.kept


@pytest.mark.parametrize("is_wide", [False, True])
def test_fixed_point_holds_values_to_its_last_bit(is_wide: bool) -> None:
    values = torch.tensor([0.0, 1.5, -2.25, 1e-9, -1e-9, 3.0e4], dtype=torch.float64)
    fixed = FixedPoint("values", 40, is_wide)
    error = (fixed.decode(fixed.encode(values, 0)) - values).abs().max()
    assert float(error) <= (2.0**-60 if is_wide else 2.0**-41)


def test_large_start_values_get_a_coarser_format() -> None:
    assert FixedPoint.fitting("params", 1.0, 50, 10).fraction_bits == 50
    assert FixedPoint.fitting("params", 2.0**20, 50, 10).fraction_bits == 32
    with pytest.raises(NumericalError, match=r"params starts at .* scale the losses down"):
        FixedPoint.fitting("params", 2.0**40, 50, 10)


def test_leaving_the_range_names_tensor_and_step() -> None:
    def growing(params: dict[str, Tensor], synthetic: dict[str, Tensor], step: int) -> Tensor:
        return (params["w"] * synthetic["x"]).square().sum() * 1e6**step

    values = {"w": torch.ones(2, dtype=torch.float64)}
    problem = Problem(growing, lambda params: params["w"].sum(), values, {"x": values["w"]})
    with pytest.raises(
        NumericalError, match=r"exp_avg_sq reached .* at inner step 1; .* choose method 'checkpointed'"
    ) as caught:
        problem.solve(AdamConfig(lr=1e-3), num_inner_steps=9, method="reversed")
    assert (caught.value.tensor, caught.value.step) == ("exp_avg_sq", 1)


def test_a_beta_that_is_no_fraction_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"beta=0.99999999 is too close to 1"):
        InformationBuffer(0.99999999)
