from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.torch import save_file

from farzi_core import artifacts, manifest, sequence_files
from farzi_core.artifacts import SyntheticFile, load_synthetic, write_synthetic
from farzi_core.data_options import Tokenizer
from farzi_core.errors import ArtifactError
from farzi_core.manifest import (
    build_manifest,
    hash_file,
    read_manifest,
    verify_files,
    write_manifest,
)
from farzi_core.progress import ArtifactFile
from farzi_core.sequence_files import (
    hash_vocabulary,
    read_sequences_jsonl,
    read_sequences_parquet,
    read_vocabulary,
    write_sequences,
    write_vocabulary,
)
from farzi_core.soft_tokens import read_soft_tokens
from farzi_core.synthetic.base import Synthetic
from farzi_core.synthetic.factorized import FactorizedSynthetic
from farzi_core.synthetic.free import FreeSynthetic
from farzi_core.synthetic.tucker import TuckerSynthetic

TOKENS = ("tt0111161", "Amélie", 'a "b", c', "new\nline", "日本", "f")
EVENTS = np.array([[0, 1, 2], [3, 4, 5], [5, 4, 3], [2, 1, 0]])


def write_both(
    events: NDArray[np.integer],
    tokens: Sequence[str],
    directory: Path,
    *,
    draws: int,
    tokenizer: Tokenizer | None = None,
) -> list[ArtifactFile]:
    names = ("sequences.jsonl", "sequences.parquet")
    return [write_sequences(events, tokens, directory / name, draws=draws, tokenizer=tokenizer) for name in names]


def make_synthetic() -> SyntheticFile:
    generator = torch.Generator().manual_seed(0)
    latents, token_decoder = torch.randn(2, 3, 4, generator=generator), torch.randn(4, 6, generator=generator)
    return SyntheticFile(
        FactorizedSynthetic(latents, token_decoder, temperature=0.5),
        task="sequential_recommendation",
        vocabulary_sha256=hash_vocabulary(TOKENS),
        training={"lr": 0.006, "num_steps": 80, "betas": [0.95, 0.975]},
    )


def rand(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.parametrize(
    "synthetic",
    [
        FactorizedSynthetic(rand(2, 3, 4), rand(4, 6), temperature=0.5),
        FactorizedSynthetic(rand(2, 3, 4), rand(4, 6)).with_learned_temperature(),
        TuckerSynthetic(rand(1, 2, 4), rand(2, 1), rand(3, 2), rand(4, 6), temperature=0.7),
        FreeSynthetic(rand(2, 3, 6), log_temperature=torch.tensor(-0.4)),
    ],
    ids=lambda synthetic: synthetic.parameterization,
)
def test_synthetic_data_comes_back_bit_for_bit(tmp_path: Path, synthetic: Synthetic) -> None:
    written = replace(make_synthetic(), synthetic=synthetic)
    file = write_synthetic(written, tmp_path / "synthetic.safetensors")
    read = load_synthetic(file.path)
    assert read.synthetic.parameterization == synthetic.parameterization
    assert list(read.synthetic.tensors()) == list(synthetic.tensors())
    assert torch.equal(read.synthetic.probabilities(), synthetic.probabilities())
    assert read.synthetic.size_bytes == synthetic.size_bytes
    assert read.synthetic.with_tensors(synthetic.tensors()) == synthetic
    assert replace(read, synthetic=synthetic) == written


@pytest.mark.parametrize(("written", "read"), [([0.0, 2.0], (0.0, 2.0, 0.0)), ([0.0, 3.0, 2.0], (0.0, 3.0, 2.0))])
def test_a_rule_of_an_earlier_file_has_no_coverage(written: Any, read: tuple[float, ...], tmp_path: Path) -> None:
    file = write_synthetic(replace(make_synthetic(), hard_rule=written), tmp_path / "synthetic.safetensors")
    assert load_synthetic(file.path).hard_rule == read


def test_input_events_come_back_in_four_bytes_each(tmp_path: Path) -> None:
    plain = FactorizedSynthetic(rand(2, 3, 4), rand(4, 6))
    events = torch.tensor([[0, 5, 1], [2, 2, 3]])
    file = write_synthetic(replace(make_synthetic(), synthetic=replace(plain, input_events=events)), tmp_path / "s.safetensors")
    read = load_synthetic(file.path).synthetic
    assert read.input_events is not None
    assert torch.equal(read.input_events, events)
    stored = read_soft_tokens(file.path)
    assert stored.header["inputs"] == "sampled_events"
    assert stored.tensors["input_events"].dtype == np.int32
    assert read.size_bytes == plain.size_bytes + 24


def test_a_file_of_the_first_release_is_read_unchanged(tmp_path: Path) -> None:
    """The header and the hash as they were written before there was more than one parameterisation."""
    tensors = {"latents": rand(2, 3, 4), "token_decoder": rand(4, 6)}
    header = {
        "version": 1,
        "task": "sequential_recommendation",
        "parameterization": "factorized",
        "temperature": 0.5,
        "training": {"lr": 0.006},
        "vocabulary_sha256": hash_vocabulary(TOKENS),
    }
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name, tensor in tensors.items():
        digest.update(json.dumps([name, "torch.float32", list(tensor.shape)]).encode() + tensor.numpy().tobytes())
    path = tmp_path / "synthetic.safetensors"
    save_file(tensors, path, metadata={"farzi": json.dumps({**header, "sha256": digest.hexdigest()})})
    read = load_synthetic(path)
    assert (read.hard_seed, read.tokenizer) == (0, None)
    expected = (tensors["latents"] @ tensors["token_decoder"] / 0.5).softmax(-1)
    assert torch.equal(read.synthetic.probabilities(), expected)
    assert read.training == {"lr": 0.006}


def test_a_parameterisation_of_a_newer_version_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(FactorizedSynthetic, "parameterization", "hypernetwork")
        path = write_synthetic(make_synthetic(), tmp_path / "s.safetensors").path
    with pytest.raises(ArtifactError, match="'hypernetwork' is not known"):
        load_synthetic(path)
    with pytest.raises(ArtifactError, match="install a newer farzi"):
        read_soft_tokens(path)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_dtypes_and_tensors_that_need_gradients_are_written(tmp_path: Path, dtype: torch.dtype) -> None:
    written = make_synthetic()
    tensors = written.synthetic.tensors()
    latents = tensors["latents"].to(dtype).transpose(0, 1).requires_grad_()
    changed = written.synthetic.with_tensors({**tensors, "latents": latents})
    write_synthetic(replace(written, synthetic=changed), tmp_path / "s.safetensors")
    read = load_synthetic(tmp_path / "s.safetensors").synthetic.tensors()["latents"]
    assert read.dtype == dtype
    assert torch.equal(read, latents)


def flip_every(path: Path, step: int, read: Callable[[Path], Any]) -> tuple[int, int]:
    """Return how many single-bit flips were refused, and how many were tried; those that pass must change nothing."""
    good = path.read_bytes()
    expected = repr(read(path))
    refused = tried = 0
    for position in range(0, len(good), step):
        tried += 1
        path.write_bytes(good[:position] + bytes([good[position] ^ 4]) + good[position + 1 :])
        try:
            found = repr(read(path))
        except ArtifactError:
            refused += 1
        else:
            assert found == expected, f"byte {position}"
    return refused, tried


@pytest.mark.parametrize("read", [load_synthetic, read_soft_tokens])
def test_a_flipped_bit_in_synthetic_data_is_refused(tmp_path: Path, read: Callable[[Path], Any]) -> None:
    path = write_synthetic(make_synthetic(), tmp_path / "s.safetensors").path
    refused, tried = flip_every(path, 1, read)
    assert refused >= tried - 8  # padding after the header


def test_a_flipped_bit_in_the_parquet_file_is_refused_or_harmless(tmp_path: Path) -> None:
    write_both(EVENTS, TOKENS, tmp_path, draws=2)
    refused, tried = flip_every(tmp_path / "sequences.parquet", 7, read_sequences_parquet)
    assert refused > tried / 4


def test_a_flipped_bit_in_the_vocabulary_is_refused(tmp_path: Path) -> None:
    write_vocabulary(TOKENS, tmp_path / "vocabulary.json")
    refused, tried = flip_every(tmp_path / "vocabulary.json", 1, read_vocabulary)
    assert refused > tried - 20  # spaces between JSON values


READERS: dict[str, Callable[[Path], Any]] = {
    "synthetic.safetensors": load_synthetic,
    "sequences.jsonl": read_sequences_jsonl,
    "sequences.parquet": read_sequences_parquet,
    "vocabulary.json": read_vocabulary,
    "manifest.json": read_manifest,
}


def write_all(directory: Path) -> dict[str, Any]:
    files = [
        write_synthetic(make_synthetic(), directory / "synthetic.safetensors"),
        *write_both(EVENTS, TOKENS, directory, draws=2),
        write_vocabulary(TOKENS, directory / "vocabulary.json"),
    ]
    content = build_manifest(spec={"seed": 3}, data_sha256="ab" * 32, seeds={"hard_sequences": 7})
    for file in files:
        content["files"][file.name] = {"size_bytes": file.path.stat().st_size, "sha256": hash_file(file.path)}
    write_manifest(content, directory / "manifest.json")
    return content


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_truncated_files_are_refused(tmp_path: Path, name: str, share: float) -> None:
    write_all(tmp_path)
    path = tmp_path / name
    content = path.read_bytes()
    path.write_bytes(content[: min(int(len(content) * share), len(content) - 2)])
    with pytest.raises(ArtifactError, match=name.replace(".", r"\.")):
        READERS[name](path)


@pytest.mark.parametrize("name", READERS)
def test_missing_files_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ArtifactError):
        READERS[name](tmp_path / name)


@pytest.mark.parametrize("name", [name for name in READERS if name != "sequences.jsonl"])
def test_another_version_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(artifacts, "FORMAT_VERSION", 9)
        patch.setattr(sequence_files, "FORMAT_VERSION", 9)
        patch.setattr(manifest, "MANIFEST_VERSION", 9)
        write_all(tmp_path)
    with pytest.raises(ArtifactError, match="has version 9, this release reads 1"):
        READERS[name](tmp_path / name)


def test_records_hold_the_users_own_ids(tmp_path: Path) -> None:
    write_both(EVENTS, TOKENS, tmp_path, draws=2)
    expected = [
        {"sequence_id": 0, "draw": 0, "source": 0, "events": ["tt0111161", "Amélie", 'a "b", c']},
        {"sequence_id": 1, "draw": 0, "source": 1, "events": ["new\nline", "日本", "f"]},
        {"sequence_id": 2, "draw": 1, "source": 0, "events": ["f", "日本", "new\nline"]},
        {"sequence_id": 3, "draw": 1, "source": 1, "events": ['a "b", c', "Amélie", "tt0111161"]},
    ]
    assert read_sequences_jsonl(tmp_path / "sequences.jsonl") == expected
    assert read_sequences_parquet(tmp_path / "sequences.parquet") == expected


@pytest.mark.parametrize(("kind", "name"), [("parquet", "sequences.parquet"), ("json", "sequences.jsonl")])
def test_the_datasets_library_loads_them(tmp_path: Path, kind: str, name: str) -> None:
    write_both(EVENTS, TOKENS, tmp_path, draws=2)
    loaded = datasets.load_dataset(kind, data_files=str(tmp_path / name), cache_dir=str(tmp_path / "cache"), split="train")
    assert loaded.column_names == ["sequence_id", "draw", "source", "events"]
    assert loaded[1]["events"] == ["new\nline", "日本", "f"]


def test_words_are_joined_to_text(tmp_path: Path) -> None:
    tokens = ("the", "cat", "<eos>", "sat")
    write_both(np.array([[0, 1, 2, 0, 3]]), tokens, tmp_path, draws=1, tokenizer="words")
    assert read_sequences_jsonl(tmp_path / "sequences.jsonl")[0]["text"] == "the cat\nthe sat"
    assert read_sequences_parquet(tmp_path / "sequences.parquet")[0]["text"] == "the cat\nthe sat"


@settings(deadline=None, max_examples=30)
@given(tokens=st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=6, unique=True))
def test_any_token_survives_every_file(tmp_path_factory: pytest.TempPathFactory, tokens: list[str]) -> None:
    directory = tmp_path_factory.mktemp("tokens")
    write_both(np.arange(len(tokens)).reshape(1, -1), tokens, directory, draws=1)
    write_vocabulary(tokens, directory / "vocabulary.json")
    assert read_sequences_jsonl(directory / "sequences.jsonl")[0]["events"] == tokens
    assert read_sequences_parquet(directory / "sequences.parquet")[0]["events"] == tokens
    assert read_vocabulary(directory / "vocabulary.json") == tuple(tokens)


@pytest.mark.parametrize(
    "line",
    [
        "{}",
        "[1]",
        '{"sequence_id": 0, "draw": 0, "source": 0}',
        '{"sequence_id": 5, "draw": 0, "source": 0, "events": []}',
        '{"sequence_id": true, "draw": 0, "source": 0, "events": []}',
        "not json",
        "",
    ],
)
def test_lines_that_are_no_records_are_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "sequences.jsonl").write_text(line + "\n")
    with pytest.raises(ArtifactError, match=r"sequences\.jsonl"):
        read_sequences_jsonl(tmp_path / "sequences.jsonl")


def test_a_file_cut_between_lines_is_refused(tmp_path: Path) -> None:
    write_both(EVENTS, TOKENS, tmp_path, draws=2)
    path = tmp_path / "sequences.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(ArtifactError, match="every draw of every sequence"):
        read_sequences_jsonl(path)


def test_the_manifest_lists_what_the_result_was_made_from(tmp_path: Path) -> None:
    written = write_all(tmp_path)
    read = read_manifest(tmp_path / "manifest.json")
    assert read == written
    assert read["spec"] == {"seed": 3}
    assert read["data_sha256"] == "ab" * 32
    assert read["seeds"] == {"hard_sequences": 7}
    assert read["libraries"]["torch"] == torch.__version__.split("+")[0] or read["libraries"]["torch"] == torch.__version__
    assert set(read["code"]) == {"farzi"}
    assert read["files"].keys() == READERS.keys() - {"manifest.json"}


def test_the_manifest_catches_damage_in_every_file(tmp_path: Path) -> None:
    content = write_all(tmp_path)
    verify_files(tmp_path, content)
    for name in content["files"]:
        path = tmp_path / name
        good = path.read_bytes()
        path.write_bytes(good[:-3] + bytes([good[-3] ^ 1]) + good[-2:])
        with pytest.raises(ArtifactError, match=name):
            verify_files(tmp_path, content)
        path.unlink()
        with pytest.raises(ArtifactError, match="missing"):
            verify_files(tmp_path, content)
        path.write_bytes(good)


def test_hash_file_is_sha256(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc")
    assert hash_file(tmp_path / "f") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_manifest_that_is_no_object_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps([1]))
    with pytest.raises(ArtifactError, match="an object belongs"):
        read_manifest(tmp_path / "manifest.json")
