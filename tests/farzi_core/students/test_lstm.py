from __future__ import annotations

import torch

from farzi_core.students.lstm import run_lstm


def test_hidden_states_are_those_of_torch() -> None:
    width, generator = 3, torch.Generator().manual_seed(0)
    inputs = torch.randn(5, 2, 4 * width, generator=generator, dtype=torch.float64)
    weight = torch.randn(width, 4 * width, generator=generator, dtype=torch.float64)
    peer = torch.nn.LSTM(4 * width, width, bias=False, dtype=torch.float64)
    # Ours: input, forget, output, candidate; torch has the candidate before the output gate.
    order = torch.cat([torch.arange(2 * width), torch.arange(3 * width, 4 * width), torch.arange(2 * width, 3 * width)])
    peer.load_state_dict({"weight_ih_l0": torch.eye(4 * width)[order], "weight_hh_l0": weight.T[order]})
    torch.testing.assert_close(run_lstm(inputs, weight), peer(inputs)[0].detach())
