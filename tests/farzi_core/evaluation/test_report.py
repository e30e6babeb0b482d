from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from farzi_core.data.sequences import SequenceDataset, Vocabulary
from farzi_core.distillation.descent import Distilled
from farzi_core.distillation.setting import Setting, prepare_setting
from farzi_core.distillation.start import make_start
from farzi_core.distillation.teachers import TeacherTraining
from farzi_core.evaluation.comparison import Comparison
from farzi_core.evaluation.figures import Series
from farzi_core.evaluation.history import History
from farzi_core.evaluation.metrics import summarise
from farzi_core.evaluation.page import write_page
from farzi_core.evaluation.report import Report, build_report, describe_hard_sequences, summarise_report, write_report
from farzi_core.hard_rules import SOFT_TOKENS_ALONE
from tests.farzi_core.markov import interactions, tiny_spec

Judged = tuple[Setting, Comparison, Distilled, Report]
HOSTILE = '<script>alert("x")</script>&\'"'


def report_on(setting: Setting, comparison: Comparison, distilled: Distilled, distil_s: float) -> Report:
    drawn = describe_hard_sequences(SOFT_TOKENS_ALONE, distilled.synthetic)
    return build_report(setting, comparison, distilled, distil_s=distil_s, hard_sequences=drawn)


@pytest.fixture(scope="module")
def judged() -> Judged:
    plain = interactions()
    names = Vocabulary((HOSTILE, "$x_1$", *plain.vocabulary.tokens[2:]))
    dataset = SequenceDataset(plain.task, names, plain.events, plain.offsets)
    # The one that distilled is not the first that is judged.
    evaluation = {"students": ["gru4rec", "sasrec"], "hard_variants": [1, "argmax"], "noise_levels": [0.2]}
    setting = prepare_setting(dataset, tiny_spec(evaluation=evaluation))
    teacher = TeacherTraining(setting, 0)
    while not teacher.finished:
        teacher.advance()
    distilled = Distilled(make_start(setting, [teacher.trajectory()]), 0.02)
    comparison = Comparison(setting, distilled)
    while not comparison.finished:
        comparison.advance()
    return setting, comparison, distilled, report_on(setting, comparison, distilled, distil_s=12.0)


def test_the_report_has_the_published_shape(judged: Judged, tmp_path: Path) -> None:
    _, _, _, report = judged
    written = json.loads(write_report(report, tmp_path).path.read_text())
    assert written == json.loads(json.dumps(report))
    assert set(written) == {
        "task",
        "protocol",
        "headline_student",
        "cautions",
        "students",
        "cross_architecture",
        "size",
        "sides",
        "seconds",
        "break_even_trainings",
        "outer_loop",
        "hard_sequences",
        "sequences",
        "training",
    }
    assert all(set(caution) == {"code", "student", "message"} for caution in written["cautions"])
    student = written["students"]["sasrec"]
    for side in ("full_data", "distilled", "hard", "random"):
        assert set(student[side]["ndcg@10"]) == {"mean", "std"}
    assert set(student["ratio"]["ndcg@10"]) == {"mean", "low", "high"}
    assert set(written["seconds"]) == {"distil", "train_distilled", "train_full_data"}


def test_the_headline_is_of_the_student_that_distilled_and_says_so(judged: Judged, tmp_path: Path) -> None:
    setting, comparison, _, report = judged
    assert report["headline_student"] == report["training"]["student"] == "sasrec"
    cells, others = comparison.cells("sasrec"), comparison.cells("gru4rec")
    assert report["seconds"]["train_distilled"] == np.mean([outcome.train_s for outcome in cells["distilled"].outcomes])
    assert report["seconds"]["train_full_data"] != np.mean([outcome.train_s for outcome in others["full_data"].outcomes])
    summary = summarise_report(report, setting.metric)
    assert summary["ratio_ndcg@10_mean"] == report["students"]["sasrec"]["ratio"]["ndcg@10"]["mean"]
    page = write(judged, tmp_path, History())
    assert f"<strong>{100 * report['students']['sasrec']['ratio']['ndcg@10']['mean']:.1f} %</strong>" in page
    assert "These figures are of student sasrec, which distilled the summary." in page


def test_figures_are_those_of_the_outcomes(judged: Judged) -> None:
    _, comparison, _, report = judged
    cells = comparison.cells("sasrec")
    student = report["students"]["sasrec"]
    values = {side: [summarise(o.scores)["ndcg@10"] for o in cell.outcomes] for side, cell in cells.items()}
    for side, numbers in values.items():
        assert student[side]["ndcg@10"]["mean"] == pytest.approx(np.mean(numbers))
        assert student[side]["ndcg@10"]["std"] == pytest.approx(abs(numbers[0] - numbers[1]) / np.sqrt(2))
    ratio = student["ratio"]["ndcg@10"]
    assert ratio["mean"] == pytest.approx(np.mean(values["distilled"]) / np.mean(values["full_data"]))
    assert ratio["low"] <= ratio["mean"] <= ratio["high"]
    assert student["ratio_random"]["ndcg@10"]["mean"] == pytest.approx(np.mean(values["random"]) / np.mean(values["full_data"]))


def test_learning_curves_are_those_of_the_looks(judged: Judged) -> None:
    _, comparison, _, report = judged
    student = report["students"]["gru4rec"]
    cells = comparison.cells("gru4rec")
    assert list(student["curves"]) == list(cells)
    for side, cell in cells.items():
        for outcome, curve in zip(cell.outcomes, student["curves"][side], strict=True):
            assert curve["steps"] == [look.step for look in outcome.looks]
            assert max(curve["validation"]) == outcome.validation
            at_best = curve["steps"].index(outcome.best_step)
            assert curve["seconds"][at_best] == outcome.train_s
        assert student["train_seconds"][side] == pytest.approx(np.mean([outcome.train_s for outcome in cell.outcomes]))


def test_the_speed_up_can_be_computed_from_the_curves(judged: Judged) -> None:
    _, _, _, report = judged
    student = report["students"]["sasrec"]
    found = student["speedup_to_same_metric"]
    own_s: list[float] = []
    full_s: list[float] = []
    num_reached = 0
    for ours, full in zip(student["curves"]["distilled"], student["curves"]["full_data"], strict=True):
        worse = min(max(ours["validation"]), max(full["validation"]))
        for curve, seconds in ((ours, own_s), (full, full_s)):
            seconds.append(next(s for s, value in zip(curve["seconds"], curve["validation"], strict=True) if value >= worse))
        num_reached += max(full["validation"]) >= max(ours["validation"])
    assert (found["seeds_reached"], found["seeds"]) == (num_reached, 2)
    assert found["ratio"] == pytest.approx(sum(full_s) / sum(own_s))


def test_every_architecture_is_compared_with_itself(judged: Judged) -> None:
    _, _, _, report = judged
    matrix = report["cross_architecture"]
    assert (matrix["distilled_with"], matrix["metric"]) == ("sasrec", "ndcg@10")
    assert list(matrix["students"]) == ["gru4rec", "sasrec"]
    for name, row in matrix["students"].items():
        student = report["students"][name]
        assert row["full_data"] == student["full_data"]["ndcg@10"]
        assert row["distilled"] == student["distilled"]["ndcg@10"]
        assert row["ratio"] == student["ratio"]["ndcg@10"]
    means = [row["full_data"]["mean"] for row in matrix["students"].values()]
    assert means[0] != means[1]


def test_noise_is_measured_against_the_sides_own_clean_figure(judged: Judged) -> None:
    _, _, _, report = judged
    student = report["students"]["sasrec"]
    (row,) = student["noise"]
    assert row["level"] == 0.2
    for side in ("full_data", "hard"):
        kept = row[side]["ndcg@10"]
        noisy, clean = student[f"{side}_noise_20"]["ndcg@10"]["mean"], student[side]["ndcg@10"]["mean"]
        assert kept["mean"] == pytest.approx(noisy / clean)
        assert kept["low"] <= kept["high"]
    assert "distilling noisy data is another job" in report["protocol"]["noise"]


def test_sizes_of_all_sides(judged: Judged) -> None:
    _, _, _, report = judged
    sides = report["sides"]
    assert {name: side["sequences"] for name, side in sides.items()} == {
        "full_data": 60,
        "distilled": 3,
        "hard": 12,
        "hard_1": 3,
        "hard_argmax": 3,
        "random": 3,
        "full_data_noise_20": 60,
        "hard_noise_20": 12,
    }
    assert sides["hard_1"]["bytes"] == 4 * 24


def test_the_report_shows_what_sequences_look_like(judged: Judged) -> None:
    setting, _, distilled, report = judged
    shown = report["sequences"]
    assert len(shown["entropy"]["per_position"]) == len(shown["top_events"]) == 8
    likeliest = int(distilled.synthetic.probabilities().mean(0)[3].argmax())
    assert shown["top_events"][3][0]["event"] == setting.split.train.vocabulary.tokens[likeliest]


def test_size_counts_latents_and_decoder(judged: Judged) -> None:
    setting, _, _, report = judged
    assert report["size"]["sequences"] == 3
    assert report["size"]["events"] == 24
    assert report["size"]["bytes"] == 4 * (3 * 8 * 8 + 8 * 12)
    training = setting.split.train.num_events
    assert report["size"]["percent_of_events"] == pytest.approx(100 * 24 / training)
    assert report["sides"]["full_data"]["percent_of_events"] == report["sides"]["full_data"]["percent_of_bytes"] == 100.0
    assert training < len(interactions().events), "two events of each sequence are held out"


def test_break_even_is_distillation_over_what_a_training_saves(judged: Judged) -> None:
    setting, comparison, distilled, report = judged
    seconds = report["seconds"]
    saved_s = seconds["train_full_data"] - seconds["train_distilled"]
    expected = 12.0 / saved_s if saved_s > 0 else None
    assert report["break_even_trainings"] == (None if expected is None else pytest.approx(expected))
    summary = summarise_report({**report, "break_even_trainings": 7.5}, setting.metric)
    assert summary["break_even_trainings"] == 7.5
    assert summary["distilled_ndcg@10"] == report["students"]["sasrec"]["distilled"]["ndcg@10"]["mean"]
    assert summary["ratio_ndcg@10_low"] == report["students"]["sasrec"]["ratio"]["ndcg@10"]["low"]
    assert all(isinstance(value, float) for value in summary.values())
    never = summarise_report({**report, "break_even_trainings": None}, setting.metric)
    assert "break_even_trainings" not in never
    speed_up = report["students"]["sasrec"]["speedup_to_same_metric"]["ratio"]
    assert summary.get("speedup_to_same_metric") == speed_up
    assert report_on(setting, comparison, distilled, distil_s=24.0)["size"] == report["size"]


def test_the_protocol_says_what_was_decided_about_repeats(judged: Judged) -> None:
    setting, _, _, report = judged
    assert report["protocol"]["repeats_allowed"] is setting.repeats_allowed
    assert "of the validation targets are in their own history; decided from the data" in report["protocol"]["repeats"]


def test_the_page_says_how_many_seeds_the_speed_up_is_over(judged: Judged, tmp_path: Path) -> None:
    setting, comparison, distilled, report = judged
    student = report["students"]["sasrec"]
    found = {"seconds": 1.0, "reference_seconds": 3.0, "ratio": 3.0, "seeds_reached": 1, "seeds": 2}
    altered = {**report, "students": {**report["students"], "sasrec": {**student, "speedup_to_same_metric": found}}}
    page = write((setting, comparison, distilled, altered), tmp_path, History())
    assert "1 of 2 students on the full data got as far as the summary's in the end" in page


def test_the_page_begins_with_what_to_know_before_believing_a_ratio(judged: Judged, tmp_path: Path) -> None:
    setting, comparison, distilled, report = judged
    caution = {"code": "full_data_still_improving", "student": "sasrec", "message": "Raise <teacher.num_steps>."}
    page = write((setting, comparison, distilled, {**report, "cautions": [caution]}), tmp_path, History())
    before, _, after = page.partition("<strong>sasrec:</strong> Raise &lt;teacher.num_steps&gt;.")
    assert "Pays after" in before
    assert "Student sasrec" in after
    assert 'class="caution"' not in write((setting, comparison, distilled, {**report, "cautions": []}), tmp_path, History())


def test_one_student_has_no_deviation(tmp_path: Path) -> None:
    setting = prepare_setting(interactions(), tiny_spec(synthetic={"init": "random"}, evaluation={"num_seeds": 1}))
    distilled = Distilled(make_start(setting, []), 0.02)
    comparison = Comparison(setting, distilled)
    while not comparison.finished:
        comparison.advance()
    report = report_on(setting, comparison, distilled, distil_s=1.0)
    figures = report["students"]["sasrec"]["distilled"]["ndcg@10"]
    assert figures["std"] is None
    assert summarise_report(report, setting.metric)["distilled_ndcg@10"] == figures["mean"]
    page = write((setting, comparison, distilled, report), tmp_path, History())
    assert f"<td>{figures['mean']:.4f}</td>" in page
    assert "Values are of one fresh student" in page


def write(judged: Judged, directory: Path, history: History) -> str:
    setting, _, distilled, report = judged
    return write_page(report, history, setting, distilled, directory).path.read_text()


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, Any]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_the_page_is_self_contained_and_escapes_what_users_named(judged: Judged, tmp_path: Path) -> None:
    history = History(Series([1, 2], [2.0, 1.9]), Series([1, 2], [0.1, 0.2]), Series([2], [0.5]), Series([3], [0.6]))
    html = write(judged, tmp_path, history)
    parser = Tags()
    parser.feed(html)
    tags = {tag for tag, _ in parser.found}
    assert not tags & {"script", "link", "iframe", "object", "a"}
    assert "alert(&#34;x&#34;)" in html
    assert HOSTILE not in html
    sources = [attributes["src"] for tag, attributes in parser.found if tag == "img"]
    assert len(sources) == 2 * 3 + 1 + 4  # of each student, of both, of the summary and its making
    for source in sources:
        prefix = "data:image/svg+xml;base64,"
        assert source.startswith(prefix)
        svg = ElementTree.fromstring(base64.b64decode(source.removeprefix(prefix)))
        assert svg.tag.endswith("svg")
        assert not [element for element in svg.iter() if element.tag.endswith("script")]
    assert not re.search(r"(src|href)=\"(?!data:)", html)


def test_the_page_says_once_how_to_train_on_hard_sequences(judged: Judged, tmp_path: Path) -> None:
    advice = judged[3]["training"]["hard_sequences"]
    page = write(judged, tmp_path, History())
    assert page.count("To train on 4 hard sequences of each synthetic one") == 1
    assert f"batches of {advice['batch_size']}, dropout 0.0, {advice['num_steps']} steps" in page


def test_a_page_without_history_can_be_written(judged: Judged, tmp_path: Path) -> None:
    assert "Distillation report" in write(judged, tmp_path, History())


def test_the_same_report_gives_the_same_page(judged: Judged, tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    assert write(judged, tmp_path, History()) == write(judged, tmp_path / "again", History())
