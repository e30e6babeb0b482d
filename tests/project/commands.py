"""Checks a ``farzi`` command line, as documents and images write it, against the real command tree."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

import typer.main

from farzi_client.cli import app
from tests.project.repository import fenced_blocks, read

SHELLS = {"bash", "console", "sh", "shell"}
COMMAND_LINE = re.compile(r"([A-Z_]+=\S*\s+|exec\s+)*(\.venv/bin/)?farzi(\s|$)")
ENDS_COMMAND = {"|", "&&", "||", ";", ">", "&", "#"}


def check(words: list[str]) -> None:
    """Fail unless every word is a command, one of its options, or an argument where the command takes some."""
    assert words[0] == "farzi"
    command: Any = typer.main.get_command(app)
    seen = ["farzi"]
    for word in words[1:]:
        if word.startswith("-"):
            known = {"--help", *(option for item in command.params for option in (*item.opts, *item.secondary_opts))}
            assert word.partition("=")[0] in known, f"{' '.join(seen)} has no option {word}; it has {sorted(known)}"
        elif hasattr(command, "commands"):
            if word.isupper():  # "farzi COMMAND --help" stands for every command
                return
            assert word in command.commands, f"{' '.join(seen)} has no command {word}; it has {sorted(command.commands)}"
            command = command.commands[word]
            seen.append(word)
        else:
            assert command.params, f"{' '.join(seen)} takes no arguments; it was given {word}"


def of_document(name: str) -> Iterator[list[str]]:
    """Yield every ``farzi ...`` command of a document, in shell blocks and inline code; ``a|b`` gives two, ``[--a]`` one."""
    for language, _, text in fenced_blocks(name):
        if language in SHELLS:
            for line in text.replace("\\\n", " ").splitlines():
                yield from _of_line(line.strip().removeprefix("$ "))
    prose = re.sub(r"^\s*```.*?^\s*```", "", read(name), flags=re.MULTILINE | re.DOTALL)
    for code in re.findall(r"`(farzi [^`]+)`", prose):
        yield from _of_line(code)


def _of_line(line: str) -> Iterator[list[str]]:
    if not COMMAND_LINE.match(line):  # among them lines that quote over several lines, which cannot be split alone
        return
    words = shlex.split(re.sub(r"[\[\]]", "", line), comments=True)
    while words and (re.fullmatch(r"[A-Z_]+=.*", words[0]) or words[0] == "exec"):
        words = words[1:]
    words = ["farzi", *words[1:]]
    end = next((index for index, word in enumerate(words) if word in ENDS_COMMAND), len(words))
    commands: list[list[str]] = [[]]
    for word in words[:end]:
        commands = [[*command, choice] for command in commands for choice in word.split("|")]
    yield from commands
