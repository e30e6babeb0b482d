"""The race is fair, still runs, and the document says what was measured.

Peers are installed by the extra ``bench`` alone; without it their tests are skipped, as services that are not there are.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from bench.metagrad import document
from bench.metagrad.contestants import CONTESTANTS, Contestant, missing_libraries, prepare
from bench.metagrad.figures import Race
from bench.metagrad.problem import TINY, TINY_TRANSFORMER, Precision, Problem, Setting, make_problem
from bench.metagrad.race import AGREEMENT, AGREEMENT_LENGTH, full_plan
from tests.project.repository import ROOT, project, read

needs_peers = pytest.mark.skipif(bool(missing_libraries()), reason="needs the extra bench")
# TorchOpt makes its bias corrections in float32, whatever the precision of the rest.
TOLERANCE = {"float32": AGREEMENT, "float64": 1e-5}


UNROLLED = Contestant("unrolled", "farzi", "plain", {"method": "unrolled"})


def _difference(contestant: Contestant, problem: Problem) -> tuple[float, float]:
    """Return how far outer loss and gradient are from those of autograd through the unrolled loop."""
    result, expected = (prepare(item, problem)() for item in (contestant, UNROLLED))
    error = np.linalg.norm(result.synthetic - expected.synthetic) / np.linalg.norm(expected.synthetic)
    return abs(result.outer_loss - expected.outer_loss), float(error)


@needs_peers
@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("setting", [TINY, TINY_TRANSFORMER], ids=lambda setting: setting.name)
@pytest.mark.parametrize("name", [name for name, item in CONTESTANTS.items() if not item.is_compiled])
def test_contestants_in_torch_compute_the_same_gradient(name: str, setting: Setting, precision: Precision) -> None:
    outer_loss_error, error = _difference(CONTESTANTS[name], make_problem(setting, AGREEMENT_LENGTH, precision=precision))
    assert outer_loss_error < 1e-5
    assert 0.0 <= error < TOLERANCE[precision]


@needs_peers
@pytest.mark.parametrize(
    ("name", "setting"), [("jax scan", TINY_TRANSFORMER), ("jax scan + checkpoint", TINY)], ids=["transformer_lm", "sasrec"]
)
def test_the_students_in_jax_are_those_in_torch(name: str, setting: Setting) -> None:
    setting = replace(setting, num_layers=1)  # compiling takes by far the longest, and one block has every operation
    outer_loss_error, error = _difference(CONTESTANTS[name], make_problem(setting, AGREEMENT_LENGTH, precision="float64"))
    assert outer_loss_error < 1e-12
    assert error < 1e-10


@needs_peers
def test_the_quick_race_prints_its_figures() -> None:
    output = _run("--quick").stdout
    measurements = json.loads(output)["measurements"]
    assert [item["contestant"] for item in measurements] == ["torchopt", "farzi stored"]
    assert all(item["cpu_s"] > 0 and item["peak_bytes"] > 0 for item in measurements)


def test_without_the_extra_a_sentence_says_how_to_install_it() -> None:
    hide = "import sys; sys.modules['higher'] = None; import bench.metagrad.__main__ as command; command.main()"
    result = subprocess.run([sys.executable, "-c", hide], cwd=ROOT, check=False, capture_output=True, text=True)
    assert result.returncode != 0
    assert "higher" in result.stderr
    assert "make bench" in result.stderr
    assert "Traceback" not in result.stderr


def test_peers_belong_to_the_extra_bench_alone() -> None:
    extras = project()["project"]["optional-dependencies"]
    for name, requirements in extras.items():
        named = [line for line in requirements if line.startswith(("torchopt", "higher", "jax", "optax", "farzi[bench]"))]
        assert bool(named) == (name == "bench"), f"{name} holds {named}"


def test_the_document_is_what_the_results_say() -> None:
    assert read("docs/benchmarks.md") == document.render(document.read_results()), "run python -m bench.metagrad --document"


def test_the_committed_race_is_complete() -> None:
    measurements = document.read_results()["measurements"]
    measured = {(item["setting"], item["contestant"], item["num_inner_steps"]) for item in measurements}
    assert measured == {(entry.setting, entry.contestant, entry.num_inner_steps) for entry in full_plan()}


def test_ratios_compare_runs_of_the_same_round() -> None:
    seconds = {"torchopt": (1.0, 2.0, 4.0), "farzi stored": (0.5, 1.0, 4.0)}
    race = Race(
        [
            {"setting": "a", "contestant": name, "num_inner_steps": 20, "round": turn, "cpu_s": value, "peak_bytes": 10 * value}
            for name, values in seconds.items()
            for turn, value in enumerate(values)
        ]
    )
    figures = race.figures("a", "farzi stored", 20)
    assert figures is not None
    assert figures.cpu_s == (1.0, 0.5, 4.0)
    assert (figures.time_ratio, figures.memory_ratio) == (0.5, 0.5)


def test_what_ran_out_of_memory_is_shown_as_that() -> None:
    measured = {"setting": "a", "contestant": "torchopt", "num_inner_steps": 5, "round": 0, "out_of_memory": True}
    assert list(document.memories(Race([measured]), "a")) == [("contestant", "T = 5"), ("torchopt", "out of memory")]


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench.metagrad", *arguments]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)


def test_the_page_names_every_benchmark_and_every_page_of_figures() -> None:
    page = read("docs/benchmarks.md")
    commands = [path.stem for path in ROOT.glob("bench/*.py") if '__name__ == "__main__"' in path.read_text(encoding="utf-8")]
    assert len(commands) > 10
    assert [name for name in sorted(commands) if f"`python -m bench.{name}`" not in page] == []
    assert [path.name for path in ROOT.glob("docs/benchmarks-*.md") if f"({path.name}" not in page] == []
