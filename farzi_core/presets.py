"""Presets: complete specs per task and name, and the merge of a user's overrides into one.

``quick`` of recommendation was searched on nycflights13 and measured on ML-100K; ``standard`` was searched on ML-100K and
measured on three others, ``thorough`` measured on ML-100K. ``standard`` of text was measured on Penn Treebank with 2,000 words
and ``quick`` on a small corpus (``docs/log.md``, ``docs/results.md``). ``thorough`` of text is a starting point.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast, get_args

from farzi_core.config import DEFAULT_WINDOW, WINDOWED_METHODS, DistillationSpec, PresetName, Task
from farzi_core.errors import ConfigError

PRESET_NAMES: tuple[PresetName, ...] = get_args(PresetName)
DEFAULT_PRESET: PresetName = "standard"

_RECOMMENDATION: dict[str, Any] = {"synthetic": {"inputs": None}}
_LANGUAGE: dict[str, Any] = {
    "student": {"architecture": "transformer_lm", "hidden_size": 64, "num_layers": 2, "num_heads": 2},
    # A hundred sequences were too few: perplexity 2.5 times that of full data on Penn Treebank, where 400 reach 1.3 times, and
    # 1.13 times with 2,000 words.
    "synthetic": {"num_sequences": 400, "latent_dim": 64, "inputs": None},
    # At .006 students stop at perplexities of 60 to 68 instead of 53; on twenty sequences a step .0015 is ahead of .003 for a
    # thousand steps and as good after two. Inner loops from fresh students never came to where a text is learned, and gained
    # nothing; with a pool validation went from 57.1 to 55.8 in 50 steps and no further.
    "inner": {"num_steps": 60, "min_steps": 40, "lr": 0.0015},
    "outer": {
        "num_steps": 100,
        "batch_size": 128,
        "lr": 0.005,
        "pool_max_steps": 3000,
        "validate_every": 25,
        "validation_steps": 2000,
    },
    # Full data has as many steps as a summary: after 600 its perplexity was 62, after 3,900 47 (Penn Treebank, 2,000 words).
    "teacher": {"num_steps": 2000},
    # A look costs windows x length x V: a few thousand events are enough to choose a step by. Students of predictions behind
    # events go on learning for more than three thousand steps.
    "evaluation": {"max_validation_cases": 200, "max_steps": 4000, "lr_factors": (1.0, 2.0)},
}

# Two to four validations are too few for patience to end anything but a loop that goes well.
_OVERRIDES: dict[Task, dict[PresetName, dict[str, Any]]] = {
    "sequential_recommendation": {
        "quick": {
            "synthetic": {"num_sequences": 20},
            "inner": {"lr": 0.008},
            # How many outer steps, and how large, goes by the inputs: farzi_core/data_choices.py.
            "outer": {"batch_size": 256, "validate_every": 40, "patience": None},
            "meta_gradient": {"window": 40},
            "teacher": {"num_steps": 600},
            "evaluation": {"max_validation_cases": 1000, "hard_variants": ()},
        },
        "standard": {},
        "thorough": {
            "outer": {"num_steps": 900, "patience": 8},
            "meta_gradient": {"window": 24},
            "evaluation": {"num_seeds": 5},
        },
    },
    "language_modeling": {
        "quick": {
            "student": {"hidden_size": 32, "num_heads": 1},
            "synthetic": {"num_sequences": 100, "latent_dim": 32},
            "inner": {"num_steps": 60, "min_steps": 40, "lr": 0.003},
            "outer": {
                "num_steps": 40,
                "lr": 0.005,
                "pool_max_steps": 1000,
                "validate_every": 20,
                "validation_steps": 1000,
                "patience": None,
            },
            "teacher": {"num_steps": 600, "batch_size": 64},
            "evaluation": {
                "lr_factors": (1.0,),
                "hard_variants": (),
                "max_steps": 2000,
                "max_validation_cases": 100,
                "patience": 5,
            },
        },
        "standard": {},
        "thorough": {
            "synthetic": {"num_sequences": 800},
            "outer": {"num_steps": 300, "patience": 8},
            "teacher": {"num_steps": 4000},
            "evaluation": {"num_seeds": 5, "max_steps": 6000},
        },
    },
}

_TASK_DEFAULTS: dict[Task, dict[str, Any]] = {
    "sequential_recommendation": _RECOMMENDATION,
    "language_modeling": _LANGUAGE,
}


def get_preset(task: Task, name: PresetName) -> DistillationSpec:
    """Return the complete spec of preset ``name`` for ``task``."""
    values = merge(_TASK_DEFAULTS[task], _OVERRIDES[task][name])
    return DistillationSpec.model_validate({**values, "preset": name})


def resolve_spec(task: Task, overrides: Mapping[str, Any]) -> DistillationSpec:
    """Return the complete spec: the preset named in ``overrides`` (default ``standard``) with the overrides on top.

    Raises:
        ConfigError: the preset is unknown, or a window was given to a method that differentiates all inner steps.
        pydantic.ValidationError: a field is unknown or its value is not allowed; its locations are paths into the spec.
    """
    name = overrides.get("preset", DEFAULT_PRESET)
    if name not in PRESET_NAMES:
        raise ConfigError(f"preset {name!r} is not known; allowed: {', '.join(PRESET_NAMES)}", pointer="/preset")
    base = get_preset(task, cast(PresetName, name)).model_dump()
    if _takes_no_window(overrides.get("meta_gradient")):
        # That of the preset was chosen for another method.
        base["meta_gradient"]["window"] = None
    if _takes_no_pool(overrides.get("outer")):
        # That of the preset was chosen for its pool.
        base["outer"]["pool_max_steps"] = None
    spec = DistillationSpec.model_validate(merge(base, overrides))
    method, window = spec.meta_gradient.method, spec.meta_gradient.window
    # Not a rule of the spec itself: those that are stored were taken before there was one.
    if method not in WINDOWED_METHODS and window not in {None, DEFAULT_WINDOW}:
        raise ConfigError(
            f"window={window} was given, but method {method!r} differentiates all inner steps; set method to 'truncated' or "
            "'published', or window to null",
            pointer="/meta_gradient/window",
        )
    return spec


def _takes_no_window(meta_gradient: Any) -> bool:
    """Return whether a user chose a method that differentiates all inner steps."""
    method = meta_gradient.get("method") if isinstance(meta_gradient, Mapping) else None
    return method is not None and method not in WINDOWED_METHODS


def _takes_no_pool(outer: Any) -> bool:
    """Return whether a user asked for a new student in every inner loop."""
    return isinstance(outer, Mapping) and outer.get("pool_size") == 0


def merge(base: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with ``overrides`` laid over it, object by object; anything that is not an object replaces."""
    merged = dict(base)
    for key, value in overrides.items():
        if isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            merged[key] = merge(merged[key], cast(Mapping[str, Any], value))
        else:
            merged[key] = value
    return merged
