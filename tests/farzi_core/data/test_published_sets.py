"""Counts of published data sets, where they lie beside the checkout; the formats themselves are tested in test_reading."""

from __future__ import annotations

from pathlib import Path

import pytest

from farzi_core.config import DataFormat
from farzi_core.data.reading import read_dataset
from farzi_core.data.splits import HeldOut, HeldOutStream, split_dataset
from farzi_core.data_options import DatasetOptions
from tests.farzi_core.data.uploads import RECOMMENDATION

DATA = Path(__file__).parents[4] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.exists(), reason="the published data sets do not lie beside this checkout")
SETS: list[tuple[str, DataFormat, tuple[int, int, int]]] = [
    ("ml-100k/u.data", "tsv", (943, 1682, 100_000)),
    ("ml-1m/ml-1m.5core.txt", "sequences", (6040, 3416, 999_611)),
    ("amazon-magazine/magazine.u3.tsv", "tsv", (3092, 1305, 12_689)),
]


@needs_data
@pytest.mark.parametrize(("name", "data_format", "counts"), SETS)
def test_interactions_have_their_published_counts(name: str, data_format: DataFormat, counts: tuple[int, int, int]) -> None:
    dataset = read_dataset(DATA / name, task=RECOMMENDATION, format=data_format).dataset
    assert dataset is not None
    assert (dataset.num_sequences, dataset.vocab_size, dataset.num_events) == counts
    test = split_dataset(dataset).test
    assert isinstance(test, HeldOut)
    assert len(test.targets) == counts[0]


@needs_data
def test_penn_treebank_has_its_published_counts(tmp_path: Path) -> None:
    parts = [DATA / "ptb" / f"ptb.{part}.txt" for part in ("train", "valid", "test")]
    whole = tmp_path / "ptb.txt"
    whole.write_bytes(b"".join(part.read_bytes() for part in parts))
    options = DatasetOptions(validation_fraction=3370 / 49199, test_fraction=3761 / 49199)
    dataset = read_dataset(whole, task="language_modeling", format="text", options=options).dataset
    assert dataset is not None
    assert (dataset.num_validation_sequences, dataset.num_test_sequences) == (3370, 3761)
    assert dataset.vocab_size == 10_000
    split = split_dataset(dataset)
    assert isinstance(split.validation, HeldOutStream)
    assert isinstance(split.test, HeldOutStream)
    assert (split.train.num_events, len(split.validation.stream), len(split.test.stream)) == (929_589, 73_760, 82_430)
