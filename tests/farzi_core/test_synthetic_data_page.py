"""The page on the published file: its code trains on a file of either kind of inputs, and its tables are those of the code."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F  # noqa: N812  torch's own idiom

from farzi_core.artifacts import SyntheticFile, write_synthetic
from farzi_core.seeding import derive_generator
from farzi_core.soft_tokens import read_soft_tokens
from farzi_core.synthetic.factorized import FactorizedSynthetic
from farzi_core.synthetic.parameterizations import PARAMETERIZATIONS
from tests.project.repository import fenced_blocks, read

PAGE = "docs/synthetic-data.md"
VOCAB_SIZE = 6


def cycles(*, with_inputs: bool) -> FactorizedSynthetic:
    """Sequences that count on from a random event, each position almost certain."""
    starts = torch.randint(VOCAB_SIZE, (4, 1), generator=derive_generator(0))
    events = (starts + torch.arange(8)) % VOCAB_SIZE
    certain = FactorizedSynthetic(5.0 * F.one_hot(events, VOCAB_SIZE).float(), torch.eye(VOCAB_SIZE), temperature=0.5)
    return replace(certain, input_events=events) if with_inputs else certain.with_learned_temperature()


@pytest.mark.parametrize("with_inputs", [False, True])
def test_the_code_of_the_page_trains_on_the_file(
    with_inputs: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    content = SyntheticFile(cycles(with_inputs=with_inputs), "sequential_recommendation", "00")
    write_synthetic(content, tmp_path / "synthetic.safetensors")
    monkeypatch.chdir(tmp_path)
    (block,) = (text for language, _, text in fenced_blocks(PAGE) if language == "python")
    torch.manual_seed(0)
    exec(compile(block, PAGE, "exec"), {})
    nats = float(capsys.readouterr().out.split()[0])
    assert nats < 0.5 * math.log(VOCAB_SIZE)


def test_the_page_names_every_tensor_and_every_field_of_the_header(tmp_path: Path) -> None:
    page = read(PAGE)
    content = SyntheticFile(cycles(with_inputs=True), "sequential_recommendation", "00")
    written = read_soft_tokens(write_synthetic(content, tmp_path / "synthetic.safetensors").path)
    names = {name for kind in PARAMETERIZATIONS.values() for name in kind.tensor_names}
    missing = [name for name in (*names, *written.tensors, *written.header) if f"`{name}`" not in page]
    assert missing == []
