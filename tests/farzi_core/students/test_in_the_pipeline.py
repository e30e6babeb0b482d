"""Every student in the whole pipeline: distilled with, and judged on what was distilled with another one."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from farzi_core.config import TASK_ARCHITECTURES, Architecture, Task
from farzi_core.pipeline import DistillationPipeline
from farzi_core.progress import ResultReady
from farzi_core.spec_problems import find_data_problems
from tests.farzi_core.markov import interactions, text, tiny_spec

DATA = {"sequential_recommendation": interactions(), "language_modeling": text()}
TASKS: tuple[Task, ...] = ("sequential_recommendation", "language_modeling")


RECOMMENDERS, WRITERS = (TASK_ARCHITECTURES[task] for task in TASKS)


@pytest.mark.parametrize(
    ("architecture", "judged"), [("gru4rec", RECOMMENDERS), ("fmlp", ("fmlp",)), ("narm", ("narm",)), ("lstm", WRITERS)]
)
def test_what_is_distilled_with_one_student_is_judged_on_others(
    architecture: Architecture, judged: tuple[Architecture, ...], tmp_path: Path
) -> None:
    task = TASKS[architecture in WRITERS]
    spec = tiny_spec(
        task,
        student={"architecture": architecture},
        outer={"num_steps": 2, "validate_every": 1},
        evaluation={"students": judged, "num_seeds": 1, "max_steps": 4, "num_validations": 2},
    )
    *_, result = DistillationPipeline(DATA[task], spec, tmp_path, "0" * 64).run()
    assert isinstance(result, ResultReady)
    report = json.loads((tmp_path / "report.json").read_text())
    assert tuple(report["students"]) == judged
    metric = "perplexity" if task == "language_modeling" else "ndcg@10"
    for sides in report["students"].values():
        for side in ("full_data", "distilled", "hard", "random"):
            assert math.isfinite(sides[side][metric]["mean"])


@pytest.mark.parametrize("task", TASKS)
def test_students_of_the_other_task_are_refused_and_the_allowed_ones_named(task: Task) -> None:
    (other,) = set(TASKS) - {task}
    for architecture in TASK_ARCHITECTURES[other]:
        spec = tiny_spec(task, student={"architecture": architecture})
        (problem,) = find_data_problems(spec, DATA[task].summary())
        assert problem.pointer == "/student/architecture"
        allowed = ", ".join(TASK_ARCHITECTURES[task])
        assert problem.detail == f"{architecture!r} does not fit task {task!r}; allowed: {allowed}"
