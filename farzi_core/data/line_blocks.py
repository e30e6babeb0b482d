r"""A text file as blocks of whole lines, checked to be UTF-8. Knows nothing of fields or formats.

Only ``\n`` and ``\r\n`` end a line. What is no text at all (compressed, UTF-16, another encoding) is refused here, with the
line and byte at which it shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from farzi_core.errors import DataError

BLOCK_BYTES = 2**22
# Lines as Python strings take ten times their bytes.
PYTHON_BLOCK_BYTES = 2**20
MAX_LINE_BYTES = 2**24
OnProgress = Callable[[int, int], None]
"""Called with how much of a file was read, and how much there is; both in bytes, or both in rows."""

_UTF8_MARK = b"\xef\xbb\xbf"
_FOREIGN_STARTS = {
    b"\x1f\x8b": "is compressed with gzip; upload it uncompressed",
    b"PK\x03\x04": "is a zip archive or a spreadsheet; upload plain text",
    b"PAR1": "is a parquet file; declare format 'parquet'",
    b"\x28\xb5\x2f\xfd": "is compressed with zstd; upload it uncompressed",
    b"BZh": "is compressed with bzip2; upload it uncompressed",
    b"\xff\xfe": "is UTF-16; save it as UTF-8",
    b"\xfe\xff": "is UTF-16; save it as UTF-8",
}


@dataclass(frozen=True)
class LineBlock:
    """Whole lines.

    Attributes:
        data: the lines with their ends; the last line of the file may have none.
        first_line: 1-based number of the first of them.
        is_last: whether the file ends here.
    """

    data: bytes
    first_line: int
    is_last: bool

    def numbered_lines(self) -> Iterator[tuple[int, str]]:
        """Yield number and text of every line, without its end."""
        lines = self.data.decode().split("\n")
        if lines[-1] == "":
            lines.pop()
        for number, line in enumerate(lines, self.first_line):
            yield number, line.removesuffix("\r")


class LineBlocks:
    """Iterator over the blocks of a file; a reader may hand back what it could not use yet.

    Args:
        path: the file.
        on_progress: called after every block.
        block_bytes: size of a block, before it is cut at its last line end.

    Raises:
        DataError: on iteration; the content is no UTF-8 text, or a line is longer than ``MAX_LINE_BYTES``.
    """

    def __init__(self, path: Path, on_progress: OnProgress | None = None, *, block_bytes: int = BLOCK_BYTES) -> None:
        self._file = path.open("rb")
        self._size_bytes = max(1, path.stat().st_size)
        self._on_progress = on_progress
        self._block_bytes = block_bytes
        self._pending = b""
        self._next_line = 1
        self._ended = False
        self._check_start()

    def __enter__(self) -> LineBlocks:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._file.close()

    def __iter__(self) -> Iterator[LineBlock]:
        while not self._ended:
            yield self._next_block()

    def hand_back(self, data: bytes, first_line: int) -> None:
        """Put ``data``, the end of the block given out last, before what comes next."""
        self._pending = data + self._pending
        self._next_line = first_line
        self._ended = self._ended and not data

    def _next_block(self) -> LineBlock:
        while True:
            read = self._file.read(self._block_bytes)
            self._pending += read
            cut = len(self._pending) if not read else self._pending.rfind(b"\n") + 1
            if cut or not read:
                break
            if len(self._pending) > MAX_LINE_BYTES:
                raise self._too_long()
        data, self._pending = self._pending[:cut], self._pending[cut:]
        block = LineBlock(data, self._next_line, is_last=not read)
        self._ended = block.is_last
        self._check_text(data)
        self._next_line += data.count(b"\n")
        if self._on_progress is not None:
            self._on_progress(self._file.tell(), self._size_bytes)
        return block

    def _check_start(self) -> None:
        start = self._file.read(len(_UTF8_MARK) + 1)
        for magic, advice in _FOREIGN_STARTS.items():
            if start.startswith(magic):
                self._file.close()
                raise DataError(f"the file {advice}", code="not_utf8", line=1)
        self._pending = start.removeprefix(_UTF8_MARK)

    def _check_text(self, data: bytes) -> None:
        if b"\n" not in data and data.count(b"\r") > 1:
            raise DataError(
                "lines end with a carriage return alone; save the file with line feeds (LF or CRLF)",
                code="line_ends",
                line=self._next_line,
            )
        try:
            data.decode()
        except UnicodeDecodeError as error:
            line_start = data.rfind(b"\n", 0, error.start) + 1
            line = self._next_line + data.count(b"\n", 0, error.start)
            raise DataError(
                f"byte {error.start - line_start + 1} of line {line} is 0x{data[error.start]:02x}, which is not UTF-8; "
                "save the file as UTF-8",
                code="not_utf8",
                line=line,
            ) from None

    def _too_long(self) -> DataError:
        return DataError(
            f"line {self._next_line} is longer than {MAX_LINE_BYTES} bytes; break it into several",
            code="line_too_long",
            line=self._next_line,
        )
