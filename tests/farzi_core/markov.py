"""Generated data sets with structure to learn: first-order Markov chains with few likely successors."""

from __future__ import annotations

from typing import Any

import numpy as np

from farzi_core.config import DistillationSpec, Task
from farzi_core.data.sequences import SequenceDataset, Vocabulary
from farzi_core.presets import resolve_spec


def draw_chains(num_sequences: int, vocab_size: int, lengths: tuple[int, int], seed: int) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    transitions = rng.dirichlet(np.full(vocab_size, 0.15), vocab_size).cumsum(1)
    chains = []
    for _ in range(num_sequences):
        chain = [int(rng.integers(vocab_size))]
        for _ in range(int(rng.integers(*lengths)) - 1):
            following = int(np.searchsorted(transitions[chain[-1]], rng.random()))
            chain.append(min(following, vocab_size - 1))
        chains.append(chain)
    return chains


def make_dataset(
    chains: list[list[int]],
    vocab_size: int,
    task: Task = "sequential_recommendation",
    *,
    num_validation: int = 0,
    num_test: int = 0,
) -> SequenceDataset:
    offsets = np.concatenate([[0], np.cumsum([len(chain) for chain in chains])]).astype(np.int64)
    events = np.concatenate([np.array(chain, dtype=np.int32) for chain in chains])
    return SequenceDataset(
        task,
        Vocabulary(tuple(f"item {i}" for i in range(vocab_size))),
        events,
        offsets,
        num_validation_sequences=num_validation,
        num_test_sequences=num_test,
        tokenizer="words" if task == "language_modeling" else None,
    )


def interactions(num_sequences: int = 60, vocab_size: int = 12, seed: int = 0) -> SequenceDataset:
    return make_dataset(draw_chains(num_sequences, vocab_size, (4, 20), seed), vocab_size)


def text(num_lines: int = 60, vocab_size: int = 12, seed: int = 0) -> SequenceDataset:
    chains = draw_chains(num_lines, vocab_size, (6, 20), seed)
    return make_dataset(chains, vocab_size, "language_modeling", num_validation=8, num_test=8)


def tiny_spec(task: Task = "sequential_recommendation", **overrides: Any) -> DistillationSpec:
    """Return a spec whose whole pipeline takes about a second."""
    values: dict[str, Any] = {
        "preset": "quick",
        "student": {"hidden_size": 8, "num_layers": 1, "num_heads": 1, "max_length": 10},
        "synthetic": {"num_sequences": 3, "sequence_length": 8, "latent_dim": 8, "inputs": "soft_tokens"},
        "inner": {"num_steps": 6, "min_steps": 3, "lr": 0.02},
        "outer": {"num_steps": 4, "validate_every": 2, "batch_size": 16, "lr": 0.05},
        "meta_gradient": {"window": 3},
        "teacher": {"num_steps": 12, "batch_size": 16},
        "evaluation": {"max_steps": 8, "num_validations": 4, "num_seeds": 2, "ks": [5, 10], "lr_factors": [1.0]},
    }
    for name, part in overrides.items():
        values[name] = {**values[name], **part} if isinstance(part, dict) and name in values else part
    return resolve_spec(task, values)
