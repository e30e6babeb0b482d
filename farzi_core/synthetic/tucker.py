"""Synthetic data as a Tucker decomposition: the latents of the factorised form are themselves a product of small factors.

    scores[s, l, v] = sum_abc core[a, b, c] sequence_factors[s, a] position_factors[l, b] token_decoder[c, v]
    P = softmax(scores / temperature)

With A < S and B < L sequences and positions share what they have in common, so the same S x L takes fewer numbers than
latents (S, L, D): A B C + S A + L B + C V. The form is that of TD3 (WWW 2025).

Shape letters: S synthetic sequences, L length, V vocabulary; A, B, C the ranks along each of them; D latent width.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from farzi_core.synthetic.base import Synthetic
from farzi_core.synthetic.factorized import FactorizedSynthetic
from farzi_core.synthetic.sharpness import choose_probe, solve_sharpness

Ranks = tuple[int, int, int]
# Of what factorised latents take, the core and each of the two factors may take this share, so that the sum is less.
_SHARE = 4


@dataclass(frozen=True)
class TuckerSynthetic(Synthetic):
    """Synthetic data in Tucker form.

    Attributes:
        core: (A, B, C), float.
        sequence_factors: (S, A), float.
        position_factors: (L, B), float.
        token_decoder: (C, V), float.
    """

    parameterization: ClassVar[str] = "tucker"
    tensor_names: ClassVar[tuple[str, ...]] = ("core", "sequence_factors", "position_factors", "token_decoder")

    core: Tensor
    sequence_factors: Tensor
    position_factors: Tensor
    token_decoder: Tensor

    def scores(self) -> Tensor:
        rows: Tensor = torch.tensordot(self.sequence_factors, self.core, dims=1)  # (S, B, C)
        latents = self.position_factors @ rows  # (S, L, C)
        return latents @ self.token_decoder

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.sequence_factors.shape[0], self.position_factors.shape[0], self.token_decoder.shape[1]


def default_ranks(num_sequences: int, sequence_length: int, latent_dim: int) -> Ranks:
    """Return (A, B, C) for which the Tucker form is smaller than the factorised one of width ``latent_dim``.

    Half as many as there are sequences and positions, fewer where a factor alone would outgrow the latents it replaces.
    """
    sequence_rank = min((num_sequences + 1) // 2, max(1, sequence_length * latent_dim // _SHARE))
    position_rank = min((sequence_length + 1) // 2, max(1, num_sequences * latent_dim // _SHARE))
    return sequence_rank, position_rank, latent_dim


def fit_tucker(start: FactorizedSynthetic, ranks: Ranks) -> TuckerSynthetic:
    """Return the Tucker form nearest to a factorised start, as sharp as a start is made.

    The fit is a truncated higher-order SVD of the scores, which is within sqrt(3) of the least-squares optimum; it is taken of
    (S, L, D) numbers, because an orthonormal basis of the decoder's rows leaves distances as they are. Truncation flattens the
    scores, so they are scaled back to the entropy of a start.

    Args:
        start: factorised.
        ranks: A, B, C; what goes beyond the ranks of the start's scores is left out.

    Cost: three singular value decompositions of unfoldings of (S, L, D).
    """
    basis, triangle = torch.linalg.qr(start.token_decoder.T)  # (V, D'), (D', D); D' = min(D, V)
    core = start.latents @ triangle.T  # (S, L, D'), as far apart as the scores are
    bases = [_leading_directions(core, dim, rank) for dim, rank in enumerate(ranks)]
    for dim, directions in enumerate(bases):
        core = torch.movedim(torch.tensordot(core, directions, dims=([dim], [0])), -1, dim)
    decoder = (basis @ bases[2]).T
    entropy = float(start.entropy().mean())
    return _sharpen(_balance(core, bases[0], bases[1], decoder, start.temperature), entropy)


def tucker_from_noise(
    num_sequences: int,
    sequence_length: int,
    vocab_size: int,
    *,
    ranks: Ranks,
    temperature: float,
    generator: torch.Generator,
    dtype: torch.dtype = torch.float32,
) -> TuckerSynthetic:
    """Return synthetic data of normal noise: nearly uniform soft tokens, whose scores have unit variance."""
    a, b, c = ranks
    shapes = ((a, b, c), (num_sequences, a), (sequence_length, b), (c, vocab_size))
    width = float(a * b * c) ** -0.125  # one quarter of the variance for each of the four
    tensors = [torch.randn(shape, generator=generator, dtype=dtype) * width for shape in shapes]
    return TuckerSynthetic(*tensors, temperature=temperature)


def _leading_directions(tensor: Tensor, dim: int, rank: int) -> Tensor:
    """Return (n, rank): the leading left singular vectors of the unfolding along ``dim``, whose size is n."""
    left: Tensor = torch.linalg.svd(torch.movedim(tensor, dim, 0).flatten(1), full_matrices=False)[0]
    return left[:, :rank]


def _balance(core: Tensor, sequences: Tensor, positions: Tensor, decoder: Tensor, temperature: float) -> TuckerSynthetic:
    """Give the two factors unit entries on average and core and decoder the same size, since Adam moves all alike."""
    by_sequence, by_position = (factors.square().mean().sqrt() for factors in (sequences, positions))
    core = core * by_sequence * by_position
    share = (core.square().mean() / decoder.square().mean()).pow(0.25)
    return TuckerSynthetic(
        core / share, sequences / by_sequence, positions / by_position, decoder * share, temperature=temperature
    )


def _sharpen(synthetic: TuckerSynthetic, entropy: float) -> TuckerSynthetic:
    logits = synthetic.logits().flatten(0, 1)
    factor = solve_sharpness(logits[choose_probe(len(logits))], entropy)
    return replace(synthetic, core=synthetic.core * factor**0.5, token_decoder=synthetic.token_decoder * factor**0.5)
