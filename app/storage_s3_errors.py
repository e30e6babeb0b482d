"""What boto3 raises, in the words of the store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError

from app.storage import ObjectMissingError, StorageError

MISSING_CODES = frozenset({"404", "NoSuchKey", "NoSuchUpload", "NotFound"})


@contextmanager
def translated(doing: str, *, missing_is_fine: bool = False) -> Iterator[None]:
    """Turn errors of the client and of the server into StorageError."""
    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if code not in MISSING_CODES:
            raise StorageError(f"{doing}: the S3 server answered {code or error}") from error
        if not missing_is_fine:
            raise ObjectMissingError(f"{doing}: there is no such object") from error
    except (BotoCoreError, Boto3Error, OSError) as error:
        raise StorageError(f"{doing}: {error}") from error
