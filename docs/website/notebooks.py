"""A notebook as a page: its cells in order, with the outputs that are stored in it."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

FENCE = "```"


def write_notebook_page(notebook: Path, page: Path) -> None:
    """Write ``notebook`` as Markdown to ``page``, with a link to itself beside it, and its images there."""
    page.parent.mkdir(parents=True, exist_ok=True)
    parts: list[str] = []
    for number, cell in enumerate(json.loads(notebook.read_text(encoding="utf-8"))["cells"]):
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
        elif cell["cell_type"] == "code":
            parts.append(f"{FENCE}python\n{source}\n{FENCE}")
            parts += [_output(output, page, f"{number}-{index}") for index, output in enumerate(cell["outputs"])]
    parts.insert(1, f"[The notebook itself]({notebook.name})")
    page.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _output(output: dict[str, Any], page: Path, name: str) -> str:
    """Return an output as Markdown; an image becomes a file."""
    data = output.get("data", {})
    if "image/png" in data:
        image = page.with_name(f"{page.stem}-{name}.png")
        image.write_bytes(base64.b64decode("".join(data["image/png"])))
        return f"![Output of the cell above]({image.name})"
    text = "".join(output.get("text", data.get("text/plain", "")))
    return f"{FENCE}text\n{text.rstrip()}\n{FENCE}"
