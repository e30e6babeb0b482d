"""The base install: what importing the client loads, which is what its import takes."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

PROBE = """
import json, sys
import {module}
files = {{name.partition(".")[0]: getattr(module, "__file__", None) or "" for name, module in list(sys.modules.items())}}
print(json.dumps([name for name, path in files.items() if "site-packages" in path or name == "farzi_client"]))
"""
BASE = {"farzi_client", "httpx", "httpx_sse", "httpcore", "anyio", "certifi", "h11", "idna", "tenacity", "typing_extensions"}
# httpx has a command of its own: it loads these where they happen to be installed, which the base install does not do for it.
OF_HTTPX = {"click", "pygments", "rich", "markdown_it", "mdurl"}
COMMAND = {"annotated_doc", "shellingham", "typer"}
# What virtual environments and plugins of tools put into every process.
ALWAYS = {"_distutils_hack", "_virtualenv", "distutils-precedence"}


def loaded_by(module: str) -> set[str]:
    probe = subprocess.run([sys.executable, "-c", PROBE.format(module=module)], capture_output=True, text=True, check=True)
    names: list[str] = json.loads(probe.stdout)
    return set(names) - ALWAYS


@pytest.mark.parametrize("module", ["farzi_client", "farzi_client.callbacks", "farzi_client.data_card", "farzi_client.client"])
def test_importing_the_client_loads_what_an_exchange_takes_and_nothing_else(module: str) -> None:
    assert loaded_by(module) - BASE - OF_HTTPX == set()


def test_importing_the_command_loads_no_more_than_a_terminal_takes() -> None:
    assert loaded_by("farzi_client.cli") - BASE - OF_HTTPX - COMMAND == set()
