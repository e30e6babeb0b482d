"""A long short-term memory run over time, written out in plain operations, so that any derivative can be taken.

Source: Hochreiter and Schmidhuber 1997 with the forget gate of Gers et al. 2000; without peepholes.

Shape letters: L length, B rows, H hidden.
"""

from __future__ import annotations

import torch
from torch import Tensor


def run_lstm(inputs: Tensor, weight: Tensor) -> Tensor:
    """Return the hidden states of an LSTM that starts at 0: inputs (L, B, 4 H), weight (H, 4 H) -> (L, B, H).

    Args:
        inputs: what each step is given, projected onto input, forget and output gate and candidate for all steps at once.
        weight: from a hidden state to the same four parts.

    Cost: L products of (B, H) and (H, 4 H), and a graph of 8 small operations a step.
    """
    width = weight.shape[0]
    hidden = cell = torch.zeros_like(inputs[0, :, :width])
    states = []
    for parts in inputs.unbind(0):
        gates, candidate = torch.split(torch.addmm(parts, hidden, weight), [3 * width, width], -1)
        entry, forget, exposure = gates.sigmoid().chunk(3, -1)
        cell = torch.addcmul(entry * candidate.tanh(), forget, cell)
        hidden = exposure * cell.tanh()
        states.append(hidden)
    return torch.stack(states)
