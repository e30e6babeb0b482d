"""Run the command in this process: its exit code and what it printed."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from farzi_client.cli import main


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


def run_farzi(capsys: pytest.CaptureFixture[str], *arguments: str) -> Ran:
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err
    code = ended.value.code
    return Ran(code if isinstance(code, int) else 0 if code is None else 1, printed.out, printed.err)
