"""Students that inner loops go on with, so that a short loop meets students of every age.

What synthetic data lack shows late in a student's training, and a loop from fresh parameters to there costs hundreds of steps
for a gradient through the last few. A pool keeps students between outer steps instead: a loop takes one of them, trains it a
little further on the synthetic data as they are now, and puts it back. One that has had its steps makes room for a new one.
Source of the idea: the model pools of Zhou, Nezhadarya and Ba 2022 (FRePo), arXiv 2206.00719. Adam's moments begin at 0 with
every loop.

The state of a pool is its students; what is drawn follows from the spec's seed and the outer step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from farzi_core.allocator import freed_memory_kept
from farzi_core.data_choices import pool_max_steps, pool_size
from farzi_core.distillation.checkpoint import Checkpoint
from farzi_core.distillation.draws import PROBABILITIES, draw_start_params, make_inner_loss
from farzi_core.distillation.outer_point import OuterPoint
from farzi_core.distillation.param_sets import pack_param_sets, unpack_param_sets
from farzi_core.distillation.setting import Setting
from farzi_core.distillation.teachers import TeacherTrajectory
from farzi_core.evaluation.training import init_on
from farzi_core.metagrad import adam_step, init_state
from farzi_core.metagrad.hvp import InnerGradient
from farzi_core.metagrad.vectors import ParamLayout
from farzi_core.seeding import derive_generator
from farzi_core.students import Params


@dataclass(frozen=True)
class PoolStudent:
    """A student between two inner loops.

    Attributes:
        params: its parameters.
        age: steps it was trained for.
    """

    params: Params
    age: int


@dataclass(frozen=True)
class TakenStudent:
    """What an inner loop starts from.

    Attributes:
        params: parameters at the start.
        age: steps that the student will have been trained for when the loop is over.
        place: of the pool that it goes back to; None: it was made for this loop alone.
    """

    params: Params
    age: int
    place: int | None


class StudentPool:
    """Where inner loops start: at students of ``outer.pool_size``, or at new ones where that is 0.

    Args:
        setting: data and student.
        teachers: where new students come from, if ``outer.start_params`` says so.
    """

    def __init__(self, setting: Setting, teachers: Sequence[TeacherTrajectory]) -> None:
        self._setting, self._teachers = setting, teachers
        self._size, self._max_steps = pool_size(setting.spec), pool_max_steps(setting.spec)
        self._students: list[PoolStudent] = []

    @property
    def ages(self) -> tuple[int, ...]:
        """Steps that each student was trained for; empty until the first is taken."""
        return tuple(student.age for student in self._students)

    def take(self, point: OuterPoint, num_steps: int) -> TakenStudent:
        """Return what an inner loop of ``num_steps`` starts from; :meth:`put_back` takes what it ends with.

        Cost: nothing, but for the first of a pool: a training of ``outer.pool_max_steps`` steps, less a part of pool_size.
        """
        if self._size == 0:
            return TakenStudent(self._begin(point), num_steps, None)
        if not self._students:
            self._fill(point)
        generator = derive_generator(self._setting.spec.seed, "pool", point.step)
        place = int(torch.randint(self._size, (1,), generator=generator))
        student = self._students[place]
        if student.age + num_steps > self._max_steps:
            student = PoolStudent(self._begin(point), 0)
        return TakenStudent(student.params, student.age + num_steps, place)

    def put_back(self, taken: TakenStudent, params: Params) -> None:
        """Keep a student as its inner loop left it."""
        if taken.place is not None:
            self._students[taken.place] = PoolStudent(params, taken.age)

    def _begin(self, point: OuterPoint) -> Params:
        return draw_start_params(self._setting, self._teachers, point.step)

    def _fill(self, point: OuterPoint) -> None:
        """Begin with students of all ages: one training, and what it was like on its way."""
        start = self._begin(point)
        layout, adam = ParamLayout(start), self._setting.inner_adam(point.inner_lr)
        inner_loss = make_inner_loss(self._setting, point.step, point.input_events)
        inner = InnerGradient(inner_loss, {PROBABILITIES: point.probabilities}, layout, "auto")
        state = init_state(layout.flatten(start))
        with freed_memory_kept(large_blocks=True):
            for number in range(self._size):
                while state.step < number * self._max_steps // self._size:
                    state = adam_step(state, inner.gradient(state.params, state.step), adam)
                self._students.append(PoolStudent(layout.name(state.params), state.step))

    def checkpoint(self) -> Checkpoint:
        """Return the state between two outer steps."""
        sets = pack_param_sets([student.params for student in self._students])
        return Checkpoint.join({"params": sets}, ages=list(self.ages))

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from a state that :meth:`checkpoint` returned."""
        setting = self._setting
        like = init_on(setting.student, derive_generator(0, "names"), setting.dtype, setting.device)
        sets = unpack_param_sets(checkpoint.part("params"), like)
        self._students = [PoolStudent(params, age) for params, age in zip(sets, checkpoint.values["ages"], strict=True)]
