"""Hostile files of text: encodings, line ends, quotes and names."""

from __future__ import annotations

from tests.worker.hostile_making import (
    BODY,
    CSV,
    HEADER,
    MIB,
    READY,
    ROWS,
    HostileFile,
    one_of,
    parquet,
    text,
    with_object,
    with_row,
)


def _latin_1() -> bytes:
    return CSV.replace("i3", "café").encode("latin-1")


WRONG_ENCODINGS = [
    HostileFile("encoding", "UTF-16 with a mark", "csv", lambda: CSV.encode("utf-16"), one_of("not_utf8")),
    HostileFile(
        "encoding", "UTF-16 without a mark", "csv", lambda: CSV.encode("utf-16-le"), one_of("unknown_column", "nul_byte")
    ),
    HostileFile("encoding", "UTF-16 big end first", "jsonl", lambda: b"\xfe\xff" + CSV.encode("utf-16-be"), one_of("not_utf8")),
    HostileFile("encoding", "UTF-32", "csv", lambda: CSV.encode("utf-32"), one_of("not_utf8")),
    HostileFile("encoding", "latin-1", "csv", _latin_1, one_of("not_utf8")),
    HostileFile("encoding", "latin-1", "text", lambda: "caf\xe9 noir\n".encode("latin-1") * 20, one_of("not_utf8")),
    HostileFile("encoding", "UTF-8 with a mark", "csv", text("\ufeff" + CSV), READY),
    HostileFile("encoding", "two marks", "csv", text("\ufeff\ufeff" + CSV), one_of("unknown_column")),
    HostileFile("encoding", "overlong", "csv", lambda: CSV.encode() + b"u,\xc0\xaf,1\n", one_of("not_utf8")),
    HostileFile("encoding", "half a character at the end", "csv", lambda: CSV.encode() + b"u,\xe2\x82", one_of("not_utf8")),
    HostileFile("encoding", "a surrogate", "csv", lambda: CSV.encode() + b"u,\xed\xa0\x80,1\n", one_of("not_utf8")),
    HostileFile(
        "encoding",
        "half a surrogate pair",
        "jsonl",
        with_object('{"user": "\\udfff", "item": "i", "timestamp": 1}'),
        one_of("not_utf8"),
    ),
]
LINES_AND_QUOTES = [
    HostileFile("lines", "mixed line ends", "csv", text(HEADER + BODY.replace("\n", "\r\n", 7)), READY),
    HostileFile("lines", "carriage returns alone", "csv", text(CSV.replace("\n", "\r")), one_of("line_ends")),
    HostileFile("lines", "a carriage return inside", "csv", with_row("u0,i1\r,99"), READY),
    HostileFile(
        "lines", "a carriage return for a line end", "csv", with_row("u0,i1,98\ru0,i2,99"), one_of("wrong_field_count")
    ),
    HostileFile("lines", "no line end at all", "csv", lambda: b"u" * (17 * MIB), one_of("line_too_long")),
    HostileFile("lines", "no line end at all", "jsonl", lambda: b'{"user": "' + b"u" * (17 * MIB), one_of("line_too_long")),
    HostileFile("lines", "a million blank lines", "csv", lambda: b"\n" * MIB + CSV.encode(), READY),
    HostileFile("quotes", "never closed", "csv", with_row('u0,"i1,99'), one_of("unclosed_quote")),
    HostileFile("quotes", "never closed from the first field", "csv", text(f'"{CSV}'), one_of("unclosed_quote")),
    HostileFile(
        "quotes",
        "every field opens one",
        "csv",
        text(HEADER + '"' + BODY.replace("\n", '\n"')),
        one_of("unclosed_quote", "malformed_quote"),
    ),
    HostileFile(
        "quotes",
        "a megabyte of quotes",
        "csv",
        lambda: CSV.encode() + b'"' * MIB + b"\n",
        one_of("wrong_field_count", "unclosed_quote", "malformed_line"),
    ),
    HostileFile("quotes", "text after the closing one", "csv", with_row('u0,"i1"x,99'), one_of("malformed_quote")),
    HostileFile(
        "quotes",
        "an enormous quoted field",
        "csv",
        lambda: CSV.encode() + b'u0,"' + b"x,\n" * MIB + b'",1\n',
        one_of("unclosed_quote", "wrong_field_count"),
    ),
    HostileFile("quotes", "a formula", "csv", with_row("=cmd|' /C calc'!A0,i1,99"), READY),
]
NAMES = [
    HostileFile("names", name, "csv", with_row(row), verdict)
    for name, row, verdict in (
        ("path upwards", "../../../../etc/passwd,..\\..\\boot.ini,99", READY),
        ("file URL", "file:///etc/passwd,http://169.254.169.254/,99", READY),
        ("script", "<script>alert(1)</script>,<img src=x onerror=alert(1)>,99", READY),
        ("SQL", "'; DROP TABLE datasets; --,i1,99", READY),
        ("template", "{{7*7}}${jndi:ldap://x/a},i1,99", READY),
        ("direction marks", "u\u202egnp.exe,\u2066i\u2069,99", READY),
        ("terminal commands", "u\x1b[2J\x1b]0;owned\x07,i1,99", READY),
        ("zalgo", "u" + "\u0301" * 900 + ",i1,99", READY),
        ("no width", "\u200b,i1,99", READY),
        ("NUL", "u\0,i1,99", one_of("nul_byte")),
        ("a thousand and one characters", "u" * 1001 + ",i1,99", one_of("value_too_long")),
        ("only white space", "\u00a0\u3000,i1,99", one_of("empty_value")),
    )
] + [
    HostileFile("names", "an id of a megabyte", "csv", with_row("u" * MIB + ",i1,99"), one_of("value_too_long")),
    HostileFile(
        "names",
        "an id of a megabyte",
        "jsonl",
        with_object(f'{{"user": "{"u" * MIB}", "item": "i", "timestamp": 1}}'),
        one_of("value_too_long"),
    ),
    HostileFile(
        "names",
        "an id of a megabyte",
        "sequences",
        f"u a b c\nv b c a\n{'w' * MIB} a b\n".encode,
        one_of("value_too_long"),
    ),
    HostileFile(
        "names", "a word of a megabyte", "text", lambda: b"a b c\n" * 20 + b"w" * MIB + b" a\n", one_of("value_too_long")
    ),
    HostileFile(
        "names",
        "NUL by escape",
        "jsonl",
        with_object('{"user": "a\\u0000", "item": "i", "timestamp": 1}'),
        one_of("nul_byte"),
    ),
    HostileFile("names", "NUL", "sequences", lambda: b"u a b c\nv b\0 a\n", one_of("nul_byte")),
    HostileFile("names", "NUL", "text", lambda: b"a b c\n" * 20 + b"a \0 c\n", one_of("nul_byte")),
    HostileFile(
        "names", "NUL", "parquet", lambda: parquet({"item": ["i\0", *[item for _, item, _ in ROWS[1:]]]}), one_of("nul_byte")
    ),
]
