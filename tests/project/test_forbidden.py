"""What must never be in the tree, whoever wrote it."""

from __future__ import annotations

import ast
import re
from pathlib import PurePosixPath

import pytest

from tests.project.repository import ROOT, files, python_files, read

UNSAFE_MODULES = {"cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve"}
UNSAFE_CALLS = {"torch.load", "torch.save", "numpy.load", "np.load", "yaml.load", "pandas.read_pickle"}
VAGUE_NAMES = {"common.py", "helpers.py", "misc.py", "util.py", "utils.py"}
MACHINE_PATH = re.compile(r"(?<![\w./])/(?:work|home|root|Users)/\w")
POSTPONED = re.compile("|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X")))
LONGEST_FILE = 450


@pytest.mark.parametrize("name", python_files())
def test_python_file(name: str) -> None:
    """No deserialising of code, no vague name, not too long, nothing put off."""
    text = read(name)
    assert PurePosixPath(name).name not in VAGUE_NAMES
    assert text.count("\n") <= LONGEST_FILE
    assert POSTPONED.search(text) is None
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            assert not {alias.name.partition(".")[0] for alias in node.names} & UNSAFE_MODULES
        elif isinstance(node, ast.ImportFrom):
            assert (node.module or "").partition(".")[0] not in UNSAFE_MODULES
        elif isinstance(node, ast.Call):
            assert ast.unparse(node.func) not in UNSAFE_CALLS


def test_no_path_of_one_machine() -> None:
    found = [
        f"{name}:{number}"
        for name in files()
        for number, line in enumerate((ROOT / name).read_text(encoding="utf-8", errors="replace").splitlines(), start=1)
        if MACHINE_PATH.search(line)
    ]
    assert found == []


def test_no_file_is_large() -> None:
    assert [name for name in files() if (ROOT / name).stat().st_size > 1_000_000] == []
