"""A start in which events are shown and predictions are asked for: sequences that teachers make up, and what they expect there.

The sequences are drawn from the mean of the teachers' predictions, so no real history enters the result. The soft token of a
position is that same mean, given the events before it. Students who train on the two learn from the teachers (Hinton et al.
2015, arXiv 1503.02531) before anything is distilled.

The scores of one teacher are ``hidden @ event_table.T``, which is of the form of factorised data with D = H. Several teachers
side by side give ``[h_1 .. h_K] / K @ [E_1 .. E_K].T``, the logarithm of their geometric mean up to a constant; its leading
directions are where the fit to the arithmetic mean begins.

Shape letters: S sequences, L length, V vocabulary, H hidden, K teachers, D latent width, N positions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from farzi_core.distillation.descent import cosine_lr
from farzi_core.distillation.mean_prediction import MeanPrediction, sample_sequences
from farzi_core.distillation.setting import Setting
from farzi_core.metagrad import AdamConfig, adam_step, init_state
from farzi_core.metagrad.vectors import ParamLayout
from farzi_core.seeding import derive_generator
from farzi_core.students import Params
from farzi_core.synthetic.factorized import FactorizedSynthetic, balance_factors, leading_factors, widen

_FIT_EPOCHS = 60
_FIT_BATCH = 512
_FIT_LR = 0.05
_FIRST_TOKEN_STEPS = 300


def start_from_samples(setting: Setting, teachers: Sequence[Params], latent_dim: int) -> FactorizedSynthetic:
    """Return synthetic data with input events, of the size that ``synthetic`` of the spec asks for.

    Args:
        setting: data and student.
        teachers: trained parameters, at least one.
        latent_dim: D.

    Cost: that of :func:`~farzi_core.distillation.mean_prediction.sample_sequences` and of :func:`fit_predictions`.
    """
    wanted = setting.spec.synthetic
    generator = derive_generator(setting.spec.seed, "start")
    mean = MeanPrediction(setting, teachers)
    events = sample_sequences(
        mean,
        wanted.num_sequences,
        wanted.length,
        repeats_allowed=setting.repeats_allowed,
        generator=generator,
    )
    latents, decoder = fit_predictions(mean, events[:, :-1], latent_dim, generator)
    first = _fit_first_token(decoder, mean.first_event).expand(len(events), 1, -1)
    latents, decoder = balance_factors(torch.cat([first, latents], 1), decoder, wanted.temperature)
    return FactorizedSynthetic(latents, decoder, temperature=wanted.temperature, input_events=events)


def fit_predictions(mean: MeanPrediction, events: Tensor, latent_dim: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return latents (S, L, D) and decoder (D, V) whose soft tokens are the mean prediction after each of the events (S, L).

    One teacher with D at least H is met exactly. Otherwise Adam lowers the Kullback-Leibler divergence from the mean.

    Cost: where it has to fit, 60 passes of about 6 N D V operations, and the memory of 512 predictions.
    """
    hidden = mean.encode(events).flatten(0, 1)
    tables = mean.tables - mean.tables.mean(0)  # the softmax does not see the difference, the directions do
    latents, decoder = leading_factors(hidden / mean.num_teachers, tables, latent_dim)
    if mean.num_teachers > 1 or latent_dim < tables.shape[1]:
        latents, decoder = _fit(latents, decoder, lambda rows: mean.probabilities(hidden[rows]), generator)
    latents = widen(latents, latent_dim, generator)
    decoder = widen(decoder.T, latent_dim, generator).T.contiguous()
    return latents.reshape(*events.shape, latent_dim), decoder


def _fit(
    latents: Tensor, decoder: Tensor, targets: Callable[[Tensor], Tensor], generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return factors fitted to the targets (B, V) of rows, which are drawn in batches."""
    start = {"latents": latents, "decoder": decoder}
    layout = ParamLayout(start)
    batches = [
        rows.to(latents.device)
        for _ in range(_FIT_EPOCHS)
        for rows in torch.split(torch.randperm(len(latents), generator=generator), _FIT_BATCH)
    ]

    def loss(flat: Tensor, step: int) -> Tensor:
        factors, rows = layout.name(flat), batches[step]
        return _cross_entropy(factors["latents"][rows] @ factors["decoder"], targets(rows))

    fitted = layout.name(_descend(layout.flatten(start), loss, len(batches)))
    return fitted["latents"], fitted["decoder"]


def _fit_first_token(decoder: Tensor, probabilities: Tensor) -> Tensor:
    """Return the latent (D,) whose soft token is nearest to a distribution (V,)."""

    def loss(latent: Tensor, _step: int) -> Tensor:
        return _cross_entropy((latent @ decoder)[None], probabilities[None])

    return _descend(decoder.new_zeros(len(decoder)), loss, _FIRST_TOKEN_STEPS)


def _descend(start: Tensor, loss: Callable[[Tensor, int], Tensor], num_steps: int) -> Tensor:
    """Return what Adam makes of a flat vector, at a learning rate that falls to 0 by a cosine."""
    state = init_state(start)
    for step in range(num_steps):
        flat = state.params.detach().requires_grad_()
        (grad,) = torch.autograd.grad(loss(flat, step), flat)
        adam = AdamConfig(cosine_lr(_FIT_LR, step, num_steps))
        state = adam_step(replace(state, params=flat.detach()), grad, adam)
    return state.params


def _cross_entropy(scores: Tensor, targets: Tensor) -> Tensor:
    """Return the mean cross-entropy of targets (N, V), each a distribution."""
    return (scores.logsumexp(-1) - (scores * targets).sum(-1)).mean()
