"""Receive a body: from the socket to a file, in bounded memory, with its limit and digest checked on the way."""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from fastapi import Request
from fastapi.concurrency import run_in_threadpool

from app.datasets.promises import BodyPromise
from app.datasets.service import ReceivedContent
from app.errors import ServiceError
from app.settings import Settings
from app.storage import StorageError
from farzi_core.content_encoding import START_BYTES, detect_encoding

WRITE_BYTES = 1 << 20
SPOOL_DIRECTORY = "incoming"  # inside DATA_DIR
RAW_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary", "minLength": 1}}},
    }
}


@dataclass(frozen=True)
class Receiver:
    """Where bodies are written to, and how long a client may say nothing in the middle of one."""

    directory: Path
    idle_s: float

    @classmethod
    def of(cls, settings: Settings) -> Receiver:
        return cls(settings.resolved_data_dir / SPOOL_DIRECTORY, settings.upload_idle_s)

    @asynccontextmanager
    async def received(self, request: Request, promise: BodyPromise) -> AsyncIterator[ReceivedContent]:
        """Yield the body as a file that is gone when the block ends.

        Raises:
            ServiceError: it is empty, too large, too slow, or not what was promised.
            StorageError: there is no room for it.
            ClientDisconnect: it did not arrive whole.
        """
        try:
            spool = await run_in_threadpool(_Spool, self.directory)
        except OSError as error:
            raise StorageError(f"making a file for a body: {error.strerror}") from error
        try:
            async for block in self._blocks(request, promise):
                await run_in_threadpool(spool.write, block)
            await run_in_threadpool(spool.close)
            content = ReceivedContent(spool.path, spool.num_bytes, spool.digest.hexdigest(), detect_encoding(spool.start))
            promise.check(content)
            yield content
        finally:
            await run_in_threadpool(spool.discard)

    async def _blocks(self, request: Request, promise: BodyPromise) -> AsyncIterator[bytes]:
        """Yield the body in blocks of about a mebibyte: one thread hand-over for each, not one for each packet."""
        waiting, num_bytes = bytearray(), 0
        chunks = aiter(request.stream())
        while True:
            try:
                async with asyncio.timeout(self.idle_s):
                    chunk = await anext(chunks)
            except StopAsyncIteration:
                break
            except TimeoutError:
                raise self._stalled(num_bytes) from None
            num_bytes += len(chunk)
            promise.check_so_far(num_bytes)
            waiting += chunk
            if len(waiting) >= WRITE_BYTES:
                yield bytes(waiting)
                waiting.clear()
        if waiting:
            yield bytes(waiting)

    def _stalled(self, num_bytes: int) -> ServiceError:
        message = f"After {num_bytes} bytes nothing came for {self.idle_s:g} s; nothing was kept, send it again."
        return ServiceError("upload_stalled", message, headers={"Connection": "close"})


class _Spool:
    """A file that a body is written to, with what is learned of the bytes on the way."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=directory, prefix="upload-")
        self._file = os.fdopen(handle, "wb", buffering=0)
        self.path = Path(name)
        self.digest, self.num_bytes, self.start = hashlib.sha256(), 0, b""

    def write(self, block: bytes) -> None:
        self.start = self.start or block[:START_BYTES]
        self.digest.update(block)
        self.num_bytes += len(block)
        try:
            while block:
                block = block[self._file.write(block) :]
        except OSError as error:
            raise StorageError(f"writing a body to disk: {error.strerror}") from error

    def close(self) -> None:
        self._file.close()

    def discard(self) -> None:
        self._file.close()
        self.path.unlink(missing_ok=True)
