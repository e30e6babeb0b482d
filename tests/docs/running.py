"""Runs the blocks of a page one after the other in one directory, as a reader would who types them in."""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.acceptance.processes import FARZI
from tests.docs.blocks import Block

# What pages write for ids that the service makes up.
PLACEHOLDER = re.compile(r"\b(?P<kind>ds|job)_[0-9a-f]{8}\b")
ID = re.compile(r"\b(?P<kind>ds|job)_[0-9a-f]{32}\b")


@dataclass
class Reader:
    """Somebody who follows a page.

    Attributes:
        directory: where they are.
        variables: of their shell; what a block exports stays.
        replaced: pairs of pattern and replacement: what the page leaves to the reader, and sizes that would take minutes.
    """

    directory: Path
    variables: Mapping[str, str]
    replaced: Sequence[tuple[str, str]] = ()
    output: list[str] = field(default_factory=list)
    ids: dict[str, str] = field(default_factory=dict)

    def follow(self, blocks: Sequence[Block]) -> str:
        """Run the blocks; return everything that they printed."""
        for block in blocks:
            # A command may need the id that the one before it has made.
            together = block.language == "python" or not PLACEHOLDER.search(block.text)
            for part in [block.text] if together else block.text.splitlines():
                text = self._adapt(part)
                told = self._python(block, text) if block.language == "python" else self._shell(block, text)
                self.ids |= {found["kind"]: found[0] for found in ID.finditer(told)}
                self.output.append(told)
        return "".join(self.output)

    def _adapt(self, text: str) -> str:
        for pattern, replacement in self.replaced:
            text = re.sub(pattern, replacement, text)
        return PLACEHOLDER.sub(lambda found: self.ids.get(found["kind"], found[0]), text)

    def _python(self, block: Block, text: str) -> str:
        with contextlib.chdir(self.directory), _environment(self.variables), contextlib.redirect_stdout(io.StringIO()) as told:
            exec(compile(text, str(block), "exec"), {"__name__": "__main__"})
        return told.getvalue()

    def _shell(self, block: Block, text: str) -> str:
        ran = subprocess.run(
            ["bash", "-c", f"set -euo pipefail\n{text}"],
            cwd=self.directory,
            env={**os.environ, **self.variables, "PATH": f"{Path(FARZI).parent}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=False,
            timeout=500,
        )
        assert ran.returncode == 0, f"{block}\n{text}\n{ran.stdout}\n{ran.stderr}"
        return ran.stdout


@contextlib.contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
