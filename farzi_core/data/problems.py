"""Problems found in an uploaded file, each at its line and column. Knows nothing of formats."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from farzi_core.errors import DataError

MAX_PROBLEMS = 1000
_MAX_VALUE_CHARACTERS = 200


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        reason: what was found, what is allowed, what to change.
        code: stable name of the kind of problem.
        line: 1-based line of the file, header included (parquet: 1-based row); None: the file as a whole.
        column: name of the column, or its 1-based number where columns have no names.
        value: the offending value, cut to 200 characters.
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
        self.num_problems = 0
        self.warnings: list[str] = []
        self._refusal: Problem | None = None

    @property
    def room(self) -> int:
        """How many more problems will be kept."""
        return MAX_PROBLEMS - len(self.problems)

    def extend(self, problems: Iterable[Problem], num_problems: int | None = None) -> None:
        """Add the problems of one block of lines.

        Args:
            problems: at least the first ``room`` of them, in any order.
            num_problems: how many there are, where not all were built; None: as many as given.
        """
        found = sorted(problems, key=_line_of)
        self.num_problems += len(found) if num_problems is None else num_problems
        self.problems.extend(found[: self.room])

    def refuse(self, problem: Problem) -> None:
        """Add the one problem for which the whole file is refused; it comes before all others."""
        self.num_problems += 1
        self._refusal = problem

    def to_json(self) -> list[dict[str, Any]]:
        """Return the kept problems as JSON objects, in the order of lines."""
        rows = sorted(self.problems, key=_line_of)
        first = [] if self._refusal is None else [self._refusal]
        return [asdict(problem) for problem in [*first, *rows][:MAX_PROBLEMS]]


def _line_of(problem: Problem) -> int:
    return problem.line or 0


def shorten(value: str) -> str:
    """Return a value short enough for a report, without NUL, which databases refuse."""
    shown = value.replace("\0", "\\0")
    return shown if len(shown) <= _MAX_VALUE_CHARACTERS else shown[: _MAX_VALUE_CHARACTERS - 1] + "…"
