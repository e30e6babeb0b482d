"""Chooses, for a number of bytes, what is kept of an inner loop: every step or checkpoints, and how many whole graphs.

Knows sizes only. P below is the size of the parameters in bytes, T the number of steps; model and derivation are in
``docs/design/reverse-adam.md``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from farzi_core.errors import ConfigError
from farzi_core.metagrad.hvp import InnerGradient

# A loop that keeps n of its T graphs saves n of T gradients: more than a few per cent only where T is short. These bounds
# leave the peak of T >= 60 at a tenth of an unrolled loop's; figures in docs/benchmarks.md.
SHORT_LOOP_STEPS = 100
SPARE_GRAPHS_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Plan:
    """What is kept of a loop.

    Attributes:
        num_levels: how often pieces are split again; 0: every step is kept.
        num_pieces: pieces at each level.
        num_graphs: graphs kept of the steps of a piece that is walked back, 1 or more.
    """

    num_levels: int
    num_pieces: int
    num_graphs: int


def default_budget(num_steps: int, params_bytes: int, graph_bytes: int) -> int:
    """Return what about sqrt(T) checkpoints take, or one graph where that is more, and the spare graphs of a short loop.

    Next to the graph that every product needs anyway, a second one's worth of states does not show, and a loop that fits in
    there whole is not computed again.
    """
    pieces = max(1, math.isqrt(num_steps))
    states = max(graph_bytes, 3 * params_bytes * pieces + stored_bytes(math.ceil(num_steps / pieces), params_bytes))
    return states + num_spare_graphs(num_steps, graph_bytes) * graph_bytes


def num_spare_graphs(num_steps: int, graph_bytes: int) -> int:
    """Return how many graphs are kept unasked, next to the one in use: 100 / T - 1, of at most 256 MiB together."""
    by_length = min(num_steps, SHORT_LOOP_STEPS // num_steps) - 1
    return max(0, min(by_length, SPARE_GRAPHS_BYTES // max(1, graph_bytes)))


def stored_bytes(num_steps: int, params_bytes: int) -> int:
    """Return what keeping every step takes, without graphs: P T for gradients and about 6 P sqrt(T) for states."""
    spacing = max(1, math.isqrt(num_steps))
    return params_bytes * (num_steps + 3 * math.ceil(num_steps / spacing) + 3 * spacing)


def plan_stored(num_steps: int, params_bytes: int, graph_bytes: int, budget: int) -> Plan:
    """Return how many graphs fit next to every step."""
    used = stored_bytes(num_steps, params_bytes)
    if used > budget:
        raise ConfigError(
            f"memory_budget_bytes={budget} is less than the {used} bytes that keeping {num_steps} steps takes; "
            "give more, or choose method 'checkpointed'"
        )
    return Plan(0, 1, _num_graphs(num_steps, graph_bytes, budget - used))


def plan_checkpointed(num_steps: int, params_bytes: int, graph_bytes: int, budget: int) -> Plan:
    """Return the plan that fits the budget and computes the fewest gradients.

    Raises:
        ConfigError: no plan fits; the message names the least that does.
    """
    least, best, fewest = math.inf, None, math.inf
    for levels, pieces in _splits(num_steps):
        length = math.ceil(num_steps / pieces**levels)
        used = 3 * params_bytes * pieces * levels + stored_bytes(length, params_bytes)
        least = min(least, used)
        if used > budget:
            continue
        num_graphs = _num_graphs(length, graph_bytes, budget - used)
        computed = levels * (num_steps - length) - min(num_steps, num_graphs * math.ceil(num_steps / length))
        if computed < fewest:
            best, fewest = Plan(levels, pieces, num_graphs), computed
    if best is None:
        raise ConfigError(
            f"memory_budget_bytes={budget} is less than any plan for {num_steps} steps takes; give {int(least)} or more, or "
            "choose method 'reversed'"
        )
    return best


def measure_graph(inner: InnerGradient, params: Tensor) -> int:
    """Return the bytes that the graph of one inner gradient keeps alive, next to params and synthetic data.

    A loss that calls ``torch.func.grad`` cannot be measured: its graph counts as too large to keep a spare one.

    Cost: one inner gradient, which ``inner`` remembers as that of step 0, so that a loop from ``params`` saves it.
    """
    sizes: dict[int, int] = {}
    given = {value.untyped_storage().data_ptr() for value in (params, *inner.synthetic.values())}

    def record(value: Tensor) -> Tensor:
        if value.layout is torch.strided and value.untyped_storage().data_ptr() not in given:  # sparse: little to count
            sizes[value.untyped_storage().data_ptr()] = value.untyped_storage().nbytes()
        # Without its graph, which autograd puts back: an operation that keeps its own result would keep itself for ever.
        return value.detach()

    try:
        with torch.autograd.graph.saved_tensors_hooks(record, lambda value: value):
            inner.remember(params, inner.linearize(params, 0))
    except RuntimeError as error:
        if "saved tensor hooks" not in str(error):
            raise
        return SPARE_GRAPHS_BYTES + 1
    return sum(sizes.values())


def _splits(num_steps: int) -> Iterator[tuple[int, int]]:
    yield 0, 1
    for levels in range(1, num_steps.bit_length()):
        for pieces in range(2, math.ceil(num_steps ** (1 / levels)) + 1):
            yield levels, pieces


def _num_graphs(num_steps: int, graph_bytes: int, free: int) -> int:
    return min(num_steps, 1 + free // max(1, graph_bytes))
