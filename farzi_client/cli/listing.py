"""Lists that fit the terminal: columns that matter least are left out; if that does not do, items stand below each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

GAP = 2
# A name may be long; it is cut before a column is given up.
LEAST_NAME_WIDTH = 16


class Listing:
    """Items by column; the first column has ids, which are never cut, so that they can be copied.

    Args:
        columns: titles, in the order in which they are shown.
        named: the column of names that people chose; it may be cut.
        spared: columns that a narrow terminal does without, the first of them first.
    """

    def __init__(self, *columns: str, named: str | None = None, spared: Sequence[str] = ()) -> None:
        self._columns = columns
        self._named = named
        self._spared = spared
        self._rows: list[tuple[str, ...]] = []

    def add(self, *cells: str) -> None:
        assert len(cells) == len(self._columns)
        self._rows.append(cells)

    def print(self, console: Console) -> None:
        """Print as a table, with as many columns as there is room for, or as a stack of items."""
        shown = list(self._columns)
        for given_up in (None, *self._spared):
            if given_up is not None:
                shown.remove(given_up)
            if self._least_width(shown) <= console.width:
                self._print_table(console, shown)
                return
        self._print_stack(console)

    def _print_table(self, console: Console, shown: Sequence[str]) -> None:
        table = Table(box=None, pad_edge=False, header_style="bold")
        room = console.width - self._least_width(shown)
        for title in shown:
            width = self._width(title)
            table.add_column(
                title,
                no_wrap=True,
                overflow="ellipsis",
                max_width=self._least(title) + room,
                min_width=min(width, self._least(title)),
            )
        for row in self._rows:
            table.add_row(*(Text(cell) for title, cell in zip(self._columns, row, strict=True) if title in shown))
        console.print(table)

    def _print_stack(self, console: Console) -> None:
        for first, *rest in self._rows:
            print_lines(console, [first, *(f"  {title}: {cell}" for title, cell in zip(self._columns[1:], rest, strict=True))])

    def _least_width(self, shown: Sequence[str]) -> int:
        return sum(self._least(title) for title in shown) + GAP * (len(shown) - 1)

    def _least(self, title: str) -> int:
        width = self._width(title)
        return min(width, LEAST_NAME_WIDTH) if title == self._named else width

    def _width(self, title: str) -> int:
        column = self._columns.index(title)
        return max(cell_len(title), *(cell_len(row[column]) for row in self._rows), 0)


def print_lines(console: Console, lines: Iterable[str]) -> None:
    """Print lines that the terminal may break where it likes: what is copied from them has no blanks put in."""
    for line in lines:
        console.print(Text(line), soft_wrap=True)
