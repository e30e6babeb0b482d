from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch

from bench import hard_draws
from bench.hard_draws import Run
from farzi_core.distillation.descent import SyntheticDescent
from farzi_core.distillation.setting import Setting, prepare_setting
from farzi_core.distillation.start import make_start
from farzi_core.distillation.teachers import TeacherTraining
from tests.farzi_core.markov import interactions, tiny_spec


def setting_of(num_steps: int) -> Setting:
    spec = tiny_spec(outer={"num_steps": num_steps, "validate_every": 1}, inner={"batch_size": 2})
    return prepare_setting(interactions(), spec)


def test_a_run_moves_the_start_and_judges_both_by_their_draws() -> None:
    row = Run(setting_of(2), draws=2, max_steps=24).measure(sharpness=2.0, num_seeds=2)
    assert json.loads(json.dumps(row)) == row
    assert [look["step"] for look in row["looks"]] == [0, 1, 2]
    assert row["looks"][0]["entropy"] != row["looks"][2]["entropy"], "an outer step moves what is drawn"
    assert all(student["test"] > 0.0 for student in row["students"] + row["start"])


def test_a_sharper_start_has_less_entropy() -> None:
    blunt, sharp = (
        Run(setting_of(1), draws=1, max_steps=24).measure(sharpness, num_seeds=1)["looks"][0]["entropy"]
        for sharpness in (1.0, 4.0)
    )
    assert sharp < blunt


def test_the_gradient_of_every_draw_of_a_sequence_is_owed_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    setting, owed = setting_of(1), []
    run = Run(setting, draws=3, max_steps=24)

    of_rows = torch.arange(9.0).reshape(9, 1, 1).expand(9, 8, setting.vocab_size)
    found = SimpleNamespace(synthetic={"probabilities": of_rows}, outer_loss=torch.tensor(1.0))

    def move(_self: object, _tokens: object, adj: torch.Tensor) -> float:
        owed.append(adj)
        return 0.0

    monkeypatch.setattr(hard_draws, "compute_meta_gradient", lambda *_args, **_kwargs: found)
    monkeypatch.setattr(SyntheticDescent, "move", move)
    start = make_start(setting, [TeacherTraining(setting, 0).trajectory()])
    run._step(SyntheticDescent(setting, start, learn_lr=False), [])
    # Three sequences: rows 0, 3 and 6 are the draws of the first.
    assert owed[0][:, 0, 0].tolist() == [9.0, 12.0, 15.0]
