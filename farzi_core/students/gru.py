"""A gated recurrent unit run over time, with derivatives that are linear recurrences.

Autograd through a loop records every small operation of every step and walks over them one by one, several times for a
second derivative. Here only the recurrences themselves are loops, of few operations and without a graph; everything else is
computed for all steps at once. Derivatives of any order are right, in both modes; from the third on they go through the graph
of a loop.

Notation: h_t hidden state (H,) of each row, from h_0 = 0; u_t = h_{t-1} @ weight in three parts; x_t the inputs in the same:

    r = sigmoid(x_r + u_r)    z = sigmoid(x_z + u_z)    n = tanh(x_n + r u_n)    h_t = (1 - z) n + z h_{t-1}

A change of h_{t-1} changes h_t by ``keep`` = z along the first path and by ``slopes`` (3 H) through the parts of u_t. So the
adjoints a_t of h_t for cotangents d_t, and the changes p_t of h_t for sources e_t, are transposes of each other:

    a_{t-1} = d_{t-1} + keep_t a_t + (slopes_t a_t) @ weight.T
    p_t     = e_t     + keep_t p_{t-1} + sum over the parts of slopes_t (p_{t-1} @ weight)

Source: Cho et al. 2014, arXiv 1406.1078, with the reset gate after the recurrent product, so that there is one product a step.

Shape letters: L length, B rows, H hidden.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function


def run_gru(inputs: Tensor, weight: Tensor) -> Tensor:
    """Return the hidden states of a GRU that starts at 0: inputs (L, B, 3 H), weight (H, 3 H) -> (L, B, H).

    Args:
        inputs: what each step is given, projected onto reset gate, update gate and candidate for all steps at once.
        weight: from a hidden state to the same three parts.

    Cost: L products of (B, H) and (H, 3 H), one after the other; a gradient adds L, a second-order product 2 L more.
    """
    hidden: Tensor = _Gru.apply(inputs, weight)  # type: ignore[no-untyped-call]
    return hidden


class _Steps(NamedTuple):
    """What all steps do to small changes, as differentiable functions of inputs, weight and hidden states."""

    previous: Tensor  # h_{t-1} (L, B, H)
    keep: Tensor  # (L, B, H)
    slopes: Tensor  # (L, B, 3, H)
    by_candidate: Tensor  # d h_t / d x_n (L, B, H); for the other inputs it is as slopes

    def by_inputs(self) -> Tensor:
        return torch.cat([self.slopes[:, :, :2], self.by_candidate.unsqueeze(2)], 2)


def _linearize(inputs: Tensor, weight: Tensor, hidden: Tensor) -> _Steps:
    width = hidden.shape[-1]
    previous = _shift(hidden)
    gates, recurrent = torch.split(previous @ weight, [2 * width, width], -1)
    gate_inputs, candidate_inputs = torch.split(inputs, [2 * width, width], -1)
    reset, keep = (gate_inputs + gates).sigmoid().chunk(2, -1)
    candidate = torch.addcmul(candidate_inputs, reset, recurrent).tanh()
    fresh = 1 - keep
    by_candidate = fresh - fresh * candidate.square()
    by_recurrent = by_candidate * reset
    by_reset = by_recurrent * recurrent * (1 - reset)
    by_update = (previous - candidate) * keep * fresh
    return _Steps(previous, keep, torch.stack([by_reset, by_update, by_recurrent], 2), by_candidate)


class _Gru(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(inputs: Tensor, weight: Tensor) -> Tensor:
        width = weight.shape[0]
        hidden = torch.zeros_like(inputs[0, :, :width])
        states = []
        gate_inputs, candidate_inputs = (part.unbind(0) for part in torch.split(inputs, [2 * width, width], -1))
        for to_gates, to_candidate in zip(gate_inputs, candidate_inputs, strict=True):
            gates, recurrent = torch.split(hidden @ weight, [2 * width, width], -1)
            reset, keep = (to_gates + gates).sigmoid_().chunk(2, -1)
            hidden = torch.lerp(torch.addcmul(to_candidate, reset, recurrent).tanh_(), hidden, keep)
            states.append(hidden)
        return torch.stack(states)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs, output)
        ctx.save_for_forward(*inputs, output)

    @staticmethod
    def backward(ctx: Any, cotangents: Tensor) -> tuple[Tensor, Tensor]:
        inputs, weight, hidden = ctx.saved_tensors
        steps = _linearize(inputs, weight, hidden)
        adjoints: Tensor = _Adjoints.apply(steps.keep, steps.slopes, weight, cotangents)  # type: ignore[no-untyped-call]
        recurrent = steps.slopes * adjoints.unsqueeze(2)
        by_inputs = torch.cat([recurrent[:, :, :2].flatten(2), steps.by_candidate * adjoints], 2)
        return by_inputs, _by_weight(steps.previous, recurrent)

    @staticmethod
    def jvp(ctx: Any, dinputs: Tensor | None, dweight: Tensor | None) -> Tensor:
        inputs, weight, hidden = ctx.saved_tensors
        steps = _linearize(inputs, weight, hidden)
        sources = torch.zeros_like(hidden)
        if dinputs is not None:
            sources = sources + (steps.by_inputs() * _parts(dinputs)).sum(2)
        if dweight is not None:
            sources = sources + (steps.slopes * _parts(steps.previous @ dweight)).sum(2)
        return _changes(steps.keep, steps.slopes, weight, sources)


class _Adjoints(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(keep: Tensor, slopes: Tensor, weight: Tensor, cotangents: Tensor) -> Tensor:
        return _adjoints(keep, slopes, weight, cotangents)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[:3], output)
        ctx.save_for_forward(*inputs[:3], output)

    @staticmethod
    def backward(ctx: Any, directions: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        keep, slopes, weight, adjoints = ctx.saved_tensors
        changes = _changes(keep, slopes, weight, directions)
        previous = _shift(changes)
        by_slopes = _parts(previous @ weight) * adjoints.unsqueeze(2)
        return previous * adjoints, by_slopes, _by_weight(previous, slopes * adjoints.unsqueeze(2)), changes

    @staticmethod
    def jvp(
        ctx: Any, dkeep: Tensor | None, dslopes: Tensor | None, dweight: Tensor | None, dcotangents: Tensor | None
    ) -> Tensor:
        keep, slopes, weight, adjoints = ctx.saved_tensors
        sources = torch.zeros_like(adjoints) if dcotangents is None else dcotangents
        if dkeep is not None:
            sources = sources + _unshift(dkeep * adjoints)
        if dslopes is not None:
            sources = sources + _unshift((dslopes * adjoints.unsqueeze(2)).flatten(2) @ weight.T)
        if dweight is not None:
            sources = sources + _unshift((slopes * adjoints.unsqueeze(2)).flatten(2) @ dweight.T)
        return _adjoints(keep, slopes, weight, sources)


def _adjoints(keep: Tensor, slopes: Tensor, weight: Tensor, cotangents: Tensor) -> Tensor:
    transposed = weight.T
    adjoint, *earlier = reversed(cotangents.unbind(0))
    adjoints = [adjoint]
    for factor, slope, cotangent in zip(reversed(keep.unbind(0)), reversed(slopes.unbind(0)), earlier, strict=False):
        through = (slope * adjoint.unsqueeze(1)).flatten(1)  # (B, 3 H)
        adjoint = torch.addcmul(torch.addmm(cotangent, through, transposed), factor, adjoint)
        adjoints.append(adjoint)
    return torch.stack(adjoints[::-1])


def _changes(keep: Tensor, slopes: Tensor, weight: Tensor, sources: Tensor) -> Tensor:
    change, *later = sources.unbind(0)
    changes = [change]
    for factor, slope, source in zip(keep.unbind(0)[1:], slopes.unbind(0)[1:], later, strict=True):
        through = (slope * (change @ weight).view(slope.shape)).sum(1)
        change = torch.addcmul(source + through, factor, change)
        changes.append(change)
    return torch.stack(changes)


def _parts(values: Tensor) -> Tensor:
    return values.view(*values.shape[:-1], 3, -1)


def _by_weight(previous: Tensor, recurrent: Tensor) -> Tensor:
    return previous.flatten(0, 1).T @ recurrent.flatten(2).flatten(0, 1)


def _shift(values: Tensor) -> Tensor:
    return torch.cat([torch.zeros_like(values[:1]), values[:-1]])


def _unshift(values: Tensor) -> Tensor:
    return torch.cat([values[1:], torch.zeros_like(values[:1])])
