from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from farzi_core.distillation.checkpoint import TENSORS_NAME, VALUES_NAME, Checkpoint
from farzi_core.errors import ArtifactError


def make_checkpoint() -> Checkpoint:
    inner = Checkpoint({"a": torch.tensor([1.5, -0.0]), "b": torch.tensor([3], dtype=torch.int64)}, {"x": 0.1 + 0.2})
    return Checkpoint.join({"inner": inner, "empty": Checkpoint()}, step=3, best=None)


def test_round_trip_is_bit_equal(tmp_path: Path) -> None:
    make_checkpoint().save(tmp_path / "new")
    loaded = Checkpoint.load(tmp_path / "new")
    assert loaded.values["step"] == 3
    assert loaded.values["best"] is None
    part = loaded.part("inner")
    assert part.values == {"x": 0.1 + 0.2}
    assert torch.equal(part.tensors["a"].view(torch.int32), torch.tensor([1.5, -0.0]).view(torch.int32))
    assert part.tensors["b"].dtype == torch.int64
    assert loaded.has_part("empty")
    assert not loaded.has_part("other")
    with pytest.raises(ArtifactError, match="no part 'other'"):
        loaded.part("other")


def test_saving_again_replaces(tmp_path: Path) -> None:
    make_checkpoint().save(tmp_path)
    Checkpoint({}, {"step": 4}).save(tmp_path)
    assert Checkpoint.load(tmp_path).values == {"step": 4}


def test_tensors_may_share_memory(tmp_path: Path) -> None:
    base = torch.arange(6.0)
    Checkpoint({"a": base, "b": base[:3]}).save(tmp_path)
    assert torch.equal(Checkpoint.load(tmp_path).tensors["b"], base[:3])


@pytest.mark.parametrize("name", [TENSORS_NAME, VALUES_NAME])
@pytest.mark.parametrize("damage", ["missing", "truncated", "flipped", "empty"])
def test_damage_is_noticed(tmp_path: Path, name: str, damage: str) -> None:
    make_checkpoint().save(tmp_path)
    path = tmp_path / name
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(content[:-3])
    elif damage == "empty":
        path.write_bytes(b"")
    else:
        path.write_bytes(content[:-5] + bytes([content[-5] ^ 1]) + content[-4:])
    with pytest.raises(ArtifactError):
        Checkpoint.load(tmp_path)


def test_an_altered_value_is_noticed(tmp_path: Path) -> None:
    make_checkpoint().save(tmp_path)
    body = json.loads((tmp_path / VALUES_NAME).read_text())
    body["values"]["step"] = 4
    (tmp_path / VALUES_NAME).write_text(json.dumps(body))
    with pytest.raises(ArtifactError, match="altered"):
        Checkpoint.load(tmp_path)


def test_another_version_says_what_to_do(tmp_path: Path) -> None:
    make_checkpoint().save(tmp_path)
    body = json.loads((tmp_path / VALUES_NAME).read_text())
    body["version"] = 99
    (tmp_path / VALUES_NAME).write_text(json.dumps(body))
    with pytest.raises(ArtifactError, match="version 99"):
        Checkpoint.load(tmp_path)


def test_a_value_that_json_cannot_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        Checkpoint({}, {"loss": float("nan")}).save(tmp_path)
