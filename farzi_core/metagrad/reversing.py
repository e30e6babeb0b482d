"""Runs an inner loop of Adam back to its start, bit for bit, in memory that does not depend on its length.

Floating point cannot: dividing by the betas blows rounding up. Here parameters and moments are fixed-point integers, sums of
integers are exact, and what multiplication by a beta drops is kept in an information buffer. The gradient of a step is made
from the same bits in both directions by the same computation, so it has the same bits. Source: Maclaurin, Duvenaud and Adams
2015, arXiv 1502.03492, for momentum; here for Adam.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from farzi_core.metagrad.adam import AdamConfig, AdamState
from farzi_core.metagrad.fixed_point import FixedPoint
from farzi_core.metagrad.hvp import Linearization
from farzi_core.metagrad.information_buffer import InformationBuffer
from farzi_core.metagrad.states import Gradients, InnerStep

# Steps of 6e-14, 2e-16 and 3e-18, where values leave room for them.
_PARAMS_BITS, _EXP_AVG_BITS, _EXP_AVG_SQ_BITS = 44, 52, 58
# How far values may grow beyond the first ones: params 2**10-fold, gradients 2**5-fold (their squares 2**10-fold).
_PARAMS_HEADROOM, _EXP_AVG_HEADROOM, _EXP_AVG_SQ_HEADROOM = 10, 5, 10


class ReversedTrajectory:
    """Keeps the present state only: w, m and v as int64, the start of w, and the information buffers of m and v.

    ``replay_error`` compares the start with what walking back arrives at: 0 unless the inner loss is not deterministic.

    Memory: 32 bytes a parameter, and 8 more for each word of the buffers.
    """

    def __init__(self, gradients: Gradients, adam: AdamConfig) -> None:
        self.replay_error = 0.0
        self._gradients = gradients
        self._adam = adam
        self._buffers = InformationBuffer(adam.betas[0]), InformationBuffer(adam.betas[1])
        self._last_graph: Linearization | None = None

    def run(self, start: AdamState, num_steps: int) -> AdamState:
        self._dtype = start.params.dtype
        params = start.params.to(torch.float64)
        self._params_format = FixedPoint.fitting("params", float(params.abs().max()), _PARAMS_BITS, _PARAMS_HEADROOM)
        self._params = self._params_format.encode(params, 0)
        self._start_params = self._params.clone()
        self._exp_avg, self._exp_avg_sq = torch.zeros_like(self._params), torch.zeros_like(self._params)
        self._step = start.step
        for index in range(num_steps):
            self._last_graph = None  # at most one graph is alive
            self._last_graph = self._gradients.linearize(self._float_params(), self._step)
            if index == 0:
                self._choose_formats(self._last_graph.grad)
            self._advance(self._last_graph.grad)
        return self._state()

    def walk_back(self) -> Iterator[InnerStep]:
        largest = [self._params.abs().max(), self._exp_avg.abs().max(), self._exp_avg_sq.abs().max()]
        while self._step > 0:
            after = self._state()
            self._params.add_(self._update())
            params = self._float_params()
            graph = self._last_graph or self._gradients.linearize(params, self._step - 1)
            self._last_graph = None
            self._step -= 1
            self._take_back(graph.grad)
            yield InnerStep(self._step, params, graph.grad, after, graph)
            del graph
        differences = [self._params - self._start_params, self._exp_avg, self._exp_avg_sq]
        self.replay_error = max(
            int(difference.abs().max()) / max(1, int(scale)) for difference, scale in zip(differences, largest, strict=True)
        )

    def kept_tensors(self) -> list[Tensor]:
        """Return everything that is kept for the way back, apart from the graph of the last step."""
        kept = [self._params, self._start_params, self._exp_avg, self._exp_avg_sq]
        return kept + [word for buffer in self._buffers for word in buffer.words]

    def _choose_formats(self, grad: Tensor) -> None:
        largest = float(grad.abs().max())
        self._exp_avg_format = FixedPoint.fitting("exp_avg", largest, _EXP_AVG_BITS, _EXP_AVG_HEADROOM)
        self._exp_avg_sq_format = FixedPoint.fitting("exp_avg_sq", largest**2, _EXP_AVG_SQ_BITS, _EXP_AVG_SQ_HEADROOM)

    def _advance(self, grad: Tensor) -> None:
        of_exp_avg, of_exp_avg_sq = self._increments(grad)
        self._exp_avg = self._buffers[0].multiply(self._exp_avg).add_(of_exp_avg)
        self._exp_avg_sq = self._buffers[1].multiply(self._exp_avg_sq).add_(of_exp_avg_sq)
        self._exp_avg_format.check_range(self._exp_avg, self._step)
        self._exp_avg_sq_format.check_range(self._exp_avg_sq, self._step)
        self._step += 1
        self._params.sub_(self._update())
        self._params_format.check_range(self._params, self._step - 1)

    def _take_back(self, grad: Tensor) -> None:
        of_exp_avg, of_exp_avg_sq = self._increments(grad)
        self._exp_avg = self._buffers[0].divide(self._exp_avg.sub_(of_exp_avg))
        self._exp_avg_sq = self._buffers[1].divide(self._exp_avg_sq.sub_(of_exp_avg_sq))

    def _increments(self, grad: Tensor) -> tuple[Tensor, Tensor]:
        beta1, beta2 = (float(buffer.ratio) for buffer in self._buffers)
        wide = grad.to(torch.float64)
        of_exp_avg = self._exp_avg_format.encode(wide * (1.0 - beta1), self._step)
        return of_exp_avg, self._exp_avg_sq_format.encode(wide.square().mul_(1.0 - beta2), self._step)

    def _update(self) -> Tensor:
        """Return what the step that led to the present moments took off params: a function of these alone."""
        adam, (beta1, beta2) = self._adam, self._adam.betas
        root = (self._exp_avg_sq_format.decode(self._exp_avg_sq) / (1.0 - beta2**self._step)).add_(adam.eps_root).sqrt_()
        scale = adam.rate(self._step - 1) / (1.0 - beta1**self._step)
        update = self._exp_avg_format.decode(self._exp_avg).mul_(scale).div_(root.add_(adam.eps))
        return self._params_format.encode(update, self._step - 1)

    def _float_params(self) -> Tensor:
        return self._params_format.decode(self._params).to(self._dtype)

    def _state(self) -> AdamState:
        moments = self._exp_avg_format.decode(self._exp_avg), self._exp_avg_sq_format.decode(self._exp_avg_sq)
        return AdamState(self._float_params(), moments[0].to(self._dtype), moments[1].to(self._dtype), self._step)
