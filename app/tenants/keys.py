"""The form of a bearer key, and its digest.

A key is ``fz_``, 32 random base62 characters and 6 of their CRC-32: a scanner can recognise a leaked one, and a mistyped one is
told from an unknown one. The database keeps only an HMAC, so that a copy of it opens nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import string
import zlib

PREFIX = "fz_"
NUM_RANDOM_CHARACTERS = 32
NUM_CHECKSUM_CHARACTERS = 6
NUM_SHOWN_CHARACTERS = 8
BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase


def make_key() -> str:
    """Return a fresh key; 190 bits of it are random."""
    body = "".join(secrets.choice(BASE62) for _ in range(NUM_RANDOM_CHARACTERS))
    return PREFIX + body + _checksum(body)


def is_mistyped(key: str) -> bool:
    """Whether ``key`` has the form of a generated key but not its checksum."""
    body, checksum = key[len(PREFIX) : -NUM_CHECKSUM_CHARACTERS], key[-NUM_CHECKSUM_CHARACTERS:]
    return key.startswith(PREFIX) and not hmac.compare_digest(_checksum(body).encode(), checksum.encode())


def digest_key(key: str, secret: bytes) -> bytes:
    """Return what the database keeps of a key."""
    return hmac.new(secret, key.encode(), hashlib.sha256).digest()


def _checksum(body: str) -> str:
    number = zlib.crc32(body.encode())
    characters = []
    for _ in range(NUM_CHECKSUM_CHARACTERS):
        number, index = divmod(number, len(BASE62))
        characters.append(BASE62[index])
    return "".join(reversed(characters))
