"""Hard sequences drawn at download: any number of draws of every synthetic sequence, from the published files alone.

The first draws are those that were published, so that asking for more adds to what a caller has. numpy and pyarrow are loaded
with the first such download, not with the service.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from app.datasets.receiving import SPOOL_DIRECTORY
from app.errors import FieldProblem, ServiceError
from app.jobs.download import Download, read_from
from app.jobs.models import Artifact
from app.services import Services
from app.storage import DamagedObjectError
from farzi_core.errors import ArtifactError

if TYPE_CHECKING:
    from farzi_core.soft_tokens import SoftTokens

DRAWN_ARTIFACTS = frozenset({"sequences.jsonl", "sequences.parquet"})
SOURCES = ("synthetic.safetensors", "vocabulary.json")
MAX_DRAWN_EVENTS = 10_000_000
MAX_SCORES = 2_000_000_000
_WAIT_FOR_SLOT_S = 10.0


def check_drawable(name: str) -> None:
    """Refuse draws of a file that holds none."""
    if name not in DRAWN_ARTIFACTS:
        raise _bad_draws(f"{name[:200]!r} holds no draws; leave the parameter out, or ask for {' or '.join(DRAWN_ARTIFACTS)}")


def draw_sequences(services: Services, artifacts: Mapping[str, Artifact], name: str, draws: int) -> Download:
    """Return the file ``name`` with ``draws`` hard sequences of every synthetic one.

    Args:
        services: where the published files and a place for temporary ones are.
        artifacts: what the job published, by name.
        name: which of ``DRAWN_ARTIFACTS``, and so the format.
        draws: at least 1.

    Raises:
        ServiceError: there is too much to draw, or too much is being drawn already.
        StorageError: the published files cannot be had.
    """
    directory = services.settings.resolved_data_dir / SPOOL_DIRECTORY
    directory.mkdir(parents=True, exist_ok=True)
    with _slot(services), tempfile.TemporaryDirectory(dir=directory, prefix="drawing-") as scratch:
        paths = [Path(scratch) / source for source in SOURCES]
        for source, path in zip(SOURCES, paths, strict=True):
            if source not in artifacts:
                raise ServiceError("artifact_not_found", f"The job has no artifact {source!r}, which sequences are drawn from.")
            services.store.fetch_file(artifacts[source].object_key, path)
        drawn = Path(scratch) / f"drawn{Path(name).suffix}"
        _write(*paths, target=drawn, draws=draws)
        return _open(drawn, f"{Path(name).stem}-{draws}-draws{drawn.suffix}", artifacts[name].media_type)


def _write(synthetic: Path, vocabulary: Path, *, target: Path, draws: int) -> None:
    from farzi_core.sequence_files import read_vocabulary, write_sequences  # noqa: PLC0415
    from farzi_core.soft_tokens import read_soft_tokens  # noqa: PLC0415

    try:
        soft_tokens = read_soft_tokens(synthetic)
        _check_size(soft_tokens, draws)
        events, tokens = soft_tokens.draw(draws), read_vocabulary(vocabulary)
        write_sequences(events, tokens, target, draws=draws, tokenizer=soft_tokens.header.get("tokenizer"))
    except ArtifactError as error:
        raise DamagedObjectError(error.message) from error


def _check_size(soft_tokens: SoftTokens, draws: int) -> None:
    num_sequences, length, vocab_size = soft_tokens.shape
    num_events = num_sequences * length
    if num_events * vocab_size > MAX_SCORES:
        raise _bad_draws(
            f"{num_events} positions with a vocabulary of {vocab_size} are too much to draw here (at most {MAX_SCORES:,} "
            "products); draw them from synthetic.safetensors with farzi_core.soft_tokens"
        )
    if draws * num_events > MAX_DRAWN_EVENTS:
        raise _bad_draws(
            f"{draws} draws are {draws * num_events:,} events, more than {MAX_DRAWN_EVENTS:,}; ask for at most "
            f"{max(1, MAX_DRAWN_EVENTS // num_events)} draws"
        )


def _open(path: Path, name: str, media_type: str) -> Download:
    """Return a file that is gone from the directory already: whatever becomes of the answer, nothing is left behind."""
    file = path.open("rb")
    path.unlink()
    sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    size_bytes = file.tell()
    return Download(name, media_type, size_bytes, sha256, partial(read_from, file), file.close)


@contextmanager
def _slot(services: Services) -> Iterator[None]:
    if not services.drawing_slots.acquire(timeout=_WAIT_FOR_SLOT_S):
        raise ServiceError("too_many_drawings", "Other downloads are being drawn; repeat the request a little later.")
    try:
        yield
    finally:
        services.drawing_slots.release()


def _bad_draws(detail: str) -> ServiceError:
    return ServiceError("invalid_request", f"draws: {detail}.", problems=(FieldProblem("/query/draws", detail),))
