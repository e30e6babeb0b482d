"""Training a model of one's own on synthetic data, in plain PyTorch: the recipe of the file, for soft tokens and for events.

The one module of the client that imports torch; ``farzi_client.train_student`` loads it when it is used. It knows neither the
service nor the students of the report: any ``torch.nn.Module`` that reads embeddings from left to right can be trained.

Shape letters: S synthetic sequences, B batch, L length, V vocabulary, H hidden.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from farzi_client.errors import FarziClientError
from farzi_client.synthetic import SyntheticData

TABLE_STD = 0.02


class GRUEncoder(nn.Module):
    """A gated recurrent unit whose hidden states are normalised: small, and reads sequences of any length."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.gru = nn.GRU(hidden_size, hidden_size, batch_first=True)
        self.norm = nn.LayerNorm(hidden_size)

    def forward(self, embedded: Tensor) -> Tensor:
        hidden, _ = self.gru(embedded)
        return cast(Tensor, self.norm(hidden))


class Student(nn.Module):
    """An encoder between one table of embeddings: for what it reads, and for what it predicts.

    Args:
        vocabulary: names of the V events.
        encoder: maps embeddings (B, L, H) to hidden states (B, L, H), each position from itself and those before it.
        hidden_size: H.
    """

    def __init__(self, vocabulary: Sequence[str], encoder: nn.Module, hidden_size: int) -> None:
        super().__init__()
        self.vocabulary = tuple(vocabulary)
        self.table = nn.Embedding(len(vocabulary), hidden_size)
        nn.init.normal_(self.table.weight, std=TABLE_STD)
        self.encoder = encoder
        self._ids = {name: number for number, name in enumerate(self.vocabulary)}

    def encode(self, embedded: Tensor) -> Tensor:
        """Return hidden states (B, L, H); an encoder that returns a tuple, as ``nn.GRU`` does, has them first."""
        hidden = self.encoder(embedded)
        return cast(Tensor, hidden[0] if isinstance(hidden, tuple) else hidden)

    def forward(self, events: Tensor) -> Tensor:
        """Return scores (B, L, V) of the event after each position of ``events``, int64 (B, L)."""
        return self.encode(self.table(events)) @ self.table.weight.T

    def predict(self, history: Sequence[str], k: int = 10) -> list[tuple[str, float]]:
        """Return the ``k`` likeliest next events after a history, in the user's own names, with their probabilities.

        Raises:
            FarziClientError: the history is empty, or nothing of it is in the vocabulary.
        """
        ids = [self._ids[name] for name in history if name in self._ids]
        if not ids:
            raise FarziClientError("no event of the history is in the vocabulary; give events of the data that were distilled")
        was_training = self.training
        self.eval()
        with torch.no_grad():
            scores = self(torch.tensor([ids], device=self.table.weight.device))[0, -1]
        self.train(was_training)
        best = scores.softmax(-1).topk(min(k, len(self.vocabulary)))
        return [
            (self.vocabulary[number], value) for number, value in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]


class Adam(torch.optim.Optimizer):
    """Adam with ``eps_root`` under the root, as the students of a result were trained; torch's own has none.

    ``w' = w - lr m' / (sqrt(v' + eps_root) + eps)`` with bias-corrected moments m' and v'.
    """

    def __init__(
        self, params: Iterable[nn.Parameter], *, lr: float, betas: tuple[float, float], eps: float, eps_root: float
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "eps_root": eps_root})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take one step."""
        loss = None if closure is None else closure()
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is not None:
                    self._update(param, group)
        return loss

    def _update(self, param: Tensor, group: Mapping[str, Any]) -> None:
        state, (beta1, beta2) = self.state[param], group["betas"]
        if not state:
            state.update(step=0, exp_avg=torch.zeros_like(param), exp_avg_sq=torch.zeros_like(param))
        assert param.grad is not None
        state["step"] += 1
        state["exp_avg"].lerp_(param.grad, 1 - beta1)
        state["exp_avg_sq"].mul_(beta2).addcmul_(param.grad, param.grad, value=1 - beta2)
        corrected = state["exp_avg_sq"] / (1 - beta2 ** state["step"])
        root = corrected.add_(group["eps_root"]).sqrt_().add_(group["eps"])
        param.addcdiv_(state["exp_avg"], root, value=-group["lr"] / (1 - beta1 ** state["step"]))


def train_student(
    data: SyntheticData,
    encoder: nn.Module | None = None,
    *,
    hidden_size: int = 64,
    num_steps: int | None = None,
    lr: float | None = None,
    batch_size: int | None = None,
    seed: int = 0,
    device: str | torch.device | None = None,
    on_step: Callable[[int, float], None] | None = None,
) -> Student:
    """Train a fresh model on synthetic data, by the recipe in its file unless told otherwise.

    Works for both kinds of inputs: soft tokens are shown as the mean of the embeddings by their probabilities, sampled events
    as themselves; either way every position but the first is asked for its soft token.

    Args:
        data: of ``job.synthetic(library="torch")``.
        encoder: maps (B, L, H) to (B, L, H) from left to right: an ``nn.GRU`` with ``batch_first``, a causal transformer, ...;
            None: a GRU. It is trained in place.
        hidden_size: H, the width of the embeddings.
        num_steps: Adam steps; None: as many as it took the students of the report to be at their best.
        lr: learning rate; None: that of the report's students.
        batch_size: synthetic sequences a step, drawn without replacement; None: as the recipe says.
        seed: of the table, the default encoder, the batches and the dropout of the recipe, which acts on embeddings.
        device: where to train; None: where the data are.
        on_step: called after each step with its number, from 1, and its loss in nats per event.

    Returns:
        The trained model, in evaluation mode.

    Raises:
        FarziClientError: the data are numpy arrays, or the loss is not finite.

    Cost: a step is one pass over (B, L) and two products with (V, H); memory B L V numbers for the scores.
    """
    if data.library != "torch":
        raise FarziClientError("train_student takes torch tensors: get them with job.synthetic(library='torch')")
    recipe = data.training
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        student = Student(data.vocabulary, encoder or GRUEncoder(hidden_size), hidden_size)
    probabilities = data.probabilities().to(device)
    inputs = None if data.input_events is None else data.input_events.to(device)
    student = student.to(probabilities.device).train()
    chosen_lr = recipe["lr"] if lr is None else lr
    betas = cast(tuple[float, float], tuple(recipe["betas"]))
    optimizer = Adam(student.parameters(), lr=chosen_lr, betas=betas, eps=recipe["eps"], eps_root=recipe["eps_root"])
    generator = torch.Generator().manual_seed(seed)
    dropout = Dropout(recipe.get("dropout", 0.0), generator)
    size = min(batch_size or recipe.get("batch_size") or len(probabilities), len(probabilities))
    for step in range(1, (recipe["num_steps"] if num_steps is None else num_steps) + 1):
        rows = torch.randperm(len(probabilities), generator=generator)[:size].to(probabilities.device)
        loss = _loss(student, probabilities[rows], None if inputs is None else inputs[rows], dropout)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        value = float(loss.detach())
        if not value < float("inf"):
            raise FarziClientError(f"the loss is {value} at step {step}; lower lr (it is {chosen_lr})")
        if on_step is not None:
            on_step(step, value)
    return student.eval()


class Dropout:
    """Dropout of what a student is shown, by random numbers of its own: a seed means the same on every device."""

    def __init__(self, share: float, generator: torch.Generator) -> None:
        self._share, self._generator = share, generator

    def __call__(self, embedded: Tensor) -> Tensor:
        if self._share == 0.0:
            return embedded
        kept = torch.rand(embedded.shape, generator=self._generator) >= self._share
        return embedded * kept.to(embedded.device) / (1.0 - self._share)


def _loss(student: Student, probabilities: Tensor, inputs: Tensor | None, dropout: Dropout) -> Tensor:
    """Return the soft cross-entropy, a scalar in nats per event: ``logsumexp(h E^T) - h . (p E)`` at every position."""
    expected = probabilities @ student.table.weight  # (B, L, H)
    embedded = expected if inputs is None else student.table(inputs)
    hidden = student.encode(dropout(embedded[:, :-1]))
    normalizers = (hidden @ student.table.weight.T).logsumexp(-1)
    return (normalizers - (hidden * expected[:, 1:]).sum(-1)).mean()
