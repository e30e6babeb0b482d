"""Problems found in an uploaded file, each at its line and column. Knows nothing of formats."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from farzi_core.errors import DataError

MAX_PROBLEMS = 1000
MAX_TOKEN_CHARACTERS = 1000
"""Longest user, item or word: what is longer is no id, and would be repeated in every summary of the data."""
_MAX_VALUE_CHARACTERS = 200
_MAX_LABEL_CHARACTERS = 80
_MAX_REASON_CHARACTERS = 1000


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        reason: what was found, what is allowed, what to change.
        code: stable name of the kind of problem.
        line: 1-based line of the file, header included (parquet: 1-based row); None: the file as a whole.
        column: name of the column, or its 1-based number where columns have no names.
        value: the offending value, as :func:`shorten` returns it.
    """

    reason: str
    code: str
    line: int | None = None
    column: str | None = None
    value: str | None = None

    @classmethod
    def of_error(cls, error: DataError) -> Problem:
        """Return the problem that made a whole file unreadable."""
        return cls(error.message, error.code, error.line, error.column)


class ProblemLog:
    """Keeps the first ``MAX_PROBLEMS`` problems, and counts all of them."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.counts: Counter[str] = Counter()
        self.warnings: list[str] = []
        self._refusal: Problem | None = None

    @property
    def num_problems(self) -> int:
        return self.counts.total()

    @property
    def room(self) -> int:
        """How many more problems will be kept."""
        return MAX_PROBLEMS - len(self.problems)

    def extend(self, problems: Iterable[Problem], counts: Mapping[str, int] | None = None) -> None:
        """Add the problems of one block of lines.

        Args:
            problems: at least the first ``room`` of them, in any order.
            counts: how many there are of each code, where not all were built; None: as many as given.
        """
        found = sorted(problems, key=_line_of)
        self.counts.update(Counter(problem.code for problem in found) if counts is None else counts)
        self.problems.extend(found[: self.room])

    def refuse(self, problem: Problem) -> None:
        """Add the one problem for which the whole file is refused; it comes before all others."""
        self.counts[problem.code] += 1
        self._refusal = problem

    def to_json(self) -> list[dict[str, Any]]:
        """Return the kept problems as JSON objects, in the order of lines."""
        rows = sorted(self.problems, key=_line_of)
        first = [] if self._refusal is None else [self._refusal]
        return [_to_json(problem) for problem in [*first, *rows][:MAX_PROBLEMS]]


def _line_of(problem: Problem) -> int:
    return problem.line or 0


def _to_json(problem: Problem) -> dict[str, Any]:
    column = None if problem.column is None else escape(problem.column, _MAX_LABEL_CHARACTERS)
    return asdict(problem) | {"column": column, "reason": escape(problem.reason, _MAX_REASON_CHARACTERS)}


def shorten(value: str) -> str:
    """Return a value fit for a report: at most 200 characters of it, escaped."""
    return escape(value, _MAX_VALUE_CHARACTERS)


def escape(text: str, max_characters: int) -> str:
    r"""Return the beginning of ``text``, with every character that cannot be seen written as ``\x1b`` or ``\u202e``.

    NUL, which databases refuse, line ends, terminal commands and marks that turn the direction of what follows are such.
    """
    shown = text if len(text) <= max_characters else f"{text[: max_characters - 1]}…"
    if shown.isprintable():
        return shown
    return "".join(character if character.isprintable() else character.encode("unicode_escape").decode() for character in shown)
