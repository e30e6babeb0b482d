"""Files that are meant to break whoever reads them; ``docs/security.md`` names the classes."""

from __future__ import annotations

from tests.worker.hostile_binaries import FOREIGN, PARQUET
from tests.worker.hostile_text import LINES_AND_QUOTES, NAMES, WRONG_ENCODINGS
from tests.worker.hostile_values import NUMBERS, SHAPES

HOSTILE_FILES = [*WRONG_ENCODINGS, *LINES_AND_QUOTES, *NUMBERS, *NAMES, *SHAPES, *PARQUET, *FOREIGN]
