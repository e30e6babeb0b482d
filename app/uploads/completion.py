"""Complete an upload: its parts become one object, whose SHA-256 is compared before any data set names it.

That takes as long as reading the file takes, so it happens outside of transactions, under a claim that is renewed meanwhile:
one request completes, and if its process dies another one may after the claim has run out.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from uuid import uuid4

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from app.clock import database_now
from app.datasets.models import Dataset
from app.datasets.service import StoredContent, attach_content, get_awaiting, get_dataset
from app.errors import ServiceError
from app.storage import ObjectMissingError, ObjectStore, StorageError
from app.uploads import repository
from app.uploads.models import Upload, UploadAddress, UploadStatus
from app.uploads.release import release_upload
from app.uploads.service import being_completed, choose_parts, get_upload, require_open, unfinished_object
from farzi_core.content_encoding import START_BYTES, detect_encoding

CLAIM_S = 60.0
MAX_NAMED_PARTS = 20
# After these the upload can never be completed, so that it ends.
FATAL_CODES = frozenset({"upload_digest_mismatch", "upload_parts_lost", "dataset_already_uploaded", "dataset_not_found"})

logger = structlog.get_logger(__name__)


class Completion:
    """One request's attempt to complete one upload."""

    def __init__(self, sessions: sessionmaker[Session], store: ObjectStore, address: UploadAddress) -> None:
        self._sessions, self._store, self._address = sessions, store, address
        self._claim = uuid4().hex
        self._content: StoredContent | None = None

    @contextmanager
    def prepared(self) -> Iterator[None]:
        """Make and verify the object, unless that was done before; within the block ``finish`` can be called.

        Raises:
            ServiceError: parts are missing, the digest is another one, or the upload is not to be completed (now).
        """
        upload = self._take()
        if upload is None:
            yield
            return
        try:
            with self._renewing():
                self._content = self._make_object(upload)
                yield
        except ServiceError as error:
            self._give_back(error.code if error.code in FATAL_CODES else None)
            raise
        except BaseException:
            self._give_back(None)
            raise
        finally:
            self._let_go()

    def finish(self, session: Session) -> Dataset:
        """Give the data set its content, in the caller's transaction; a repeat changes nothing."""
        upload = get_upload(session, self._address, lock=True)
        if upload.status == UploadStatus.COMPLETED:
            return get_dataset(session, self._address.tenant_id, self._address.dataset_id)
        if upload.claim != self._claim or self._content is None:
            require_open(upload, database_now(session))
            raise being_completed()  # the claim ran out meanwhile, and whoever had it next is done with it, too
        dataset = attach_content(session, upload.tenant_id, upload.dataset_id, self._content)
        upload.status, upload.claim, upload.updated_at = UploadStatus.COMPLETED, None, database_now(session)
        session.flush()
        return dataset

    def _take(self) -> Upload | None:
        """Claim the upload; None if it is completed already."""
        with self._sessions.begin() as session:
            upload = get_upload(session, self._address, lock=True)
            if upload.status == UploadStatus.COMPLETED:
                return None
            now = database_now(session)
            require_open(upload, now)
            get_awaiting(session, self._address.tenant_id, self._address.dataset_id)
            upload.status, upload.claim = UploadStatus.COMPLETING, self._claim
            upload.claimed_until, upload.updated_at = now + timedelta(seconds=CLAIM_S), now
            return upload

    def _make_object(self, upload: Upload) -> StoredContent:
        key = upload.content_key
        sha256 = self._join_parts(upload)
        if sha256 is None:
            sha256, start = self._read_back(key)
        else:
            start = b"".join(self._store.open_stream(key, 0, START_BYTES))
        if sha256 != upload.sha256:
            raise ServiceError(
                "upload_digest_mismatch",
                f"The whole file has SHA-256 {sha256}, {upload.sha256} was declared; nothing was kept, begin another upload.",
            )
        return StoredContent(key, upload.size_bytes, sha256, detect_encoding(start))

    def _join_parts(self, upload: Upload) -> str | None:
        """Let the store make the object, unless an attempt before this one did; return the SHA-256 if the store tells it."""
        unfinished = unfinished_object(upload)
        try:
            listed = self._store.parts.list(unfinished)
        except ObjectMissingError:
            self._require_object(upload.content_key)
            return None
        with self._sessions() as session:
            recorded = repository.recorded_parts(session, upload.id)
        chosen = choose_parts(upload, listed, recorded)
        _require_all(upload, chosen.keys())
        return self._store.parts.complete(unfinished, [chosen[number] for number in sorted(chosen)])

    def _require_object(self, key: str) -> None:
        try:
            self._store.stat(key)
        except ObjectMissingError:
            message = "The object store has lost the parts of this upload; begin another one."
            raise ServiceError("upload_parts_lost", message) from None

    def _read_back(self, key: str) -> tuple[str, bytes]:
        digest, start = hashlib.sha256(), b""
        for chunk in self._store.open_stream(key):
            start = start or chunk[:START_BYTES]
            digest.update(chunk)
        return digest.hexdigest(), start

    @contextmanager
    def _renewing(self) -> Iterator[None]:
        done = threading.Event()

        def renew() -> None:
            while not done.wait(CLAIM_S / 4):
                try:
                    with self._sessions.begin() as session:
                        until = database_now(session) + timedelta(seconds=CLAIM_S)
                        if not repository.renew_claim(session, self._address.upload_id, self._claim, until):
                            return
                except Exception:  # the next round may reach the database again; the claim outlasts three of them
                    logger.warning("a claim could not be renewed", upload_id=self._address.upload_id, exc_info=True)

        thread = threading.Thread(target=renew, name=f"claim-of-{self._address.upload_id}", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def _give_back(self, error_code: str | None) -> None:
        """Open the upload again, or end it; unless it was completed in spite of the error, or is another request's now."""
        with self._sessions.begin() as session:
            upload = session.get(Upload, self._address.upload_id, with_for_update=True)
            if upload is None or upload.claim != self._claim:
                return
            upload.claim, upload.updated_at = None, database_now(session)
            upload.status = UploadStatus.OPEN if error_code is None else UploadStatus.FAILED
            upload.error_code = error_code

    def _let_go(self) -> None:
        """Free what the store still holds, if the upload is over; maintenance does it otherwise."""
        try:
            release_upload(self._sessions, self._store, self._address.upload_id)
        except (StorageError, SQLAlchemyError):  # what was answered stays true
            logger.warning(
                "parts could not be deleted; maintenance tries again", upload_id=self._address.upload_id, exc_info=True
            )


def _require_all(upload: Upload, present: Iterable[int]) -> None:
    missing = sorted(set(range(1, upload.num_parts + 1)).difference(present))
    if missing:
        named = ", ".join(map(str, missing[:MAX_NAMED_PARTS]))
        more = f" and {len(missing) - MAX_NAMED_PARTS} more" if len(missing) > MAX_NAMED_PARTS else ""
        raise ServiceError(
            "upload_incomplete",
            f"{len(missing)} of {upload.num_parts} parts are missing or of the wrong size: {named}{more}; send them, then "
            "complete the upload.",
            members={"missing_parts": missing},
        )
