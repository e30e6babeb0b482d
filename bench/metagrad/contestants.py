"""Who takes part, and how each is reached. Libraries are loaded only when their turn comes."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol, cast

if TYPE_CHECKING:
    from bench.metagrad.problem import Array, Problem

BASELINE = "torchopt"
LIBRARIES = ("torchopt", "higher", "jax", "optax")


@dataclass(frozen=True)
class Gradient:
    """The outer loss after training, and its derivative for the synthetic data (S, L, V)."""

    outer_loss: float
    synthetic: Array


class Run(Protocol):
    """Computes one meta-gradient."""

    def __call__(self) -> Gradient: ...


@dataclass(frozen=True)
class Contestant:
    """A way to compute the meta-gradient.

    Attributes:
        name: in results and in tables.
        module: of ``bench.metagrad.peers``.
        loss: ``plain``: library operations only; ``farzi``: with this project's ``log_normalizer``.
        options: what the module's ``make`` is given.
        in_long_loops: whether it takes part at large T, where a run takes longest and adds least to what shorter loops show.
    """

    name: str
    module: str
    loss: str
    options: dict[str, Any]
    in_long_loops: bool = True

    @property
    def is_compiled(self) -> bool:
        return self.module == "with_jax"


def _farzi(method: str, loss: str, *, in_long_loops: bool = True) -> Contestant:
    name = f"farzi {method}" + (" + farzi loss" if loss == "farzi" else "")
    return Contestant(name, "farzi", loss, {"method": method}, in_long_loops)


CONTESTANTS = {
    contestant.name: contestant
    for contestant in (
        Contestant(BASELINE, "with_torchopt", "plain", {}),
        Contestant("higher", "with_higher", "plain", {}, in_long_loops=False),
        Contestant("jax scan", "with_jax", "plain", {"checkpointed": False}, in_long_loops=False),
        Contestant("jax scan + checkpoint", "with_jax", "plain", {"checkpointed": True}),
        _farzi("stored", "plain", in_long_loops=False),
        _farzi("checkpointed", "plain"),
        Contestant("torchopt + farzi loss", "with_torchopt", "farzi", {}),
        _farzi("stored", "farzi"),
        _farzi("checkpointed", "farzi"),
        _farzi("reversed", "farzi"),
    )
}

FLAT = ("farzi checkpointed + farzi loss", "farzi reversed + farzi loss")


def prepare(contestant: Contestant, problem: Problem) -> Run:
    """Return the contestant's run, compiled and warm."""
    options = contestant.options
    if not contestant.is_compiled:
        losses = importlib.import_module("bench.metagrad.torch_losses")
        options = options | {"soft_loss": losses.SOFT_LOSSES[contestant.loss]}
    module = importlib.import_module(f"bench.metagrad.peers.{contestant.module}")
    make = cast("Callable[..., Callable[[Problem], Run]]", module.make)
    return make(**options)(problem)


def missing_libraries() -> list[str]:
    return [name for name in LIBRARIES if find_spec(name) is None]
