"""The notebook runs from top to bottom on small data, and what is committed of it is one whole run."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.docs.blocks import Block
from tests.docs.conftest import SMALL, ReaderOf
from tests.docs.test_pages import ARTIFACTS, names_in
from tests.project.repository import read

NOTEBOOK = "docs/examples/upload_to_training.ipynb"


def test_notebook(reader_of: ReaderOf, tmp_path: Path) -> None:
    cells = [cell for cell in json.loads(read(NOTEBOOK))["cells"] if cell["cell_type"] == "code"]
    program = Block(NOTEBOOK, "python", 1, "\n".join("".join(cell["source"]) for cell in cells))
    small = ((r"(?s)spec = \{.*?\n\}\n", f"spec = {SMALL!r}\n"), (r"num_steps: int = 120", "num_steps: int = 10"))
    told = reader_of(*small).follow([program])
    assert told.startswith("400 sequences, 24000 events, 40 items\nsucceeded True\n")
    assert re.search(r"distilled    \d+% after 10 steps\nrandom real  \d+% after 10 steps\n$", told)
    assert names_in(tmp_path / "distilled") >= ARTIFACTS


def test_notebook_shows_a_whole_run() -> None:
    """What is committed came out of one run from top to bottom, without an error."""
    cells = [cell for cell in json.loads(read(NOTEBOOK))["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert {output["output_type"] for output in outputs} == {"stream", "display_data"}
    assert all(output.get("name", "stdout") == "stdout" for output in outputs)
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 3
