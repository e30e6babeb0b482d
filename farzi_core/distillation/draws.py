"""What one outer step draws, as functions of the spec's seed and the step: every method that learns draws the same.

Shape letters: S synthetic sequences, L length, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from farzi_core.batch_sizes import synthetic_batch_size
from farzi_core.data_choices import inner_steps
from farzi_core.distillation.setting import Setting
from farzi_core.distillation.teachers import TeacherTrajectory
from farzi_core.evaluation.training import draw_row_numbers, init_on, take_rows
from farzi_core.metagrad import InnerLoss
from farzi_core.seeding import derive_generator
from farzi_core.students import Params, soft_next_event_loss

PROBABILITIES = "probabilities"


def draw_real_batch(setting: Setting, step: int) -> Tensor:
    """Return the real windows of an outer step: int64 (outer.batch_size, at most max_length + 1), padded on the left."""
    spec = setting.spec
    generator = derive_generator(spec.seed, "outer_batch", step)
    return setting.real.draw(spec.outer.batch_size, spec.student.max_length + 1, generator).to(setting.device)


def draw_num_inner_steps(setting: Setting, step: int) -> int:
    """Return the length T of an outer step's inner loop: ``inner.min_steps`` to :func:`longest_inner_loop`, equally likely."""
    generator = derive_generator(setting.spec.seed, "num_inner_steps", step)
    shortest, _ = inner_steps(setting.spec)
    return int(torch.randint(shortest, longest_inner_loop(setting, step) + 1, (1,), generator=generator))


def longest_inner_loop(setting: Setting, step: int) -> int:
    """Return the largest T of an outer step: ``inner.num_steps`` once ``inner.growth`` is over, less before."""
    shortest, longest = inner_steps(setting.spec)
    return shortest + int(_grown(setting, setting.spec.inner.growth, step) * (longest - shortest))


def draw_start_params(setting: Setting, teachers: Sequence[TeacherTrajectory], step: int) -> Params:
    """Return where an outer step's student starts: fresh, or at a teacher's checkpoint, as ``outer.start_params`` says.

    The checkpoints are those of :func:`known_checkpoints`, all equally likely.
    """
    kind = setting.spec.outer.start_params
    generator = derive_generator(setting.spec.seed, "start_params", step)
    fresh_share = 1.0 - trajectory_share(setting, step)
    if kind == "random" or (kind == "mixed" and torch.rand((), generator=generator).item() < fresh_share):
        return init_on(setting.student, generator, setting.dtype, setting.device)
    checkpoints = [params for teacher in teachers for params in known_checkpoints(setting, teacher, step)]
    return checkpoints[int(torch.randint(len(checkpoints), (1,), generator=generator))]


def trajectory_share(setting: Setting, step: int) -> float:
    """Return how likely an inner loop of 'mixed' is to start at a checkpoint."""
    first, last = setting.spec.outer.trajectory_share
    return first + (last - first) * min(1.0, step / max(1, _num_outer_steps(setting) - 1))


def known_checkpoints(setting: Setting, teacher: TeacherTrajectory, step: int) -> Sequence[Params]:
    """Return the checkpoints to start from at an outer step: early ones alone until ``outer.trajectory_growth`` is over."""
    checkpoints = teacher.checkpoints
    grown = _grown(setting, setting.spec.outer.trajectory_growth, step)
    return checkpoints[: 1 + int(grown * (len(checkpoints) - 1))]


def _grown(setting: Setting, growth: float | None, step: int) -> float:
    """Return how far something that grows over the first share of the outer steps has come: 0 at the first, 1 at the last."""
    last = (growth or 0.0) * _num_outer_steps(setting) - 1.0
    return min(1.0, step / last) if last > 0 else 1.0


def _num_outer_steps(setting: Setting) -> int:
    num_steps = setting.spec.outer.num_steps
    assert num_steps is not None, "a setting has no choices left"
    return num_steps


def make_inner_loss(setting: Setting, step: int, input_events: Tensor | None) -> InnerLoss:
    """Return the inner loss of an outer step: that of a minibatch of the soft tokens ``synthetic["probabilities"]``.

    Args:
        setting: data and student.
        step: outer step, from 0.
        input_events: int64 (S, L), what students are shown instead of the soft tokens; None: the soft tokens.
    """
    spec = setting.spec
    batch_size = synthetic_batch_size(spec)

    def inner_loss(params: Params, synthetic: dict[str, Tensor], inner_step: int) -> Tensor:
        generator = derive_generator(spec.seed, "inner_batch", step, inner_step)
        rows = draw_row_numbers(spec.synthetic.num_sequences, batch_size, generator)
        batch = take_rows(synthetic[PROBABILITIES], rows)
        return soft_next_event_loss(setting.student, params, batch, take_rows(input_events, rows))

    return inner_loss
