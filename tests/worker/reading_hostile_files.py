"""``python -m tests.worker.reading_hostile_files DIRECTORY``: read every hostile file in this one process, under its limits.

Writes to ``DIRECTORY/results.json`` what came of each; a crash leaves the name of the file that caused it in ``DIRECTORY/now``.
"""

from __future__ import annotations

import json
import sys
import traceback
from pathlib import Path
from typing import Any

import polars

from farzi_core.data.reading import read_dataset
from farzi_core.data_options import DatasetOptions
from tests.worker.hostile_files import HOSTILE_FILES
from tests.worker.hostile_making import HostileFile
from worker.limits import limited_process

MEMORY_BYTES = 2**30
CPU_S = 120


def read(file: HostileFile, path: Path) -> dict[str, Any]:
    """Return the report of one file, or the error that escaped."""
    try:
        result = read_dataset(
            path,
            task="language_modeling" if file.data_format == "text" else "sequential_recommendation",
            format=file.data_format,
            options=DatasetOptions.model_validate(file.options),
        )
    except BaseException:
        return {"escaped": traceback.format_exc()}
    return {"is_ready": result.dataset is not None, "report": result.report, "preview": result.preview}


def main(directory: Path) -> None:
    polars.LazyFrame({"event": [0]}).collect()
    results = {}
    for file in HOSTILE_FILES:
        (directory / "now").write_text(str(file))
        path = directory / "upload"
        path.write_bytes(file.make())
        with limited_process(MEMORY_BYTES, CPU_S):
            results[str(file)] = read(file, path)
    (directory / "results.json").write_text(json.dumps(results, allow_nan=False))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
