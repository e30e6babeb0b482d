"""Inner problems: students on synthetic data, and a function with tensors of every shape and every degenerate case."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from farzi_core.config import StudentConfig
from farzi_core.metagrad import AdamConfig, InnerLoss, MetaGradient, compute_meta_gradient
from farzi_core.students import build_student, next_event_loss, soft_next_event_loss

Tensors = dict[str, Tensor]

SMOOTH = AdamConfig(lr=5e-3, betas=(0.95, 0.975))
# Longer loops are chaotic with the above: rounding grows by a factor that no method can undo. This one stays tame.
GENTLE = AdamConfig(lr=1e-3, betas=(0.95, 0.975), eps_root=1e-5)
SHARP = AdamConfig(lr=1e-2, betas=(0.9, 0.999))


@dataclass(frozen=True, repr=False)
class Problem:
    """What ``compute_meta_gradient`` is given, and how to call it."""

    inner_loss: InnerLoss
    outer_loss: Callable[[Tensors], Tensor]
    start_params: Tensors
    synthetic: Tensors

    def solve(self, adam: AdamConfig = SHARP, **options: object) -> MetaGradient:
        return compute_meta_gradient(
            self.inner_loss,
            self.outer_loss,
            self.start_params,
            self.synthetic,
            adam,
            **options,  # type: ignore[arg-type]
        )

    def to(self, dtype: torch.dtype) -> Problem:
        return replace(
            self,
            start_params={name: value.to(dtype) for name, value in self.start_params.items()},
            synthetic={name: value.to(dtype) for name, value in self.synthetic.items()},
        )


def student_problem(architecture: str, num_heads: int) -> Problem:
    config = StudentConfig.model_validate(
        {"architecture": architecture, "hidden_size": 8, "num_layers": 2, "num_heads": num_heads, "max_length": 8}
    )
    student = build_student(config, 11)
    generator = torch.Generator().manual_seed(0)
    start_params = student.init_params(generator, torch.float64)
    synthetic = {
        "latents": torch.randn(3, 6, 4, generator=generator, dtype=torch.float64),
        "token_decoder": torch.randn(4, 11, generator=generator, dtype=torch.float64),
    }
    events = torch.randint(0, 11, (5, 7), generator=generator)
    events[0, :4] = -1

    def inner_loss(params: Tensors, synthetic: Tensors, step: int) -> Tensor:
        return soft_next_event_loss(student, params, (synthetic["latents"] @ synthetic["token_decoder"]).softmax(-1))

    return Problem(inner_loss, lambda params: next_event_loss(student, params, events), start_params, synthetic)


def shapes_problem() -> Problem:
    """0-d to 4-d tensors, one unused, one whose gradient is exactly 0, a gradient that is 0 at first; data by step."""
    generator = torch.Generator().manual_seed(1)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    start_params = {
        "scalar": normal(),
        "vector": normal(3),
        "matrix": normal(3, 2),
        "cube": normal(2, 3, 2),
        "four": normal(2, 1, 3, 2),
        "unused": normal(2, 2),
        "zero_gradient": normal(2),
        "late": normal(2),
    }
    synthetic = {"scalar": normal(), "rows": normal(4, 3), "four": normal(2, 1, 3, 2), "unused": normal(2)}

    def inner_loss(params: Tensors, synthetic: Tensors, step: int) -> Tensor:
        rows = synthetic["rows"][step % 2 :: 2]
        hidden = torch.tanh(rows * params["vector"] @ params["matrix"] * params["scalar"])
        mixed = torch.einsum("abc,adbc->bd", params["cube"], params["four"] * synthetic["four"])
        late = params["late"].square().sum() * synthetic["scalar"] if step >= 3 else 0.0
        return (
            hidden.square().mean() + torch.sin(mixed).sum() * synthetic["scalar"] + 0.0 * params["zero_gradient"].sum() + late
        )

    def outer_loss(params: Tensors) -> Tensor:
        used = [params[name].sin().sum() for name in params if name != "unused"]
        return torch.stack(used).sum().square()

    return Problem(inner_loss, outer_loss, start_params, synthetic)


PROBLEMS: dict[str, Callable[[], Problem]] = {
    "sasrec": lambda: student_problem("sasrec", 1),
    "transformer_lm": lambda: student_problem("transformer_lm", 2),
    "shapes": shapes_problem,
}


@pytest.fixture(params=list(PROBLEMS))
def problem(request: pytest.FixtureRequest) -> Problem:
    return PROBLEMS[request.param]()


@pytest.fixture
def shapes() -> Problem:
    return shapes_problem()


def relative_error(value: Tensors, expected: Tensors) -> float:
    """Return the distance of two sets of tensors over the norm of the expected one."""
    assert list(value) == list(expected)
    assert all(value[name].shape == expected[name].shape for name in expected)
    distance = float(torch.stack([(value[name] - expected[name]).norm() for name in expected]).norm())
    norm = float(torch.stack([expected[name].norm() for name in expected]).norm())
    return distance / norm if norm else distance


def largest_error(value: MetaGradient, expected: MetaGradient) -> float:
    """Return the largest relative error of anything a meta-gradient holds."""
    return max(
        relative_error(value.synthetic, expected.synthetic),
        relative_error(value.start_params, expected.start_params),
        relative_error({"lr": value.lr}, {"lr": expected.lr}),
        relative_error({"loss": value.outer_loss}, {"loss": expected.outer_loss}),
        relative_error(value.final_params, expected.final_params),
    )
