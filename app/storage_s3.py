"""Objects in an S3 bucket, through boto3.

boto3's own default checksums are switched off because many S3 servers do not know them; ours is SHA-256, always explicit: sent
with the bytes so that the server can refuse damaged ones, and kept as metadata so that a reader can compare.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

from app.content_disposition import attachment
from app.settings import Settings
from app.storage import (
    CHUNK_BYTES,
    PRESIGNED_FOR_S,
    DamagedObjectError,
    ListedObject,
    StoredObject,
    check_key,
    check_prefix,
)
from app.storage_s3_errors import translated
from app.storage_s3_parts import S3Parts

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3 import S3Client

SINGLE_PUT_BYTES = 1 << 30  # S3 takes up to 5 GiB in one request; a broken connection costs the whole of it
PART_BYTES = 64 << 20
# A run has nothing better to do than to wait; a request keeps a thread and a caller, and maintenance comes again.
PATIENT = {"read_timeout": 60.0, "max_attempts": 3}
HURRIED = {"read_timeout": 20.0, "max_attempts": 2}


class S3Store:
    """Implements ``app.storage.ObjectStore``; safe to share between threads."""

    def __init__(self, settings: Settings, *, single_put_bytes: int = SINGLE_PUT_BYTES, is_hurried: bool = False) -> None:
        assert settings.s3_bucket is not None
        self._bucket = settings.s3_bucket
        self._single_put_bytes = single_put_bytes
        self._client = _make_client(settings, settings.s3_endpoint_url, HURRIED if is_hurried else PATIENT)
        # A server inside a private network signs URLs that its users cannot reach, unless it is told another address.
        public_url = settings.s3_public_endpoint_url
        if public_url is not None:
            self._signer: S3Client | None = _make_client(settings, public_url, HURRIED)
        else:
            self._signer = self._client if settings.s3_endpoint_url is None else None
        self.parts = S3Parts(self._client, self._signer, self._bucket)

    def put_file(self, key: str, path: Path, *, sha256: str | None = None, may_move: bool = False) -> None:  # noqa: ARG002
        check_key(key)
        with path.open("rb") as source:
            digest = sha256 or hashlib.file_digest(source, "sha256").hexdigest()
            source.seek(0)
            with translated(f"storing {key}"):
                if path.stat().st_size <= self._single_put_bytes:
                    self._put_whole(key, source, digest)
                else:
                    self._put_parts(key, source, digest)

    def open_stream(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        if end is not None and end <= start:
            return iter(())
        with translated(f"reading {key}"):
            if start == 0 and end is None:
                answer = self._client.get_object(Bucket=self._bucket, Key=check_key(key))
            else:
                last = "" if end is None else end - 1
                answer = self._client.get_object(Bucket=self._bucket, Key=check_key(key), Range=f"bytes={start}-{last}")
        return _read_body(key, answer["Body"])

    def fetch_file(self, key: str, path: Path) -> None:
        digest = hashlib.sha256()
        with path.open("wb") as target:
            for chunk in self.open_stream(key):
                digest.update(chunk)
                target.write(chunk)
        expected = self.stat(key).sha256
        if expected is not None and digest.hexdigest() != expected:
            raise DamagedObjectError(f"reading {key}: SHA-256 {digest.hexdigest()} came back, {expected} was stored")

    def stat(self, key: str) -> StoredObject:
        with translated(f"looking at {key}"):
            answer = self._client.head_object(Bucket=self._bucket, Key=check_key(key))
        return StoredObject(answer["ContentLength"], answer["Metadata"].get("sha256"))

    def delete(self, key: str) -> None:
        with translated(f"deleting {key}"):
            self._client.delete_object(Bucket=self._bucket, Key=check_key(key))

    def delete_prefix(self, prefix: str) -> None:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=check_prefix(prefix))
        with translated(f"deleting {prefix}"):
            # One request an object: the batch request wants an MD5 or CRC that not every server agrees about.
            keys = [item["Key"] for page in pages for item in page.get("Contents", ())]
            for key in keys:
                self._client.delete_object(Bucket=self._bucket, Key=key)

    def list_objects(self, prefix: str) -> Iterator[ListedObject]:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=check_prefix(prefix))
        with translated(f"listing {prefix}"):
            for page in pages:
                for item in page.get("Contents", ()):
                    yield ListedObject(item["Key"], item["LastModified"])

    def presign_get(self, key: str, *, file_name: str, media_type: str) -> str | None:
        if self._signer is None:
            return None
        parameters = {
            "Bucket": self._bucket,
            "Key": check_key(key),
            "ResponseContentType": media_type,
            "ResponseContentDisposition": attachment(file_name),
        }
        return self._signer.generate_presigned_url("get_object", Params=parameters, ExpiresIn=PRESIGNED_FOR_S)

    def check(self) -> None:
        with translated(f"reaching bucket {self._bucket}"):
            self._client.head_bucket(Bucket=self._bucket)

    def close(self) -> None:
        self._client.close()
        if self._signer is not None:
            self._signer.close()

    def _put_whole(self, key: str, source: BinaryIO, sha256: str) -> None:
        self._client.put_object(
            Bucket=self._bucket,
            Key=key,
            Body=source,
            ChecksumSHA256=base64.b64encode(bytes.fromhex(sha256)).decode(),
            Metadata={"sha256": sha256},
        )

    def _put_parts(self, key: str, source: BinaryIO, sha256: str) -> None:
        self._client.upload_fileobj(
            source,
            self._bucket,
            key,
            ExtraArgs={"ChecksumAlgorithm": "SHA256", "Metadata": {"sha256": sha256}},
            Config=TransferConfig(
                multipart_threshold=self._single_put_bytes, multipart_chunksize=PART_BYTES, max_concurrency=4
            ),
        )


def _make_client(settings: Settings, endpoint_url: str | None, patience: dict[str, float]) -> S3Client:
    secret = settings.s3_secret_access_key
    return boto3.client(
        "s3",
        endpoint_url=endpoint_url,
        aws_access_key_id=settings.s3_access_key_id,
        aws_secret_access_key=secret.get_secret_value() if secret else None,
        region_name=settings.s3_region,
        config=Config(
            signature_version="s3v4",
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            connect_timeout=5,
            read_timeout=patience["read_timeout"],
            retries={"mode": "standard", "max_attempts": int(patience["max_attempts"])},
        ),
    )


def _read_body(key: str, body: StreamingBody) -> Iterator[bytes]:
    try:
        with translated(f"reading {key}"):
            yield from body.iter_chunks(CHUNK_BYTES)
    finally:
        body.close()
