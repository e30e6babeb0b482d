from __future__ import annotations

from typing import get_args

import pytest
from pydantic import ValidationError

from farzi_core.config import TASK_ARCHITECTURES, DataSummary, Task
from farzi_core.data_choices import fill_in, inner_steps
from farzi_core.errors import ConfigError
from farzi_core.presets import PRESET_NAMES, get_preset, resolve_spec
from farzi_core.work_plan import StepTimes, WorkSize, plan_distillation

TASKS: tuple[Task, ...] = get_args(Task)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", PRESET_NAMES)
def test_every_preset_is_a_valid_spec_of_its_task(task: Task, name: str) -> None:
    spec = resolve_spec(task, {"preset": name})
    assert spec.preset == name
    assert spec.student.architecture in TASK_ARCHITECTURES[task]
    assert resolve_spec(task, spec.model_dump(mode="json")) == spec


@pytest.mark.parametrize(
    "data",
    [
        DataSummary("sequential_recommendation", 4000, 330_000, 105, 200),
        DataSummary("sequential_recommendation", 943, 100_000, 1682, 737),
        DataSummary("language_modeling", 40_000, 900_000, 10_000, 80),
    ],
)
def test_presets_rise_in_cost(data: DataSummary) -> None:
    presets = [fill_in(get_preset(data.task, name), data) for name in PRESET_NAMES]
    size = WorkSize(data.vocab_size, 4000, 4000, is_text=data.task == "language_modeling")
    seconds = [sum(plan_distillation(preset, StepTimes(preset, size)).values()) for preset in presets]
    assert 0.0 < 1.5 * seconds[0] < seconds[1] < seconds[2] / 1.5
    sizes = [preset.synthetic.num_sequences for preset in presets]
    assert sizes == sorted(sizes)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", PRESET_NAMES)
def test_every_preset_keeps_to_what_made_distillation_work(task: Task, name: str) -> None:
    spec = resolve_spec(task, {"preset": name})
    assert spec.inner.betas == (0.95, 0.975)
    shortest, longest = inner_steps(spec)
    assert shortest < longest
    assert spec.meta_gradient.method == "truncated"
    assert spec.meta_gradient.window is not None
    # Windows longer than 12 are chaotic without a root of the size of the gradients.
    assert spec.inner.eps_root is None
    assert spec.meta_gradient.window <= 40
    assert spec.outer.clip_norm == "median"
    assert spec.synthetic.init == "teacher"
    assert spec.evaluation.num_seeds >= 3


@pytest.mark.parametrize("task", TASKS)
def test_patience_ends_an_outer_loop_only_where_there_are_validations_enough(task: Task) -> None:
    patience = {name: get_preset(task, name).outer.patience for name in PRESET_NAMES}
    assert patience == {"quick": None, "standard": 4, "thorough": 8}
    quick = fill_in(get_preset(task, "quick"), DataSummary(task, 4000, 330_000, 1000, 200)).outer
    assert quick.num_steps is not None
    assert quick.num_steps / quick.validate_every <= 4


def test_overrides_lie_over_the_preset_object_by_object() -> None:
    spec = resolve_spec("sequential_recommendation", {"preset": "quick", "outer": {"num_steps": 7}, "seed": 3})
    quick = get_preset("sequential_recommendation", "quick")
    assert spec.outer == quick.outer.model_copy(update={"num_steps": 7})
    assert spec.inner == quick.inner
    assert spec.seed == 3


def test_a_baseline_named_twice_is_refused() -> None:
    with pytest.raises(ValidationError, match="head more than once"):
        resolve_spec("sequential_recommendation", {"evaluation": {"baselines": ["head", "random", "head"]}})


def test_the_default_is_standard() -> None:
    assert resolve_spec("language_modeling", {}) == get_preset("language_modeling", "standard")


def test_an_unknown_preset_names_those_there_are() -> None:
    with pytest.raises(ConfigError, match="quick, standard, thorough") as caught:
        resolve_spec("language_modeling", {"preset": "fast"})
    assert caught.value.pointer == "/preset"


@pytest.mark.parametrize("overrides", [{"outer": {"steps": 3}}, {"outer": 3}, {"inner": {"betas": [0.9, 1.0]}}, {"colour": 1}])
def test_what_is_not_in_the_spec_is_refused(overrides: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        resolve_spec("sequential_recommendation", overrides)


WHOLE_LOOP = ("stored", "offloaded", "checkpointed", "reversed")


@pytest.mark.parametrize("method", WHOLE_LOOP)
def test_a_window_that_its_method_ignores_is_refused(method: str) -> None:
    with pytest.raises(ConfigError, match=f"window=12 was given, but method '{method}' differentiates all") as caught:
        resolve_spec("sequential_recommendation", {"meta_gradient": {"method": method, "window": 12}})
    assert caught.value.pointer == "/meta_gradient/window"
    for window in (None, 16):
        spec = resolve_spec("sequential_recommendation", {"meta_gradient": {"method": method, "window": window}})
        assert spec.meta_gradient.num_differentiated(100) == 100


@pytest.mark.parametrize("method", WHOLE_LOOP)
def test_the_window_of_a_preset_goes_where_the_method_takes_none(method: str) -> None:
    spec = resolve_spec("sequential_recommendation", {"preset": "quick", "meta_gradient": {"method": method}})
    assert spec.meta_gradient.window is None
    published = resolve_spec("sequential_recommendation", {"preset": "quick", "meta_gradient": {"method": "published"}})
    assert published.meta_gradient.window == get_preset("sequential_recommendation", "quick").meta_gradient.window == 40


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("preset", PRESET_NAMES)
def test_every_preset_can_do_without_a_pool(task: Task, preset: str) -> None:
    outer = resolve_spec(task, {"preset": preset, "outer": {"pool_size": 0}}).outer
    assert (outer.pool_size, outer.pool_max_steps) == (0, None)
    with pytest.raises(ValidationError, match="pool_max_steps=70 was given, but pool_size is 0"):
        resolve_spec(task, {"preset": preset, "outer": {"pool_size": 0, "pool_max_steps": 70}})
