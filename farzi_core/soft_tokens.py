"""Reading ``synthetic.safetensors`` without torch: header, soft tokens position by position, hard sequences.

The formulas of ``farzi_core.synthetic``, once more in numpy and float64, for whoever has no torch: the service, which draws
hard sequences at download, and users. What is drawn follows from the bytes of the file alone.

Shape letters: S synthetic sequences, L length, V vocabulary, D latent width; A, B, C ranks; N positions of a block.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from farzi_core.drawing import FloatArray, Uniforms, draw_events, take_prepared
from farzi_core.errors import ArtifactError
from farzi_core.manifest import require_version

FORMAT_VERSION = 1
HEADER_KEY = "farzi"
INPUT_EVENTS, PREPARED_DRAWS = "input_events", "prepared_draws"
EVENT_TENSORS = (INPUT_EVENTS, PREPARED_DRAWS)
_BLOCK_NUMBERS = 2**22

Header = dict[str, Any]


@dataclass(frozen=True)
class SoftTokens:
    """Content of ``synthetic.safetensors``.

    Attributes:
        header: format version, task, parameterization, temperature, advice for training, seed of the hard sequences, ...
        tensors: as they are stored, by the names of the parameterisation.
    """

    header: Header
    tensors: Mapping[str, NDArray[Any]]

    @property
    def shape(self) -> tuple[int, int, int]:
        """S, L and V."""
        form, tensors = self.header["parameterization"], self.tensors
        if form == "free":
            return cast("tuple[int, int, int]", tensors["token_scores"].shape)
        vocab_size = tensors["token_decoder"].shape[1]
        if form == "tucker":
            return tensors["sequence_factors"].shape[0], tensors["position_factors"].shape[0], vocab_size
        return tensors["latents"].shape[0], tensors["latents"].shape[1], vocab_size

    def blocks(self) -> Iterator[FloatArray]:
        """Yield the soft tokens of all positions in order, sequence after sequence, as (N, V) of at most 4 million numbers.

        Raises:
            ArtifactError: a score is not finite.
        """
        rows, decoder = self._factor()
        size = max(1, _BLOCK_NUMBERS // self.shape[2])
        for start in range(0, len(rows), size):
            yield self._soften(rows[start : start + size], decoder)

    def sequence(self, index: int, num_positions: int | None = None) -> FloatArray:
        """Return the soft tokens of one synthetic sequence.

        Args:
            index: counts from 0 to S - 1.
            num_positions: so many of its first positions, at most L; None takes all.

        Returns:
            float64 (num_positions, V).

        Raises:
            ArtifactError: a score is not finite.
        """
        num_sequences, length, _ = self.shape
        assert 0 <= index < num_sequences
        rows, decoder = self._factor()
        start = index * length
        return self._soften(rows[start : start + min(length, num_positions or length)], decoder)

    def draw(self, draws: int, seed: int | None = None) -> NDArray[np.int32]:
        """Draw hard sequences: those that were prepared, as far as they go, then each position on its own.

        Where nothing was prepared and there are input events, draw 0 is these.

        Args:
            draws: K, samples of every synthetic sequence.
            seed: None takes the published one; more draws with it begin with the published sequences.

        Returns:
            int32 (K * S, L); row ``d * S + s`` is draw d of sequence s.

        Cost: that of copying what was prepared; beyond it S L V exponentials, memory of a block, and 4 K S L bytes.
        """
        num_sequences, length, _ = self.shape
        seed = self.header.get("hard_seed", 0) if seed is None else seed
        first = known_draws(self.tensors, draws, seed)
        if first is None:
            return self._draw_positions(draws, 0, seed).reshape(draws * num_sequences, length)
        rest = self._draw_positions(draws, len(first), seed)
        return np.concatenate([first.reshape(len(first), -1), rest]).reshape(draws * num_sequences, length)

    def _draw_positions(self, draws: int, first: int, seed: int) -> NDArray[np.int32]:
        """Return draws ``first`` to ``draws`` of every position on its own, (draws - first, S L)."""
        num_sequences, length, _ = self.shape
        events = np.empty((draws - first, num_sequences * length), dtype=np.int32)
        if not len(events):
            return events
        uniforms = Uniforms(draws, seed)
        size = max(1, _BLOCK_NUMBERS // draws)
        done = 0
        for block in self.blocks():
            for start in range(0, len(block), size):
                part = block[start : start + size]
                events[:, done : done + len(part)] = draw_events(part, uniforms.take(len(part))[first:])
                done += len(part)
        return events

    def _soften(self, rows: NDArray[Any], decoder: FloatArray | None) -> FloatArray:
        log_temperature = self.tensors.get("log_temperature")
        temperature = self.header["temperature"] if log_temperature is None else math.exp(float(log_temperature))
        block = rows.astype(np.float64)
        scores = (block if decoder is None else block @ decoder) / temperature
        scores -= scores.max(1, keepdims=True)
        exponentials = np.exp(scores)
        probabilities: FloatArray = exponentials / exponentials.sum(1, keepdims=True)
        if not np.isfinite(probabilities).all():
            raise ArtifactError("the synthetic data hold scores that are not finite; nothing can be drawn from them")
        return probabilities

    def _factor(self) -> tuple[NDArray[Any], FloatArray | None]:
        """Return the rows of all positions, and what turns a row into scores; None: they are scores."""
        form, tensors = self.header["parameterization"], self.tensors
        if form == "free":
            return tensors["token_scores"].reshape(-1, self.shape[2]), None
        decoder = tensors["token_decoder"].astype(np.float64)
        if form == "factorized":
            return tensors["latents"].reshape(-1, len(decoder)), decoder
        core, sequences, positions = (
            tensors[name].astype(np.float64) for name in ("core", "sequence_factors", "position_factors")
        )
        latents = positions @ np.tensordot(sequences, core, axes=1)  # (L, B) @ (S, B, C)
        return latents.reshape(-1, len(decoder)), decoder


def known_draws(events: Mapping[str, NDArray[Any]], draws: int, seed: int) -> NDArray[np.int32] | None:
    """Return the draws that need no soft tokens: prepared ones, else the input events as draw 0.

    Args:
        events: tensors by name, of which those of ``EVENT_TENSORS`` count.
        draws: how many are wanted.
        seed: says which prepared one is the first.

    Returns:
        int32 (at most draws, S, L); None where there is nothing of the kind.
    """
    if PREPARED_DRAWS in events:
        return take_prepared(events[PREPARED_DRAWS], draws, seed)
    return events[INPUT_EVENTS][None].astype(np.int32) if INPUT_EVENTS in events else None


def read_soft_tokens(path: Path) -> SoftTokens:
    """Read ``synthetic.safetensors``.

    Raises:
        ArtifactError: the file is missing, truncated, changed by so much as a bit, or of an unknown version or form.
    """
    try:
        with safe_open(path, framework="np") as file:
            header = read_header(file.metadata(), path)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a mapping
        parts = ((name, array.dtype.name, array.shape, array.tobytes()) for name, array in tensors.items())
        check_hash(header, parts, path)
        soft_tokens = SoftTokens(header, tensors)
        if header["parameterization"] not in {"factorized", "tucker", "free"}:
            raise ArtifactError(f"{path.name} has parameterization {header['parameterization']!r}; install a newer farzi")
        assert all(soft_tokens.shape)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ArtifactError(f"{path.name} is not a readable result ({error}); download it again") from error
    return soft_tokens


def read_header(metadata: Mapping[str, str] | None, path: Path) -> Header:
    """Return the header that the file's metadata hold, of a version that can be read."""
    header: Header = json.loads((metadata or {})[HEADER_KEY])
    require_version(header["version"], FORMAT_VERSION, path)
    return header


def check_hash(header: Header, parts: Iterable[tuple[str, str, Iterable[int], Any]], path: Path) -> None:
    """Check the header's ``sha256`` against header and tensors.

    Raises:
        ArtifactError: they differ.
    """
    rest = {name: value for name, value in header.items() if name != "sha256"}
    if hash_content(rest, parts) != header["sha256"]:
        raise ArtifactError(f"the content of {path.name} does not match the SHA-256 in its header; download it again")


def hash_content(header: Header, parts: Iterable[tuple[str, str, Iterable[int], Any]]) -> str:
    """Return the SHA-256 (hex) of a header and of tensors, given as name, dtype, shape and bytes."""
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name, dtype, shape, content in sorted(parts, key=lambda part: part[0]):
        digest.update(json.dumps([name, f"torch.{dtype}", list(shape)]).encode())
        digest.update(content)
    return digest.hexdigest()
