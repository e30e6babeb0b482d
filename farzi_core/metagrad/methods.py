"""Which trajectory each method walks, and which arguments it takes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal, get_args

from torch import Tensor

from farzi_core.errors import ConfigError
from farzi_core.metagrad.adam import AdamConfig
from farzi_core.metagrad.budget import Plan, default_budget, measure_graph, num_spare_graphs, plan_checkpointed, plan_stored
from farzi_core.metagrad.hvp import PRODUCTS, InnerGradient
from farzi_core.metagrad.offloading import HostStack
from farzi_core.metagrad.reversing import ReversedTrajectory
from farzi_core.metagrad.states import CheckpointedTrajectory, StoredTrajectory, Trajectory

Method = Literal["stored", "offloaded", "checkpointed", "reversed", "truncated", "published", "unrolled"]
METHODS: tuple[Method, ...] = get_args(Method)
WindowPosition = Literal["last", "random"]
_TAKE_WINDOW = ("truncated", "published")
_TAKE_BUDGET = ("stored", "checkpointed", "truncated")


def check_arguments(
    *,
    method: str,
    product: str,
    num_inner_steps: int,
    window: int | None,
    window_position: str,
    memory_budget_bytes: int | None,
    adam: AdamConfig,
) -> None:
    """Raise ConfigError for what no method, or not this one, allows."""
    if method not in METHODS:
        raise ConfigError(f"method={method!r} is not known; allowed: {', '.join(METHODS)}", pointer="/meta_gradient/method")
    if product not in PRODUCTS:
        raise ConfigError(f"product={product!r} is not known; allowed: {', '.join(PRODUCTS)}")
    if num_inner_steps < 1:
        raise ConfigError(f"num_inner_steps={num_inner_steps} trains nothing; give 1 or more", pointer="/inner/num_steps")
    if (window is None and method == "truncated") or (window is not None and window < 1 and method in _TAKE_WINDOW):
        raise ConfigError(
            f"method {method!r} was given window={window}; give the number of inner steps to differentiate, 1 or more",
            pointer="/meta_gradient/window",
        )
    if window_position not in get_args(WindowPosition):
        raise ConfigError(f"window_position={window_position!r} is not known; allowed: last, random")
    if window_position == "random" and method != "truncated":
        raise ConfigError(f"window_position='random' was given with method {method!r}; it belongs to method 'truncated'")
    if memory_budget_bytes is not None and method not in _TAKE_BUDGET:
        raise ConfigError(f"memory_budget_bytes was given with method {method!r}; allowed with {', '.join(_TAKE_BUDGET)}")
    if adam.schedule is not None and len(adam.schedule) != num_inner_steps:
        raise ConfigError(
            f"adam.lr is a schedule of {len(adam.schedule)} values for num_inner_steps={num_inner_steps}; give one value a step"
        )


def make_trajectory(
    method: Method,
    inner: InnerGradient,
    adam: AdamConfig,
    start: Tensor,
    *,
    num_steps: int,
    window: int | None,
    memory_budget_bytes: int | None,
) -> Trajectory:
    """Return the trajectory that ``method`` walks, planned for ``num_steps`` steps from ``start`` (N,)."""
    if method == "reversed":
        return ReversedTrajectory(inner, adam)
    if method == "offloaded" and start.is_cuda:
        return StoredTrajectory(inner, adam, stack=HostStack(start.device))
    kept = num_steps if window is None or method not in _TAKE_WINDOW else min(window, num_steps)
    plan = _plan(method, inner, start, kept, memory_budget_bytes)
    # In forward over reverse there are no graphs to keep.
    num_graphs = 0 if inner.is_forward_over_reverse else plan.num_graphs

    # Not by a function that calls itself: it would keep the synthetic data until Python next looks for cycles.
    make: Callable[[], Trajectory] = partial(
        StoredTrajectory, inner, adam, window=kept if method in _TAKE_WINDOW else None, num_graphs=num_graphs
    )
    for _ in range(plan.num_levels):
        make = partial(CheckpointedTrajectory, inner, adam, plan.num_pieces, make)
    return make()


def _plan(method: Method, inner: InnerGradient, start: Tensor, num_steps: int, budget: int | None) -> Plan:
    graph_bytes = measure_graph(inner, start)
    if method == "checkpointed":
        allowed = default_budget(num_steps, start.nbytes, graph_bytes) if budget is None else budget
        return plan_checkpointed(num_steps, start.nbytes, graph_bytes, allowed)
    if budget is None:
        return Plan(0, 1, 1 + num_spare_graphs(num_steps, graph_bytes))
    return plan_stored(num_steps, start.nbytes, graph_bytes, budget)
