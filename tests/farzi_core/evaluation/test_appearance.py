from __future__ import annotations

import json
import math

import pytest
import torch

from farzi_core.data.sequences import Vocabulary
from farzi_core.evaluation.appearance import describe_appearance, list_top_events
from farzi_core.synthetic.free import FreeSynthetic

NAMES = Vocabulary(("JFK", "LGA", "<b>EWR</b>", "BOS"))


def test_entropy_and_top_events_are_means_over_the_sequences() -> None:
    certain = torch.tensor([0.0, 50.0, 0.0, 0.0])
    uniform = torch.zeros(4)
    synthetic = FreeSynthetic(torch.stack([torch.stack([certain, uniform]), torch.stack([uniform, uniform])]))
    found = describe_appearance(synthetic, NAMES)
    assert found["entropy"]["per_position"] == pytest.approx([math.log(4) / 2, math.log(4)])
    assert found["entropy"]["mean"] == pytest.approx(0.75 * math.log(4))
    assert found["entropy"]["largest_possible"] == pytest.approx(math.log(4))
    first, second = found["top_events"]
    assert first[0] == {"event": "LGA", "probability": pytest.approx((1 + 0.25) / 2)}
    assert len(first) == len(second) == 4
    assert sum(item["probability"] for item in second) == pytest.approx(1.0)
    assert json.loads(json.dumps(found)) == found


def test_the_likeliest_five_come_first() -> None:
    names = Vocabulary(tuple("abcdefg"))
    probabilities = torch.tensor([[0.05, 0.3, 0.1, 0.25, 0.0, 0.2, 0.1]])
    (row,) = list_top_events(probabilities, names)
    assert [item["event"] for item in row][:3] == ["b", "d", "f"]
    assert len(row) == 5
