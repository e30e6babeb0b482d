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

from farzi_core.errors import NumericalError
from farzi_core.metagrad.adam import AdamConfig, AdamState
from farzi_core.metagrad.fixed_point import FixedPoint
from farzi_core.metagrad.hvp import Linearization
from farzi_core.metagrad.information_buffer import InformationBuffer
from farzi_core.metagrad.limbs import Limbs, add, subtract
from farzi_core.metagrad.states import Gradients, InnerStep

# Where values leave room for them. Steps are 9e-16 for params and, with their second limb, 2e-22 for moments.
_PARAMS_BITS, _MOMENT_BITS = 50, 40
# How far values may grow beyond the first ones, at least: params and gradients 2**10-fold.
_PARAMS_HEADROOM, _EXP_AVG_HEADROOM, _EXP_AVG_SQ_HEADROOM = 10, 10, 20


class ReversedTrajectory:
    """Keeps the present state only: w, m and v as integers, the start of w, and the information buffers of m and v.

    ``replay_error`` compares the start with what walking back arrives at: 0 unless the inner loss is not deterministic.

    Memory: 48 bytes a parameter, and 8 more for each word of the buffers.
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
        self._start_params = self._params[0].clone()
        self._step = start.step
        for index in range(num_steps):
            self._last_graph = None  # at most one graph is alive
            self._last_graph = self._gradients.linearize(self._float_params(), self._step)
            if index == 0:
                self._start_moments(self._last_graph.grad)
            self._advance(self._last_graph.grad)
        return self._state()

    def walk_back(self) -> Iterator[InnerStep]:
        largest = [limbs[0].abs().max() for limbs in (self._params, self._exp_avg, self._exp_avg_sq)]
        while self._step > 0:
            after = self._state()
            params, graph = self._retreat()
            yield InnerStep(self._step, params, graph.grad, after, graph)
            del graph
        differences = [self._params[0] - self._start_params, *self._exp_avg, *self._exp_avg_sq]
        scales = [largest[0], largest[1], largest[1], largest[2], largest[2]]
        self.replay_error = max(
            int(difference.abs().max()) / max(1, int(scale)) for difference, scale in zip(differences, scales, strict=True)
        )

    def kept_tensors(self) -> list[Tensor]:
        """Return everything that is kept for the way back, apart from the graph of the last step."""
        kept = [*self._params, self._start_params, *self._exp_avg, *self._exp_avg_sq]
        return kept + [word for buffer in self._buffers for word in buffer.kept]

    def _start_moments(self, grad: Tensor) -> None:
        """Choose the moments' formats by the first gradient."""
        largest = float(grad.abs().max())
        self._exp_avg_format = FixedPoint.fitting("exp_avg", largest, _MOMENT_BITS, _EXP_AVG_HEADROOM, is_wide=True)
        self._exp_avg_sq_format = FixedPoint.fitting("exp_avg_sq", largest**2, _MOMENT_BITS, _EXP_AVG_SQ_HEADROOM, is_wide=True)
        zeros = torch.zeros_like(grad, dtype=torch.float64)
        self._exp_avg, self._exp_avg_sq = self._exp_avg_format.encode(zeros, 0), self._exp_avg_sq_format.encode(zeros, 0)

    def _advance(self, grad: Tensor) -> None:
        of_exp_avg, of_exp_avg_sq = self._increments(grad)
        self._exp_avg = add(self._buffers[0].multiply(self._exp_avg), of_exp_avg)
        self._exp_avg_sq = add(self._buffers[1].multiply(self._exp_avg_sq), of_exp_avg_sq)
        self._exp_avg_format.check_range(self._exp_avg, self._step)
        self._exp_avg_sq_format.check_range(self._exp_avg_sq, self._step)
        self._step += 1
        self._params = subtract(self._params, self._update())
        self._params_format.check_range(self._params, self._step - 1)

    def _retreat(self) -> tuple[Tensor, Linearization]:
        """Undo a step; return where its gradient was taken, and the gradient made again."""
        try:
            self._params = add(self._params, self._update())
            params = self._float_params()
            graph = self._last_graph or self._gradients.linearize(params, self._step - 1)
            self._last_graph = None
            self._step -= 1
            self._take_back(graph.grad)
        except NumericalError as error:
            raise NumericalError(
                f"method 'reversed' lost its way at inner step {self._step}: inner_loss gives other gradients for the same "
                "arguments; seed its noise by the step, or choose method 'stored'",
                step=self._step,
                tensor=error.tensor,
            ) from error
        return params, graph

    def _take_back(self, grad: Tensor) -> None:
        of_exp_avg, of_exp_avg_sq = self._increments(grad)
        self._exp_avg = self._buffers[0].divide(subtract(self._exp_avg, of_exp_avg))
        self._exp_avg_sq = self._buffers[1].divide(subtract(self._exp_avg_sq, of_exp_avg_sq))

    def _increments(self, grad: Tensor) -> tuple[Limbs, Limbs]:
        beta1, beta2 = (float(buffer.ratio) for buffer in self._buffers)
        wide = grad.to(torch.float64)
        of_exp_avg = self._exp_avg_format.encode(wide * (1.0 - beta1), self._step)
        return of_exp_avg, self._exp_avg_sq_format.encode(wide.square().mul_(1.0 - beta2), self._step)

    def _update(self) -> Limbs:
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
