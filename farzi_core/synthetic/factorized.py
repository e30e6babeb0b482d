"""Factorised synthetic data: soft tokens as the softmax of a product of two small matrices.

    P = softmax(latents @ token_decoder / temperature),   latents (S, L, D), token_decoder (D, V)

What is published is the pair; both count in its size. A start near real data matters: from noise, distillation of real
catalogues does harm. The start therefore lives in a teacher's space, with the sharpness that a target entropy asks for.

Shape letters: S synthetic sequences, L length, D latent width, V vocabulary, H hidden.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  torch's own idiom

from farzi_core.synthetic.base import Synthetic
from farzi_core.synthetic.sharpness import choose_probe, prediction_entropy, solve_sharpness, start_entropy

START_NOISE = 0.01


@dataclass(frozen=True)
class FactorizedSynthetic(Synthetic):
    """Synthetic data in factorised form.

    Attributes:
        latents: (S, L, D), float.
        token_decoder: (D, V), float.
    """

    parameterization: ClassVar[str] = "factorized"
    tensor_names: ClassVar[tuple[str, ...]] = ("latents", "token_decoder")

    latents: Tensor
    token_decoder: Tensor

    def scores(self) -> Tensor:
        return self.latents @ self.token_decoder

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.latents.shape[0], self.latents.shape[1], self.token_decoder.shape[1]


def start_from_real(
    event_embeddings: Tensor,
    sequences: Tensor,
    *,
    latent_dim: int,
    temperature: float,
    generator: torch.Generator,
) -> FactorizedSynthetic:
    """Return synthetic data that spreads the events of real sequences over events a teacher finds similar.

    The decoder holds the teacher's event embeddings with normalised rows, the latents are the rows of the sequences' events;
    both are scaled so that the mean entropy is that of a start. A narrower D keeps the leading principal directions, a wider
    one adds small noise, because a direction that is 0 on both sides would stay there.

    Args:
        event_embeddings: (V, H), the teacher's.
        sequences: int64 (S, L), no padding.
        latent_dim: D.
        temperature: of the result.
        generator: CPU generator of the noise.

    Raises:
        ConfigError: the embeddings do not tell events apart well enough to reach the entropy.
    """
    directions = F.normalize(_fit_width(F.normalize(event_embeddings.detach(), dim=1), latent_dim, generator), dim=1)
    events = sequences.flatten()
    similarities = directions[events[choose_probe(len(events))]].double() @ directions.T.double()
    scale = math.sqrt(temperature * solve_sharpness(similarities, start_entropy(len(directions))))
    return FactorizedSynthetic(directions[sequences] * scale, directions.T.contiguous() * scale, temperature=temperature)


def start_from_predictions(
    event_embeddings: Tensor,
    hidden: Tensor,
    sequences: Tensor,
    *,
    latent_dim: int,
    temperature: float,
    generator: torch.Generator,
) -> FactorizedSynthetic:
    """Return synthetic data that say of every event of real sequences what a teacher would have expected in its place.

    The scores of a soft token are the teacher's own, which a tied student forms as ``hidden @ event_embeddings.T``, plus the
    similarity of each event to the one that really came, as much of it as gives the mean entropy of such a start. Both lie in
    the space of the embeddings, so they take no more room than a start from real events. A fresh student thus learns from a
    teacher's predictions from the first step on (Hinton et al. 2015, arXiv 1503.02531), before anything is distilled.

    Args:
        event_embeddings: (V, H), the teacher's.
        hidden: (S, L, H), the teacher's hidden state before each event; 0 where there is nothing to predict from.
        sequences: int64 (S, L), no padding.
        latent_dim: D; a narrower one keeps the leading principal directions, a wider one adds small noise.
        temperature: of the result.
        generator: CPU generator of the noise.

    Raises:
        ConfigError: the embeddings do not tell events apart well enough to reach the entropy.
    """
    table = event_embeddings.detach()
    rotation = _leading_directions(table, latent_dim)
    decoder, predicted, real = table @ rotation, hidden.detach() @ rotation, F.normalize(table, dim=1)[sequences] @ rotation
    probe = choose_probe(sequences.numel())
    expected, observed = (latents.flatten(0, 1)[probe].double() @ decoder.double().T for latents in (predicted, real))
    latents = predicted + real * solve_sharpness(observed, prediction_entropy(len(table)), base=expected)
    latents, decoder = balance_factors(latents, decoder, temperature)
    return FactorizedSynthetic(
        widen(latents, latent_dim, generator),
        widen(decoder, latent_dim, generator).T.contiguous(),
        temperature=temperature,
    )


def start_from_noise(
    num_sequences: int,
    sequence_length: int,
    vocab_size: int,
    *,
    latent_dim: int,
    temperature: float,
    generator: torch.Generator,
    dtype: torch.dtype = torch.float32,
) -> FactorizedSynthetic:
    """Return synthetic data of normal noise: nearly uniform soft tokens. Kept for ablations; it distils badly."""
    latents = torch.randn(num_sequences, sequence_length, latent_dim, generator=generator, dtype=dtype)
    decoder = torch.randn(latent_dim, vocab_size, generator=generator, dtype=dtype)
    width = latent_dim**-0.25  # the product of the two has unit variance
    return FactorizedSynthetic(latents * width, decoder * width, temperature=temperature)


def balance_factors(latents: Tensor, decoder: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Return latents and decoder of about one size, for scores that are divided by ``temperature``.

    One learning rate moves both.
    """
    balance = (latents.square().mean() / decoder.square().mean()) ** 0.25
    return latents * (temperature / balance), decoder * balance


def leading_factors(rows: Tensor, columns: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Return factors (N, at most D) and (at most D, V) of the best approximation of ``rows @ columns.T`` of rank D.

    Args:
        rows: (N, R).
        columns: (V, R).
        width: D; one that is no narrower than R, N and V gives the product itself.

    Cost: O((N + V) R^2); the product is not formed.
    """
    row_basis, row_part = torch.linalg.qr(rows)
    column_basis, column_part = torch.linalg.qr(columns)
    left, sizes, right = torch.linalg.svd(row_part @ column_part.T, full_matrices=False)
    roots = sizes[:width].sqrt()
    return row_basis @ (left[:, :width] * roots), (column_basis @ (right[:width].T * roots)).T.contiguous()


def _fit_width(rows: Tensor, width: int, generator: torch.Generator) -> Tensor:
    return widen(rows @ _leading_directions(rows, width), width, generator)


def _leading_directions(rows: Tensor, width: int) -> Tensor:
    """Return the leading principal directions of rows (V, H) as columns (H, D), or the identity where D is no narrower."""
    if width >= rows.shape[1]:
        return torch.eye(rows.shape[1], dtype=rows.dtype, device=rows.device)
    directions: Tensor = torch.linalg.svd(rows, full_matrices=False)[2]
    return directions[:width].T


def widen(rows: Tensor, width: int, generator: torch.Generator) -> Tensor:
    """Return rows (..., at most D) as (..., D), with small noise in new columns: what is 0 on both sides would stay there."""
    missing = width - rows.shape[-1]
    if missing == 0:
        return rows
    noise = torch.randn(*rows.shape[:-1], missing, generator=generator, dtype=rows.dtype).to(rows.device)
    return torch.cat([rows, noise * START_NOISE], dim=-1)
