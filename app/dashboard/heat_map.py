"""What one synthetic sequence looks like: the probability of its likeliest events at every position, in the user's own names.

numpy is loaded with the first such page, not with the service. Shape letters: L length, V vocabulary.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from app.dashboard.formatting import visible
from app.datasets.receiving import SPOOL_DIRECTORY
from app.errors import FieldProblem, ServiceError
from app.jobs.models import Artifact
from app.services import Services
from app.storage import DamagedObjectError
from farzi_core.errors import ArtifactError

SOURCES = ("synthetic.safetensors", "vocabulary.json")
NUM_ROWS = 16
NUM_TOP_EVENTS = 5
MAX_SOURCE_BYTES = 256 << 20
MAX_POSITIONS = 200
MAX_NUMBERS = 4_000_000
MAX_VOCAB_SIZE = 200_000
LONGEST_LABEL = 24


@dataclass(frozen=True)
class Row:
    """One event of the map: its name and its probability at each position."""

    event: str
    probabilities: tuple[float, ...]


@dataclass(frozen=True)
class HeatMap:
    """One synthetic sequence.

    Attributes:
        sequence: number of the sequence, from 0, of ``num_sequences``.
        rows: events with the most probability over all positions, most first.
        top_events: for each position the likeliest events with their probabilities.
        num_positions: positions that are shown, of ``length``: fewer for many positions or a large vocabulary.
    """

    sequence: int
    num_sequences: int
    length: int
    num_positions: int
    rows: tuple[Row, ...]
    top_events: tuple[tuple[tuple[str, float], ...], ...]

    @property
    def label_length(self) -> int:
        """Characters of the longest name that is shown."""
        return min(LONGEST_LABEL, max(len(row.event) for row in self.rows))


def map_sequence(services: Services, artifacts: Mapping[str, Artifact], sequence: int) -> HeatMap | None:
    """Return the map of a synthetic sequence; None if the job has published no synthetic data of a size that can be shown.

    Raises:
        ServiceError: there is no such sequence, or too much is being drawn already.
        StorageError: the published files cannot be had.
    """
    sources = [artifacts.get(name) for name in SOURCES]
    if any(source is None or source.size_bytes > MAX_SOURCE_BYTES for source in sources):
        return None
    if not services.drawing_slots.acquire(timeout=10.0):
        raise ServiceError("too_many_drawings", "Other results are being drawn; repeat the request a little later.")
    directory = services.settings.resolved_data_dir / SPOOL_DIRECTORY
    directory.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=directory, prefix="heat-map-") as scratch:
            synthetic, vocabulary = (Path(scratch) / name for name in SOURCES)
            for source, path in zip(sources, (synthetic, vocabulary), strict=True):
                assert source is not None
                services.store.fetch_file(source.object_key, path)
            return _read(synthetic, vocabulary, sequence)
    except ArtifactError as error:
        raise DamagedObjectError(error.message) from error
    finally:
        services.drawing_slots.release()


def _read(synthetic: Path, vocabulary: Path, sequence: int) -> HeatMap | None:
    from farzi_core.sequence_files import read_vocabulary  # noqa: PLC0415
    from farzi_core.soft_tokens import read_soft_tokens  # noqa: PLC0415

    soft_tokens, names = read_soft_tokens(synthetic), read_vocabulary(vocabulary)
    num_sequences, length, vocab_size = soft_tokens.shape
    if vocab_size > MAX_VOCAB_SIZE:
        return None
    if not 0 <= sequence < num_sequences:
        problem = FieldProblem("/query/sequence", f"there are {num_sequences} sequences; give 1 to {num_sequences}")
        raise ServiceError("invalid_request", f"{problem.pointer}: {problem.detail}", problems=(problem,))
    probabilities = soft_tokens.sequence(sequence, min(MAX_POSITIONS, max(1, MAX_NUMBERS // vocab_size)))
    by_mass = probabilities.sum(0).argsort()[::-1][:NUM_ROWS]
    likeliest = probabilities.argsort(1)[:, ::-1][:, :NUM_TOP_EVENTS]
    return HeatMap(
        sequence=sequence,
        num_sequences=num_sequences,
        length=length,
        num_positions=len(probabilities),
        rows=tuple(Row(visible(names[event]), tuple(probabilities[:, event].tolist())) for event in by_mass.tolist()),
        top_events=tuple(
            tuple((visible(names[event]), float(probabilities[position, event])) for event in events)
            for position, events in enumerate(likeliest.tolist())
        ),
    )
