"""Hard sequences as a data frame or a data set of the library that the caller works with, imported when it is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from farzi_client.errors import FarziClientError
from farzi_client.extras import is_installed, need

FrameLibrary = Literal["polars", "pandas", "datasets"]
LIBRARIES: tuple[FrameLibrary, ...] = ("polars", "pandas", "datasets")
SEQUENCES_NAME = "sequences.parquet"


def choose_library(library: FrameLibrary | None) -> FrameLibrary:
    """Return the library to read with; None: the first that is installed of polars, pandas and datasets.

    Raises:
        MissingExtra: it is not installed.
    """
    if library is None:
        library = next((name for name in LIBRARIES if is_installed(name)), "polars")
    if library not in LIBRARIES:
        raise FarziClientError(f"sequences come as 'polars', 'pandas' or 'datasets', not as {library!r}")
    need(library, library, f"reading sequences with {library}")
    return library


def read_sequences(path: Path, library: FrameLibrary) -> Any:
    """Read ``sequences.parquet`` whole.

    Returns:
        A ``polars.DataFrame``, ``pandas.DataFrame`` or ``datasets.Dataset``, in memory. A row is a sequence: ``sequence_id``,
        ``draw``, ``source`` (the synthetic sequence it was drawn from), ``events`` and, of a text, ``text``.
    """
    module = need(library, library, f"reading sequences with {library}")
    if library == "polars":
        return module.read_parquet(path)
    table = need("pyarrow.parquet", library, f"reading sequences with {library}").read_table(path)
    # The schema has a note for whoever reads the file; a frame does not take it.
    return table.to_pandas() if library == "pandas" else module.Dataset(table.replace_schema_metadata(None))
