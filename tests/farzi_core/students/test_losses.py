"""Next-event losses: values, first and second derivatives in both orders, and torch.func transforms."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.func import grad, jvp, vmap
from torch.nn import functional as F  # noqa: N812

from farzi_core.errors import DataError
from farzi_core.seeding import derive_generator
from farzi_core.students import Params, embedded_next_event_loss, next_event_loss, soft_next_event_loss
from tests.farzi_core.students.conftest import VOCAB_SIZE, Case


def plain_soft_cross_entropy(case: Case, params: Params, probabilities: Tensor) -> Tensor:
    embedded = case.student.embed_probabilities(params, probabilities[:, :-1])
    log_probabilities = case.student.event_logits(params, case.student.encode(params, embedded)).log_softmax(-1)
    return -(probabilities[:, 1:] * log_probabilities).sum(-1).mean()


def test_soft_loss_is_soft_cross_entropy(case: Case) -> None:
    loss = soft_next_event_loss(case.student, case.params, case.probabilities)
    torch.testing.assert_close(loss, plain_soft_cross_entropy(case, case.params, case.probabilities), rtol=1e-12, atol=0)


def test_embedded_variant_is_the_soft_loss(case: Case) -> None:
    embedded = case.student.embed_probabilities(case.params, case.probabilities)
    loss = embedded_next_event_loss(case.student, case.params, embedded)
    assert torch.equal(loss, soft_next_event_loss(case.student, case.params, case.probabilities))


def test_soft_loss_of_one_hot_tokens_is_the_hard_loss(case: Case) -> None:
    events = torch.tensor([[1, 2, 3, 4], [5, 6, 0, 0]])
    hard = next_event_loss(case.student, case.params, events)
    soft = soft_next_event_loss(case.student, case.params, F.one_hot(events, VOCAB_SIZE).double())
    torch.testing.assert_close(hard, soft, rtol=1e-12, atol=0)


def test_soft_loss_behind_input_events_is_cross_entropy_there(case: Case) -> None:
    events = torch.tensor([[1, 2, 3, 4], [5, 6, 0, 0]])
    targets = case.probabilities[:2, :4]
    loss = soft_next_event_loss(case.student, case.params, targets, events)
    hidden = case.student.encode(case.params, case.student.embed_events(case.params, events[:, :-1]))
    log_probabilities = case.student.event_logits(case.params, hidden).log_softmax(-1)
    torch.testing.assert_close(loss, -(targets[:, 1:] * log_probabilities).sum(-1).mean(), rtol=1e-12, atol=0)


def test_dropout_of_one_hot_tokens_is_that_of_hard_ones(case: Case) -> None:
    events = torch.tensor([[1, 2, 3, 4], [5, 6, 0, 0]])
    hard = next_event_loss(case.student, case.params, events, dropout_generator=derive_generator(0))
    one_hot = F.one_hot(events, VOCAB_SIZE).double()
    soft = soft_next_event_loss(case.student, case.params, one_hot, dropout_generator=derive_generator(0))
    torch.testing.assert_close(hard, soft, rtol=1e-12, atol=0)
    without = soft_next_event_loss(case.student, case.params, one_hot)
    assert torch.equal(soft, without) == (case.student.config.dropout == 0.0)


def test_hard_loss_is_the_mean_over_events_that_have_an_event_before_them(case: Case) -> None:
    nats = []
    for row in case.events:
        history = row[row >= 0].unsqueeze(0)
        if history.shape[1] > 1:
            embedded = case.student.embed_events(case.params, history[:, :-1])
            logits = case.student.event_logits(case.params, case.student.encode(case.params, embedded))
            nats.append(F.cross_entropy(logits[0], history[0, 1:], reduction="none"))
    expected = torch.cat(nats).mean()
    torch.testing.assert_close(next_event_loss(case.student, case.params, case.events), expected, rtol=1e-12, atol=0)


def test_a_batch_with_nothing_to_predict_is_refused(case: Case) -> None:
    with pytest.raises(DataError, match="no sequence of two events"):
        next_event_loss(case.student, case.params, torch.tensor([[-1, -1, 3]]))


def loss_of_flat_params(case: Case, kind: str) -> tuple[Callable[..., Tensor], list[Tensor]]:
    """Return a loss of one vector of all parameters (and of logits of soft tokens), which keeps gradcheck cheap."""
    sizes = [value.numel() for value in case.params.values()]
    flat = torch.cat([value.flatten() for value in case.params.values()]).requires_grad_()

    def unflatten(vector: Tensor) -> Params:
        parts = torch.split(vector, sizes)
        return {name: part.view(case.params[name].shape) for name, part in zip(case.params, parts, strict=True)}

    if kind == "hard":
        return lambda vector: next_event_loss(case.student, unflatten(vector), case.events), [flat]

    def soft(vector: Tensor, logits: Tensor) -> Tensor:
        return soft_next_event_loss(case.student, unflatten(vector), logits.softmax(-1))

    return soft, [flat, case.probabilities.log().requires_grad_()]


@pytest.mark.parametrize("kind", ["hard", "soft"])
def test_first_and_second_derivatives_agree_with_finite_differences(case: Case, kind: str) -> None:
    loss, inputs = loss_of_flat_params(case, kind)
    assert gradcheck(loss, inputs, fast_mode=True)
    assert gradgradcheck(loss, inputs, fast_mode=True)


def test_second_order_products_agree_in_both_orders(case: Case) -> None:
    generator = torch.Generator().manual_seed(1)
    direction = {n: torch.randn(v.shape, generator=generator, dtype=v.dtype) for n, v in case.params.items()}

    def fast(params: Params) -> Tensor:
        return soft_next_event_loss(case.student, params, case.probabilities)

    def plain(params: Params) -> Tensor:
        return plain_soft_cross_entropy(case, params, case.probabilities)

    def directional(params: Params) -> Tensor:
        gradient = grad(fast)(params)
        return torch.stack([(gradient[name] * direction[name]).sum() for name in params]).sum()

    forward = jvp(grad(fast), (case.params,), (direction,))[1]
    expected = jvp(grad(plain), (case.params,), (direction,))[1]
    reverse = grad(directional)(case.params)
    for name in case.params:
        torch.testing.assert_close(forward[name], reverse[name], rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(forward[name], expected[name], rtol=1e-9, atol=1e-12)


def test_losses_and_gradients_map_over_stacked_parameters(case: Case) -> None:
    other = {name: value * 1.1 for name, value in case.params.items()}
    stacked = {name: torch.stack([value, other[name]]) for name, value in case.params.items()}

    def both(params: Params) -> Tensor:
        soft = soft_next_event_loss(case.student, params, case.probabilities)
        return soft + next_event_loss(case.student, params, case.events)

    grads = vmap(grad(both))(stacked)
    for i, params in enumerate((case.params, other)):
        torch.testing.assert_close(vmap(both)(stacked)[i], both(params))
        for name, value in grad(both)(params).items():
            torch.testing.assert_close(grads[name][i], value)
