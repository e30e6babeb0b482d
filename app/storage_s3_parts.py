"""Multipart uploads of an S3 bucket.

A part whose SHA-256 is known from the start is checked by the server: with a presigned URL the digest is a signed header, so
no other bytes get in. S3 wants the algorithm to be declared when the upload begins, and then a digest with every part; parts of
uploads without declared digests go with their MD5 instead.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.storage import PRESIGNED_FOR_S, check_key
from app.storage_parts import AbandonedObject, PresignedPart, StoredPart, UnfinishedObject
from app.storage_s3_errors import translated

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef


class S3Parts:
    """Implements ``app.storage_parts.PartStore``; ``signer`` is None where clients cannot reach the server."""

    def __init__(self, client: S3Client, signer: S3Client | None, bucket: str) -> None:
        self._client, self._signer, self._bucket = client, signer, bucket

    def start(self, key: str, *, sha256: str, part_sha256s: Sequence[str] | None = None) -> UnfinishedObject:
        declared: dict[str, Any] = {} if part_sha256s is None else {"ChecksumAlgorithm": "SHA256"}
        with translated(f"beginning {key}"):
            answer = self._client.create_multipart_upload(
                Bucket=self._bucket, Key=check_key(key), Metadata={"sha256": sha256}, **declared
            )
        return UnfinishedObject(key, answer["UploadId"], None if part_sha256s is None else tuple(part_sha256s))

    def put(self, unfinished: UnfinishedObject, number: int, path: Path, *, sha256: str) -> StoredPart:
        with translated(f"storing part {number} of {unfinished.key}"), path.open("rb") as source:
            digest: dict[str, Any]
            if unfinished.part_sha256s is None:
                digest = {"ContentMD5": _encode(hashlib.file_digest(source, _md5).digest())}
                source.seek(0)
            else:
                digest = {"ChecksumSHA256": _encode(bytes.fromhex(sha256))}
            answer = self._client.upload_part(**self._names(unfinished), PartNumber=number, Body=source, **digest)
            return StoredPart(number, path.stat().st_size, answer["ETag"], None)

    def presign(self, unfinished: UnfinishedObject, number: int, size_bytes: int) -> PresignedPart | None:
        if self._signer is None:
            return None
        signed: dict[str, Any] = {"PartNumber": number, "ContentLength": size_bytes}
        headers = {}
        if unfinished.part_sha256s is not None:
            headers["x-amz-checksum-sha256"] = _encode(bytes.fromhex(unfinished.part_sha256s[number - 1]))
            signed["ChecksumSHA256"] = headers["x-amz-checksum-sha256"]
        parameters = {**self._names(unfinished), **signed}
        url = self._signer.generate_presigned_url("upload_part", Params=parameters, ExpiresIn=PRESIGNED_FOR_S)
        return PresignedPart(url, headers)

    def list(self, unfinished: UnfinishedObject) -> list[StoredPart]:
        with translated(f"listing parts of {unfinished.key}"):
            pages = self._client.get_paginator("list_parts").paginate(**self._names(unfinished))
            return [
                StoredPart(part["PartNumber"], part["Size"], part["ETag"], part["LastModified"])
                for page in pages
                for part in page.get("Parts", ())
            ]

    def complete(self, unfinished: UnfinishedObject, parts: Sequence[StoredPart]) -> str | None:
        named = [self._name_part(unfinished, part) for part in parts]
        with translated(f"completing {unfinished.key}"):
            self._client.complete_multipart_upload(**self._names(unfinished), MultipartUpload={"Parts": named})
        return None  # what S3 says of the whole is a digest of digests

    def abort(self, unfinished: UnfinishedObject) -> None:
        with translated(f"aborting {unfinished.key}", missing_is_fine=True):
            self._client.abort_multipart_upload(**self._names(unfinished))

    def list_unfinished(self) -> Iterator[AbandonedObject]:
        with translated("listing unfinished objects"):
            for page in self._client.get_paginator("list_multipart_uploads").paginate(Bucket=self._bucket):
                for item in page.get("Uploads", ()):
                    yield AbandonedObject(item["Key"], item["UploadId"], item["Initiated"])

    def _names(self, unfinished: UnfinishedObject) -> dict[str, Any]:
        return {"Bucket": self._bucket, "Key": check_key(unfinished.key), "UploadId": unfinished.store_id}

    @staticmethod
    def _name_part(unfinished: UnfinishedObject, part: StoredPart) -> CompletedPartTypeDef:
        named: CompletedPartTypeDef = {"PartNumber": part.number, "ETag": part.etag}
        if unfinished.part_sha256s is not None:
            named["ChecksumSHA256"] = _encode(bytes.fromhex(unfinished.part_sha256s[part.number - 1]))
        return named


def _encode(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def _md5() -> Any:
    """MD5 as S3 wants it: against damage on the way, not against anybody."""
    return hashlib.md5(usedforsecurity=False)
