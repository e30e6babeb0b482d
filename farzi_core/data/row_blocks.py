"""What every table format is read into: some rows, and the line of the file that each came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl
import pyarrow as pa

LINE = "line"


@dataclass(frozen=True)
class RowBlock:
    """Rows of one part of a file.

    Attributes:
        frame: ``line``, and the wanted fields: as strings (null where empty), or as the file's own numbers and times.
        num_bad_rows: how many rows of that part went to the problem log instead.
        arrays: users and items that were read as Arrow arrays, so that strings which repeat are held once; not in ``frame``.
    """

    frame: pl.DataFrame
    num_bad_rows: int = 0
    arrays: Mapping[str, pa.Array] = field(default_factory=dict)

    def ids(self, role: str) -> pa.Array:
        """Return the column of users or items."""
        found = self.arrays.get(role)
        return self.frame[role].to_arrow(compat_level=pl.CompatLevel.oldest()) if found is None else found
