from __future__ import annotations

import json

import pytest
import torch

from bench.separate_targets import make_pairs, measure
from farzi_core.distillation.setting import Setting, prepare_setting
from farzi_core.distillation.teachers import TeacherTraining
from farzi_core.students import Params
from tests.farzi_core.markov import interactions, tiny_spec


def prepare(*, repeats_allowed: bool) -> tuple[Setting, Params]:
    setting = prepare_setting(interactions(), tiny_spec(evaluation={"repeats_allowed": repeats_allowed}))
    return setting, TeacherTraining(setting, 0).training.params


@pytest.mark.parametrize("inputs", ["real", "sampled"])
def test_targets_are_what_the_teacher_predicts_after_the_inputs(inputs: str) -> None:
    setting, teacher = prepare(repeats_allowed=True)
    pairs = make_pairs(setting, teacher, inputs)
    assert pairs.inputs.shape == (3, 7)
    hidden = setting.student.encode(teacher, setting.student.embed_events(teacher, pairs.inputs[1:2]))
    expected = setting.student.event_logits(teacher, hidden[0]).softmax(-1)
    torch.testing.assert_close(pairs.targets[7:14], expected)


def test_sampled_sequences_repeat_nothing_where_histories_do_not() -> None:
    setting, teacher = prepare(repeats_allowed=False)
    for row in make_pairs(setting, teacher, "sampled").inputs.tolist():
        assert len(set(row)) == len(row)


def test_a_run_trains_students_and_measures_them() -> None:
    setting, _ = prepare(repeats_allowed=True)
    row = measure(setting, "sampled", 24, 2)
    assert json.loads(json.dumps(row)) == row
    assert [student["test"]["ndcg@10"] > 0.0 for student in row["students"]] == [True, True]
    assert row["test"]["std"] > 0.0
