"""Hard sequences made at download: any number of draws of every synthetic sequence, in any format, from published files.

The first draws are those that were published, so that asking for more adds to what a caller has. numpy and pyarrow are loaded
with the first such download, not with the service.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from app.datasets.receiving import SPOOL_DIRECTORY
from app.errors import FieldProblem, ServiceError
from app.jobs.download import Download, read_from
from app.jobs.models import Artifact
from app.services import Services
from app.storage import DamagedObjectError
from farzi_core.config import PUBLISHED_DRAWS
from farzi_core.errors import ArtifactError

if TYPE_CHECKING:
    from farzi_core.data_options import SequenceFormat
    from farzi_core.soft_tokens import SoftTokens

DRAWN_ARTIFACTS = frozenset({"sequences.jsonl", "sequences.parquet"})
SOURCES = ("synthetic.safetensors", "vocabulary.json")
MAX_DRAWN_EVENTS = 10_000_000
MAX_SCORES = 2_000_000_000
_WAIT_FOR_SLOT_S = 10.0


@dataclass(frozen=True)
class Wish:
    """What a caller asks of a file of hard sequences; None: as it was published."""

    data_format: SequenceFormat | None = None
    draws: int | None = None
    seed: int | None = None

    def check(self, name: str) -> None:
        """Refuse wishes for a file that holds no draws."""
        given = [field for field, value in self._fields.items() if value is not None]
        if given and name not in DRAWN_ARTIFACTS:
            holders = " or ".join(sorted(DRAWN_ARTIFACTS))
            raise _bad_wish(given[0], f"{name[:200]!r} holds no draws; leave the parameter out, or ask for {holders}")

    def published_name(self, name: str) -> str | None:
        """Return which published file is what is asked for, or None: it has to be made."""
        if self.draws not in {None, PUBLISHED_DRAWS} or self.seed is not None:
            return None
        if self.data_format is None:
            return name
        published = f"sequences.{self.data_format}"
        return published if published in DRAWN_ARTIFACTS else None

    @property
    def _fields(self) -> dict[str, object]:
        return {"format": self.data_format, "draws": self.draws, "seed": self.seed}


def draw_sequences(services: Services, artifacts: Mapping[str, Artifact], name: str, wish: Wish) -> Download:
    """Return the hard sequences that are asked for as a file.

    Args:
        services: where the published files and a place for temporary ones are.
        artifacts: what the job published, by name.
        name: which of ``DRAWN_ARTIFACTS`` was named, and so the format where the wish has none.
        wish: format, number of draws and seed.

    Raises:
        ServiceError: there is too much to draw, the format cannot hold it, or too much is being drawn already.
        StorageError: the published files cannot be had.
    """
    from farzi_core.sequence_formats import FORMAT_ENDINGS, FORMAT_MEDIA_TYPES  # noqa: PLC0415

    data_format = wish.data_format or cast("SequenceFormat", Path(name).suffix[1:])
    draws = wish.draws or PUBLISHED_DRAWS
    seeded = "" if wish.seed is None else f"-seed-{wish.seed}"
    directory = services.settings.resolved_data_dir / SPOOL_DIRECTORY
    directory.mkdir(parents=True, exist_ok=True)
    with _slot(services), tempfile.TemporaryDirectory(dir=directory, prefix="drawing-") as scratch:
        paths = [Path(scratch) / source for source in SOURCES]
        for source, path in zip(SOURCES, paths, strict=True):
            if source not in artifacts:
                raise ServiceError("artifact_not_found", f"The job has no artifact {source!r}, which sequences are drawn from.")
            services.store.fetch_file(artifacts[source].object_key, path)
        drawn = Path(scratch) / f"drawn{FORMAT_ENDINGS[data_format]}"
        _write(*paths, target=drawn, data_format=data_format, draws=draws, seed=wish.seed)
        return _open(drawn, f"sequences-{draws}-draws{seeded}{drawn.suffix}", FORMAT_MEDIA_TYPES[data_format])


def _write(
    synthetic: Path, vocabulary: Path, *, target: Path, data_format: SequenceFormat, draws: int, seed: int | None
) -> None:
    from farzi_core.sequence_files import read_vocabulary  # noqa: PLC0415
    from farzi_core.sequence_formats import NOT_EXPRESSIBLE, write_as  # noqa: PLC0415
    from farzi_core.soft_tokens import read_soft_tokens  # noqa: PLC0415

    try:
        soft_tokens = read_soft_tokens(synthetic)
        _check_size(soft_tokens, draws)
        events, tokens = soft_tokens.draw(draws, seed), read_vocabulary(vocabulary)
        write_as(data_format, events, tokens, target, draws=draws, tokenizer=soft_tokens.header.get("tokenizer"))
    except ArtifactError as error:
        if error.code == NOT_EXPRESSIBLE:
            raise _bad_wish("format", error.message) from error
        raise DamagedObjectError(error.message) from error


def _check_size(soft_tokens: SoftTokens, draws: int) -> None:
    num_sequences, length, vocab_size = soft_tokens.shape
    num_events = num_sequences * length
    if num_events * vocab_size > MAX_SCORES:
        raise _bad_wish(
            "draws",
            f"{num_events} positions with a vocabulary of {vocab_size} are too much to draw here (at most {MAX_SCORES:,} "
            "products); draw them from synthetic.safetensors with farzi_core.soft_tokens",
        )
    if draws * num_events > MAX_DRAWN_EVENTS:
        raise _bad_wish(
            "draws",
            f"{draws} draws are {draws * num_events:,} events, more than {MAX_DRAWN_EVENTS:,}; ask for at most "
            f"{max(1, MAX_DRAWN_EVENTS // num_events)} draws",
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


def _bad_wish(parameter: str, detail: str) -> ServiceError:
    return ServiceError("invalid_request", f"{parameter}: {detail}.", problems=(FieldProblem(f"/query/{parameter}", detail),))
