"""Next-event losses of a student, for hard ids and for soft tokens.

Position t is asked for event t + 1. The soft loss never forms log probabilities of the targets: with tied embeddings ``E``,

    - sum_v p_v log softmax(h E^T)_v  =  logsumexp(h E^T) - h . (p E),

and ``p E`` is the expected embedding that the input side has computed already. This holds when each ``p`` sums to 1.

Shape letters: B and S sequences, L length, V vocabulary, H hidden.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  torch's own idiom

from farzi_core.errors import DataError
from farzi_core.students.log_normalizer import log_normalizer
from farzi_core.students.protocol import Params, Student


def next_event_loss(
    student: Student, params: Params, events: Tensor, *, dropout_generator: torch.Generator | None = None
) -> Tensor:
    """Return the mean cross-entropy of every event that has an event before it.

    Args:
        student: the model.
        params: its parameters.
        events: int64 (B, L), padded on the left with negative ids.
        dropout_generator: source of dropout noise; None: no dropout.

    Returns:
        A scalar, in nats per event.

    Raises:
        DataError: no sequence has two events, so there is nothing to predict.

    Cost: one pass over (B, L); logits only for the events that are predicted.
    """
    inputs, targets = events[:, :-1], events[:, 1:]
    mask = inputs >= 0
    predicted = mask & (targets >= 0)
    indices = predicted.flatten().nonzero().squeeze(1)
    if indices.numel() == 0:
        raise DataError("a batch holds no sequence of two events or more, so there is nothing to predict; leave it out")
    hidden = student.encode(params, student.embed_events(params, inputs), mask, dropout_generator=dropout_generator)
    logits = student.event_logits(params, hidden.flatten(0, 1).index_select(0, indices))
    return F.cross_entropy(logits, targets.flatten().index_select(0, indices))


def soft_next_event_loss(
    student: Student,
    params: Params,
    probabilities: Tensor,
    input_events: Tensor | None = None,
    *,
    dropout_generator: torch.Generator | None = None,
) -> Tensor:
    """Return the mean soft cross-entropy of soft tokens, each position predicting the next one.

    Args:
        student: the model.
        params: its parameters.
        probabilities: (S, L, V), each a distribution over the vocabulary (they must sum to 1).
        input_events: int64 (S, L), what the student is shown at each position; None: the soft tokens themselves.
        dropout_generator: source of dropout noise; None: no dropout.

    Returns:
        A scalar, in nats per event.

    Cost: two V-wide products (expected embeddings and logits); no (S, L, V) tensor of targets in log space.
    """
    if input_events is None:
        embedded = student.embed_probabilities(params, probabilities)
        return embedded_next_event_loss(student, params, embedded, dropout_generator=dropout_generator)
    inputs = student.embed_events(params, input_events[:, :-1])
    # Of all positions: the meta-gradient's engine has a product of its own for the whole tensor, and none for a part of it.
    targets = student.embed_probabilities(params, probabilities)[:, 1:]
    return _embedded_loss(student, params, inputs, targets, dropout_generator)


def embedded_next_event_loss(
    student: Student, params: Params, embedded: Tensor, *, dropout_generator: torch.Generator | None = None
) -> Tensor:
    """Return :func:`soft_next_event_loss` of soft tokens that are embedded already, as (S, L, H) expected embeddings."""
    return _embedded_loss(student, params, embedded[:, :-1], embedded[:, 1:], dropout_generator)


def _embedded_loss(
    student: Student, params: Params, inputs: Tensor, targets: Tensor, dropout_generator: torch.Generator | None
) -> Tensor:
    """Return the loss of targets given as expected embeddings, both (S, L - 1, H)."""
    hidden = student.encode(params, inputs, dropout_generator=dropout_generator)
    hidden = hidden.reshape(-1, hidden.shape[-1])  # (S (L - 1), H)
    normalizers = log_normalizer(hidden, student.event_table(params))
    return (normalizers.sum() - (hidden * targets.reshape(hidden.shape)).sum()) / hidden.shape[0]
