"""The synthetic data themselves, as arrays: what ``synthetic.safetensors`` holds, and the soft tokens made of it.

The file is described in docs/synthetic-data.md. Knows nothing of HTTP, and imports numpy or torch only when it reads.

Shape letters: S synthetic sequences, L length, V vocabulary.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from farzi_client.errors import FarziClientError, IntegrityError
from farzi_client.extras import is_installed, need

ArrayLibrary = Literal["torch", "numpy"]

SYNTHETIC_NAME = "synthetic.safetensors"
VOCABULARY_NAME = "vocabulary.json"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class SyntheticData:
    """What a student is trained on.

    Attributes:
        tensors: as they are stored, by name: ``latents`` and ``token_decoder``, for example.
        header: what the file says of itself: ``task``, ``parameterization``, ``inputs``, ``temperature``, ``training``, ...
        vocabulary: event id ``i`` is ``vocabulary[i]``, in the user's own words.
        library: ``torch`` or ``numpy``: what the arrays are of.
    """

    tensors: Mapping[str, Any] = field(repr=False)
    header: Mapping[str, Any]
    vocabulary: tuple[str, ...] = field(repr=False)
    library: ArrayLibrary

    @property
    def training(self) -> Mapping[str, Any]:
        """How the report's students of soft tokens trained: ``lr``, ``num_steps``, ``batch_size``, ``eps_root``, ..."""
        training: Mapping[str, Any] = self.header["training"]
        return training

    @property
    def hard_training(self) -> Mapping[str, Any] | None:
        """How those trained that were given hard sequences: the same, and ``draws`` of each; None: the file does not say."""
        training: Mapping[str, Any] | None = self.training.get("hard_sequences")
        return training

    @property
    def shape(self) -> tuple[int, int, int]:
        """S, L and V."""
        form, tensors = self.header["parameterization"], self.tensors
        if form == "free":
            num_sequences, length, vocab_size = tensors["token_scores"].shape
        elif form == "tucker":
            num_sequences, length = tensors["sequence_factors"].shape[0], tensors["position_factors"].shape[0]
            vocab_size = tensors["token_decoder"].shape[1]
        else:
            (num_sequences, length, _), vocab_size = tensors["latents"].shape, tensors["token_decoder"].shape[1]
        return int(num_sequences), int(length), int(vocab_size)

    @property
    def input_events(self) -> Any:
        """What a student is shown at each position, int64 (S, L); None: the soft tokens themselves."""
        events = self.tensors.get("input_events")
        if events is None:
            return None
        return events.long() if self.library == "torch" else events.astype("int64")

    def probabilities(self) -> Any:
        """Return the soft tokens, float (S, L, V): what a student is asked for at each position.

        Cost: S L V numbers, twice while they are computed.
        """
        scores = self._scores()
        log_temperature = self.tensors.get("log_temperature")
        if self.library == "torch":
            temperature = self.header["temperature"] if log_temperature is None else log_temperature.exp()
            return (scores / temperature).softmax(-1)
        numpy = need("numpy", "numpy", "reading synthetic data")
        scores = scores / (self.header["temperature"] if log_temperature is None else numpy.exp(log_temperature))
        exponentials = numpy.exp(scores - scores.max(-1, keepdims=True))
        return exponentials / exponentials.sum(-1, keepdims=True)

    def _scores(self) -> Any:
        form, tensors = self.header["parameterization"], self.tensors
        if form == "free":
            return tensors["token_scores"]
        if form == "factorized":
            return tensors["latents"] @ tensors["token_decoder"]
        library = need(self.library, self.library, "reading synthetic data")
        factors = tensors["sequence_factors"], tensors["position_factors"], tensors["core"], tensors["token_decoder"]
        return library.einsum("sa,lb,abc->slc", *factors[:3]) @ factors[3]


def choose_arrays(library: ArrayLibrary | None) -> ArrayLibrary:
    """Return what arrays are to be of; None: torch where it is installed, else numpy.

    Raises:
        MissingExtra: the library is not installed, or the reader of the file is not.
    """
    chosen: ArrayLibrary = library or ("torch" if is_installed("torch") else "numpy")
    if chosen not in {"torch", "numpy"}:
        raise FarziClientError(f"synthetic data come as 'torch' tensors or as 'numpy' arrays, not as {library!r}")
    for module in (chosen, "safetensors"):
        need(module, chosen, f"reading synthetic data as {chosen} arrays")
    return chosen


def read_synthetic(synthetic: Path, vocabulary: Path, library: ArrayLibrary | None = None) -> SyntheticData:
    """Read the two files of a result.

    Args:
        synthetic: ``synthetic.safetensors``.
        vocabulary: ``vocabulary.json``.
        library: what the arrays are of; None: torch where it is installed, else numpy.

    Raises:
        MissingExtra: the library is not installed.
        IntegrityError: the files cannot be read, or are not of the same result.
        FarziClientError: they are of a version or form that this client does not know.
    """
    chosen = choose_arrays(library)
    safetensors = need("safetensors", chosen, "reading synthetic data")
    try:
        with safetensors.safe_open(synthetic, framework="pt" if chosen == "torch" else "np") as file:
            header = json.loads(file.metadata()["farzi"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a mapping
        words = json.loads(vocabulary.read_text(encoding="utf-8"))
        belong = words["sha256"] == header["vocabulary_sha256"]
        version, form, tokens = header["version"], header["parameterization"], tuple(words["tokens"])
    except (safetensors.SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise IntegrityError(f"{synthetic.name} and {vocabulary.name} cannot be read ({error}); download them again") from error
    if not belong:
        raise IntegrityError(f"{vocabulary.name} is not the vocabulary of {synthetic.name}; download both again")
    if version != FORMAT_VERSION or form not in {"factorized", "tucker", "free"}:
        raise FarziClientError(f"{synthetic.name} has version {version}, form {form!r}; install a newer farzi to read it")
    return SyntheticData(tensors, header, tokens, chosen)
