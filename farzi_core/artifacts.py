"""``synthetic.safetensors``, version 1: the distilled data as they were trained; ``farzi_core.manifest`` binds it to the rest.

The tensors are those of the parameterisation, with ``input_events`` (S, L) int32 where students are shown events of their own,
and ``prepared_draws`` (P, S, L) int32 where hard sequences were drawn with teachers. The header's ``farzi`` entry is a JSON
object: format version, task, parameterisation, inputs, temperature, advice for training, seed and rule of the hard sequences,
tokenizer of a text, SHA-256 of the vocabulary and of all content. ``farzi_core.soft_tokens`` reads the same file without torch.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from farzi_core.data_options import Tokenizer
from farzi_core.errors import ArtifactError
from farzi_core.hard_rules import SOFT_TOKENS_ALONE, Rule
from farzi_core.progress import ArtifactFile
from farzi_core.soft_tokens import FORMAT_VERSION, HEADER_KEY, check_hash, hash_content, read_header
from farzi_core.synthetic.base import Synthetic
from farzi_core.synthetic.parameterizations import restore_synthetic

SYNTHETIC_NAME = "synthetic.safetensors"


@dataclass(frozen=True)
class SyntheticFile:
    """Content of ``synthetic.safetensors``.

    Attributes:
        synthetic: the data, in any parameterisation.
        task: ``sequential_recommendation`` or ``language_modeling``.
        vocabulary_sha256: of the vocabulary that names the V events, see ``sequence_files.hash_vocabulary``.
        training: advice for whoever trains on this, JSON values: optimiser, learning rate, steps.
        hard_seed: seed of the published hard sequences; further draws with it add to them.
        tokenizer: how the events of a text are joined; None where they are no text.
        hard_rule: that hard sequences were drawn by, see ``hard_rules``.
    """

    synthetic: Synthetic
    task: str
    vocabulary_sha256: str
    training: Mapping[str, Any] = field(default_factory=dict)
    hard_seed: int = 0
    tokenizer: Tokenizer | None = None
    hard_rule: Rule = SOFT_TOKENS_ALONE


def write_synthetic(content: SyntheticFile, path: Path) -> ArtifactFile:
    """Write tensors and header. Cost: one copy of the tensors."""
    synthetic = content.synthetic
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in synthetic.tensors().items()}
    tensors |= {name: events.cpu().to(torch.int32) for name, events in synthetic.event_tensors().items()}
    header = {
        "version": FORMAT_VERSION,
        "task": content.task,
        "parameterization": synthetic.parameterization,
        "inputs": "soft_tokens" if synthetic.input_events is None else "sampled_events",
        "temperature": synthetic.temperature,
        "training": dict(content.training),
        "vocabulary_sha256": content.vocabulary_sha256,
        "hard_seed": content.hard_seed,
        "hard_rule": list(content.hard_rule),
        "tokenizer": content.tokenizer,
    }
    header["sha256"] = hash_content(header, _hashed_parts(tensors))
    save_file(tensors, path, metadata={HEADER_KEY: json.dumps(header)})
    return ArtifactFile(path.name, path, "application/vnd.safetensors")


def load_synthetic(path: Path) -> SyntheticFile:
    """Read what :func:`write_synthetic` wrote, onto the CPU.

    Raises:
        ArtifactError: the file is missing, truncated, changed by so much as a bit, or of an unknown version.
    """
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            header = read_header(file.metadata(), path)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a mapping
        check_hash(header, _hashed_parts(tensors), path)
        return SyntheticFile(
            restore_synthetic(header["parameterization"], tensors, header["temperature"]),
            header["task"],
            header["vocabulary_sha256"],
            header["training"],
            header.get("hard_seed", 0),
            header.get("tokenizer"),
            Rule.of(header.get("hard_rule", SOFT_TOKENS_ALONE)),
        )
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ArtifactError(f"{path.name} is not a readable result ({error}); download it again") from error


def _hashed_parts(tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, str, tuple[int, ...], Any]]:
    for name, tensor in tensors.items():
        content = tensor.flatten().view(torch.uint8).numpy().data
        yield name, str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape), content
