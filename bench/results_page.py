"""Writes docs/results.md from the committed comparisons, with some baselines or with all of them.

Every figure in it is read from ``bench/results/comparison_*.json`` and ``baselines_*.json``.

python -m bench.results_page
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from jinja2 import Environment, StrictUndefined

from bench.baselines import make_spec
from farzi_core.evaluation.cautions import is_still_improving

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "bench" / "results"
DOCUMENT = ROOT / "docs" / "results.md"
TEMPLATE = Path(__file__).with_name("results.md.jinja")
# How a comparison names the ratio of a side.
RATIO_OF = "ratio_"
SIDES = {"distilled": "ratio", "hard": "ratio_hard", "hard_1": "ratio_hard_1", "random": "ratio_random"}
NOT_MEASURED = "-"
# For which an open ``synthetic.inputs`` meant events in runs that did not keep what the data decided.
SHOWN_EVENTS = ("ml-100k", "ml-1m", "ptb", "ptb-2k")
# For which it means soft tokens today: few different events.
SHOWN_SOFT_TOKENS = ("nycflights13",)
# Up to this many sequences ten at a step were seen before pools as well.
MOST_WITH_TEN = 50

Comparison = dict[str, Any]


def main() -> None:
    """Write the page."""
    DOCUMENT.write_text(render(read_comparisons(), read_baselines()), encoding="utf-8")


def read_comparisons() -> list[Comparison]:
    """Return every committed comparison, by data set and size."""
    return _read_all("comparison_*.json")


def read_baselines() -> list[Comparison]:
    """Return every committed comparison with all baselines, by data set and size."""
    return _read_all("baselines_*.json")


def _read_all(pattern: str) -> list[Comparison]:
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(RESULTS.glob(pattern))]
    return sorted(found, key=lambda comparison: (comparison["data_set"], comparison["size"]["events"]))


def render(comparisons: list[Comparison], baselines: list[Comparison]) -> str:
    """Return the page as Markdown."""
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True, autoescape=False)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(
        quality=_table(
            ["run", "data", "S x L", "of the events", "student", "metric", "full data", "its steps", *SIDES, "rule of hard"],
            [[str(run), *row] for run, comparison in enumerate(comparisons, 1) for row in _quality(comparison)],
        ),
        cost=_table(
            [
                "run",
                "data",
                "S x L",
                "computed on",
                "events",
                "bytes",
                "distil s",
                "train s: full",
                "distilled",
                "speed-up to the same (seeds that got there)",
                "break-even",
            ],
            [[str(run), *_cost(comparison)] for run, comparison in enumerate(comparisons, 1)],
        ),
        baselines=_table(
            ["data", "S x L", "trained on", "sequences", "events", "bytes", "metric", "mean ± std", "of full data"],
            [row for comparison in baselines for row in _baselines(comparison)],
        ),
        commands=[_command(comparison) for comparison in comparisons],
        shown_soft_tokens=_list_runs(comparisons, lambda comparison: not _shown_events(comparison)),
        start_left_out=_list_runs(comparisons, _left_start_out),
        early=_list_runs(comparisons, _is_early),
        larger_steps=_list_runs(comparisons, _saw_a_fifth),
        cut_short=_list_runs(comparisons, _is_cut_short),
        slow=_list_runs(comparisons, _had_slow_steps),
        baseline_commands=[_command(comparison) for comparison in baselines],
    )


def _list_runs(comparisons: list[Comparison], holds: Callable[[Comparison], bool]) -> str:
    return ", ".join(str(run) for run, comparison in enumerate(comparisons, 1) if holds(comparison))


def _quality(comparison: Comparison) -> list[list[str]]:
    """One row a student: full data's figure, and each side's ratio to it."""
    metric = _metric(comparison)
    rule, rows = _hard_rule(comparison), []
    for name, student in comparison["students"].items():
        full = student["full_data"][metric]
        ratios = [_interval(student.get(ratio, {}).get(metric)) for ratio in SIDES.values()]
        spread = "" if full["std"] is None else f" ± {full['std']:.2g}"
        share = _percent(comparison["size"], comparison["sides"]["full_data"], "events")
        steps = f"{median(_best_steps(student)):g} of {_longest_training(comparison)}"
        rows.append([*_head(comparison), share, name, metric, f"{full['mean']:.4g}{spread}", steps, *ratios, rule])
    return rows


def _best_steps(student: dict[str, Any]) -> list[int]:
    """Return after how many steps each student of full data was best."""
    steps: list[int] = student["chosen"]["full_data"]["steps"]
    return steps


def _longest_training(comparison: Comparison) -> int:
    """Return how many steps students of full data were allowed."""
    steps: int = comparison["spec"]["teacher"]["num_steps"]
    return steps


def _is_cut_short(comparison: Comparison) -> bool:
    """Whether full data was probably still improving for some architecture, as the product's reports caution."""
    longest = _longest_training(comparison)
    return any(is_still_improving(_best_steps(student), longest) for student in comparison["students"].values())


def _had_slow_steps(comparison: Comparison) -> bool:
    """Whether every step gave its memory back: runs have named their commit since steps keep it, and a GPU has its own."""
    return "commit" not in comparison and comparison.get("gpu") is None


def _hard_rule(comparison: Comparison) -> str:
    """Return the exponents that hard sequences were drawn by: the soft tokens alone in the earliest runs, not kept in one."""
    if "hard_rule" not in comparison["protocol"]:
        return "1, 0"
    drawn = comparison.get("hard_sequences")
    return NOT_MEASURED if drawn is None else ", ".join(f"{exponent:g}" for exponent in drawn["rule"])


def _cost(comparison: Comparison) -> list[str]:
    """What the summary weighs and what it saves, for the student that distilled."""
    size, seconds = comparison["size"], comparison["seconds"]
    break_even = comparison["break_even_trainings"]
    return [
        *_head(comparison),
        comparison.get("gpu") or "a processor",
        _share(size, comparison["sides"]["full_data"], "events"),
        _share(size, comparison["sides"]["full_data"], "bytes"),
        f"{seconds['distil']:.0f}",
        f"{seconds['train_full_data']:.1f}",
        f"{seconds['train_distilled']:.1f}",
        _speed_up(comparison),
        NOT_MEASURED if break_even is None else f"{break_even:.0f}",
    ]


def _baselines(comparison: Comparison) -> list[list[str]]:
    """One row a side, the best first: how much it holds, and what the student that distilled makes of it."""
    metric, figures = _metric(comparison), _headline(comparison)
    ratios = {side: figures[RATIO_OF + side] for side in figures if RATIO_OF + side in figures}
    ratios["distilled"] = figures[SIDES["distilled"]]
    best_first = sorted(ratios, key=lambda side: -float(ratios[side][metric]["mean"]))
    rows = []
    for side in best_first:
        held, value = comparison["sides"][side], figures[side][metric]
        sizes = [f"{held[unit]:,}" for unit in ("sequences", "events", "bytes")]
        mean = f"{value['mean']:.4g} ± {value['std']:.2g}"
        rows.append([*_head(comparison), f"`{side}`", *sizes, metric, mean, _interval(ratios[side][metric])])
    return rows


def _head(comparison: Comparison) -> list[str]:
    synthetic = _filled(comparison)["synthetic"]
    return [comparison["data_set"], f"{synthetic['num_sequences']} x {synthetic['sequence_length']}"]


def _filled(comparison: Comparison) -> dict[str, Any]:
    """Return the spec with what the data decided, where a run kept it."""
    spec: dict[str, Any] = comparison.get("filled_spec") or comparison["spec"]
    return spec


def _shown_events(comparison: Comparison) -> bool:
    """Whether students were shown events, not soft tokens."""
    inputs = _filled(comparison)["synthetic"].get("inputs")
    return inputs == "sampled_events" or (inputs is None and comparison["data_set"] in SHOWN_EVENTS)


def _headline(comparison: Comparison) -> dict[str, Any]:
    """Return the figures of the student that distilled, of the first one where that was not judged."""
    students: dict[str, Any] = comparison["students"]
    name: str = comparison["spec"]["student"]["architecture"]
    figures: dict[str, Any] = students[name if name in students else next(iter(students))]
    return figures


def _metric(comparison: Comparison) -> str:
    return "perplexity" if comparison["task"] == "language_modeling" else "ndcg@10"


def _share(size: dict[str, float], training: dict[str, float], unit: str) -> str:
    """Return a size and its share of the training data: some of the runs counted held-out events as well."""
    return f"{size[unit]:,} ({_percent(size, training, unit)})"


def _percent(size: dict[str, float], training: dict[str, float], unit: str) -> str:
    percent = 100 * size[unit] / training[unit]
    return f"{percent:.2g} %" if percent < 100 else f"{percent:,.0f} %"


def _speed_up(comparison: Comparison) -> str:
    """Return the speed-up and over what it is: an earlier rule left out the seeds on which the summary's student was better."""
    found, seeds = _headline(comparison)["speedup_to_same_metric"], comparison["protocol"]["num_seeds"]
    ratio, reached = found["ratio"], found["seeds_reached"]
    left_out = reached < seeds and "ends up worse" not in comparison["protocol"].get("speedup_to_same_metric", "")
    counted = f"({reached} of {seeds}{' alone' if left_out else ''})"
    return f"{NOT_MEASURED} {counted}" if ratio is None else f"{ratio:.1f} {counted}"


def _interval(ratio: dict[str, float] | None) -> str:
    return NOT_MEASURED if ratio is None else f"{ratio['mean']:.3f} ({ratio['low']:.3f} to {ratio['high']:.3f})"


def _left_start_out(comparison: Comparison) -> bool:
    """Whether a run was made before the start was validated, from when on validations had steps of their own."""
    return "validation_steps" not in comparison["spec"]["outer"]


def _is_early(comparison: Comparison) -> bool:
    """Whether a run on events as inputs had the defaults of before: since then the longest training depends on the inputs."""
    return (
        _shown_events(comparison)
        and "hard_rule" not in comparison["protocol"]
        and comparison["spec"]["evaluation"]["max_steps"] is not None
    )


def _had_no_pool(comparison: Comparison) -> bool:
    """Whether a run on events as inputs was made before there were pools of students."""
    return _shown_events(comparison) and "pool_size" not in comparison["spec"]["outer"]


def _saw_a_fifth(comparison: Comparison) -> bool:
    """Whether a step on soft tokens saw a fifth of the sequences, more than ten: so it was before there were pools."""
    is_open = comparison["spec"]["inner"]["batch_size"] is None
    is_large = comparison["size"]["sequences"] > MOST_WITH_TEN
    return is_open and is_large and _had_no_pool(comparison) and not _is_early(comparison)


def _command(comparison: Comparison) -> str:
    """Return what makes the run again, with those fields named whose defaults were others."""
    words = ["python", "-m", "bench.baselines", "--data-set", comparison["data_set"], "--preset", comparison["preset"]]
    fields = list(comparison["set"])
    today = make_spec(comparison["task"], comparison["preset"], fields).model_dump(mode="json")
    for part, recorded in comparison["spec"].items():
        if isinstance(recorded, dict):
            fields += [f"{part}.{name}={json.dumps(used)}" for name, used in recorded.items() if today[part][name] != used]
    if _had_no_pool(comparison):
        fields.append("outer.pool_size=0")
    meant_today = comparison["data_set"] not in SHOWN_SOFT_TOKENS
    if comparison["spec"]["synthetic"].get("inputs") is None and _shown_events(comparison) != meant_today:
        fields.append(f'synthetic.inputs="{"soft_tokens" if meant_today else "sampled_events"}"')
    for field in fields:
        words += ["--set", field]
    return shlex.join(words)


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    main()
