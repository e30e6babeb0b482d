"""Compressed files come out whole, or not at all and never larger than allowed."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pytest

from farzi_core.content_encoding import START_BYTES, ContentEncoding, detect_encoding
from farzi_core.data.compression import ALWAYS_ALLOWED_BYTES, decompress_file
from farzi_core.errors import DataError

PLAIN = b"user,item,timestamp\n" * 5000
ENCODINGS: list[ContentEncoding] = ["gzip", "zstd"]


def pack(content: bytes, encoding: ContentEncoding) -> bytes:
    return gzip.compress(content) if encoding == "gzip" else pa.compress(content, codec="zstd", asbytes=True)


def unpack(directory: Path, packed: bytes, encoding: ContentEncoding, *, max_bytes: int = 1 << 30, max_ratio: int = 1) -> bytes:
    source, target = directory / "source", directory / "target"
    source.write_bytes(packed)
    num_bytes = decompress_file(source, target, encoding, max_bytes=max_bytes, max_ratio=max_ratio)
    assert num_bytes == target.stat().st_size
    return target.read_bytes()


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_members_and_frames_in_a_row_are_one_file(tmp_path: Path, encoding: ContentEncoding) -> None:
    packed = pack(PLAIN, encoding)
    assert detect_encoding(packed[:START_BYTES]) == encoding
    assert unpack(tmp_path, packed, encoding) == PLAIN
    assert unpack(tmp_path, packed + packed, encoding) == PLAIN + PLAIN


@pytest.mark.parametrize("start", [b"", b"u", b"user", b"PAR1", b"(\xb5", b"\x1f", "é".encode()])
def test_other_files_are_not_taken_for_compressed(start: bytes) -> None:
    assert detect_encoding(start) is None


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_limit_is_kept_to_the_byte(tmp_path: Path, encoding: ContentEncoding) -> None:
    packed = pack(PLAIN, encoding)
    assert unpack(tmp_path, packed, encoding, max_bytes=len(PLAIN)) == PLAIN
    with pytest.raises(DataError, match="split it") as caught:
        unpack(tmp_path, packed, encoding, max_bytes=len(PLAIN) - 1)
    assert caught.value.code == "decompression_limit"
    assert (tmp_path / "target").stat().st_size < len(PLAIN)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_bomb_fills_no_disk(tmp_path: Path, encoding: ContentEncoding) -> None:
    bomb = pack(b"\0" * (4 * ALWAYS_ALLOWED_BYTES), encoding)
    with pytest.raises(DataError) as caught:
        unpack(tmp_path, bomb, encoding, max_ratio=200)
    assert caught.value.code == "decompression_limit"
    assert (tmp_path / "target").stat().st_size <= max(ALWAYS_ALLOWED_BYTES, 200 * len(bomb))


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("damage", ["cut", "changed", "followed"])
def test_damage_is_refused(tmp_path: Path, encoding: ContentEncoding, damage: str) -> None:
    packed = pack(PLAIN, encoding)
    at = {"gzip": 30, "zstd": 4}[encoding]  # a zstd frame has a checksum only if its writer wanted one, but always a header
    damaged = {
        "cut": packed[:-5],
        "changed": packed[:at] + bytes([packed[at] ^ 0xFF]) + packed[at + 1 :],
        "followed": packed + b"what is no member and no frame",
    }[damage]
    with pytest.raises(DataError) as caught:
        unpack(tmp_path, damaged, encoding)
    assert caught.value.code == "compression_damaged"


def test_a_full_disk_is_no_fault_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(pack(PLAIN, "gzip"))
    with pytest.raises(OSError, match="No space"):
        decompress_file(tmp_path / "source", Path("/dev/full"), "gzip", max_bytes=1 << 30, max_ratio=1)
