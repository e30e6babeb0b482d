"""Quotes by the rules of RFC 4180, for one record or for a whole block of lines.

A field that begins with a quote ends at the next single one; two stand for one; a quote inside an unquoted field is an ordinary
character. Knows nothing of columns.
"""

from __future__ import annotations

import csv

import numpy as np
from numpy.typing import NDArray

_NEWLINE, _RETURN, _QUOTE = 10, 13, 34


def find_untidy_lines(data: NDArray[np.uint8], starts: NDArray[np.int64], delimiter: str) -> NDArray[np.bool_]:
    """Return which lines cannot be cut at every delimiter and stripped of the quotes around fields.

    Args:
        data: the bytes of whole lines.
        starts: where every line begins.
        delimiter: one ASCII character.

    Returns:
        bool, one a line: false where every quote opens a field right at its start or closes it right at its end, and no
        delimiter stands between two such quotes.

    Cost: O(bytes).
    """
    untidy = np.zeros(len(starts), dtype=np.bool_)
    quotes = np.flatnonzero(data == _QUOTE)
    if len(quotes) == 0:
        return untidy
    first_quotes = np.searchsorted(quotes, starts)
    untidy |= np.diff(np.append(first_quotes, len(quotes))) % 2 == 1

    lines = np.searchsorted(starts, quotes, side="right") - 1
    opens = (np.arange(len(quotes)) - first_quotes[lines]) % 2 == 0
    framed = np.concatenate([[_NEWLINE], data, [_NEWLINE, _NEWLINE]])
    before, after, second_after = framed[quotes], framed[quotes + 2], framed[quotes + 3]
    at_start = (before == ord(delimiter)) | (before == _NEWLINE)
    at_end = (after == ord(delimiter)) | (after == _NEWLINE) | ((after == _RETURN) & (second_after == _NEWLINE))
    untidy[lines[~np.where(opens, at_start, at_end)]] = True

    delimiters = np.flatnonzero(data == ord(delimiter))
    their_lines = np.searchsorted(starts, delimiters, side="right") - 1
    inside = (np.searchsorted(quotes, delimiters) - first_quotes[their_lines]) % 2 == 1
    untidy[their_lines[inside]] = True
    return untidy


def parse_record(text: str, delimiter: str) -> list[str] | None:
    """Return the fields of one record, or None where its quotes or its length break the rules."""
    try:
        return next(csv.reader([text], delimiter=delimiter, strict=True), [])
    except csv.Error:
        return None


def find_bad_quote(text: str, delimiter: str) -> tuple[int, str, str]:
    """Return 0-based field, code and reason of what :func:`parse_record` refused."""
    position = field = 0
    while position < len(text):
        if text[position] == '"':
            end = _find_closing_quote(text, position + 1)
            if end < 0:
                return (
                    field,
                    "unclosed_quote",
                    "a quote opens this field and is not closed; close it, or double a quote that is meant",
                )
            position = end + 1
            if position < len(text) and text[position] != delimiter:
                return field, "malformed_quote", "text follows the closing quote; double the quotes inside a quoted field"
        else:
            position = text.find(delimiter, position)
            if position < 0:
                break
        position += 1
        field += 1
    return (
        field,
        "malformed_line",
        "the line cannot be split into fields; it holds a carriage return or a field that is too long",
    )


def _find_closing_quote(text: str, start: int) -> int:
    position = text.find('"', start)
    while position >= 0 and text[position + 1 : position + 2] == '"':
        position = text.find('"', position + 2)
    return position
