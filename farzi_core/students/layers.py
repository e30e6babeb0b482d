"""Transformer layers as pure functions, twice differentiable in both orders and under ``torch.func`` transforms.

Attention is written out from matrix products, because fused attention kernels have no double backward. Activations are kept
two-dimensional (B * L, H) between attention products, so that every linear layer is one fused ``addmm``.

Shape letters: B batch, L length, H hidden, N heads, K = H / N head width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  torch's own idiom

from farzi_core.errors import ConfigError
from farzi_core.students.protocol import Params

INIT_STD = 0.02
NORM_EPS = 1e-5


@dataclass(frozen=True)
class BlockStack:
    """Shape of a stack of pre-norm blocks: causal self-attention, then a two-layer feed-forward network.

    Only the final norm has a scale and a shift: those of the others would be absorbed by the linear layer that follows.

    Attributes:
        num_blocks: how many.
        num_heads: attention heads N.
        hidden_size: width H.
        feed_forward_size: width between the two feed-forward layers.
        activation: element-wise, twice differentiable.
        rotary: whether queries and keys are rotated by their position.
        dropout: rate, applied to what each half of a block adds, and only with a generator.
    """

    num_blocks: int
    num_heads: int
    hidden_size: int
    feed_forward_size: int
    activation: Callable[[Tensor], Tensor]
    rotary: bool
    dropout: float

    def init_params(self, generator: torch.Generator, dtype: torch.dtype) -> Params:
        params: Params = {}
        for i in range(self.num_blocks):
            block = f"blocks.{i}"
            params |= init_linear(f"{block}.attention_in", self.hidden_size, 3 * self.hidden_size, generator, dtype)
            params |= init_linear(f"{block}.attention_out", self.hidden_size, self.hidden_size, generator, dtype)
            params |= init_linear(f"{block}.feed_forward_in", self.hidden_size, self.feed_forward_size, generator, dtype)
            params |= init_linear(f"{block}.feed_forward_out", self.feed_forward_size, self.hidden_size, generator, dtype)
        return params | init_norm("final_norm", self.hidden_size, generator, dtype)

    def apply(self, params: Params, inputs: Tensor, mask: Tensor | None, dropout_generator: torch.Generator | None) -> Tensor:
        """Run (B, L, H) through all blocks and the final norm -> (B, L, H)."""
        batch, length, _ = inputs.shape
        bias = _attention_bias(length, mask, self.num_heads, inputs)
        states = inputs.reshape(batch * length, self.hidden_size)
        for i in range(self.num_blocks):
            block = f"blocks.{i}"
            attended = self._attend(params, block, standardize(states), bias, length)
            states = states + dropout(attended, self.dropout, dropout_generator)
            fed = self._feed_forward(params, block, standardize(states))
            states = states + dropout(fed, self.dropout, dropout_generator)
        return layer_norm(params, "final_norm", states).view(batch, length, self.hidden_size)

    def _attend(self, params: Params, block: str, states: Tensor, bias: Tensor, length: int) -> Tensor:
        batch, heads = states.shape[0] // length, self.num_heads
        width = self.hidden_size // heads
        joint = linear(params, f"{block}.attention_in", states).view(batch, length, 3, heads, width)
        joint = joint.permute(2, 0, 3, 1, 4).reshape(3, batch * heads, length, width)
        queries, keys, values = joint.unbind(0)  # each (B N, L, K)
        if self.rotary:
            queries, keys = _rotate(queries), _rotate(keys)
        scores = torch.baddbmm(bias, queries, keys.transpose(1, 2), alpha=width**-0.5)  # (B N, L, L)
        mixed = torch.bmm(scores.softmax(-1), values)
        mixed = mixed.view(batch, heads, length, width).transpose(1, 2).reshape(batch * length, self.hidden_size)
        return linear(params, f"{block}.attention_out", mixed)

    def _feed_forward(self, params: Params, block: str, states: Tensor) -> Tensor:
        return linear(params, f"{block}.feed_forward_out", self.activation(linear(params, f"{block}.feed_forward_in", states)))


def normal_table(rows: int, columns: int, generator: torch.Generator, dtype: torch.dtype, *, std: float = INIT_STD) -> Tensor:
    """Return a (rows, columns) table of normal values; drawn in float32, so both precisions start alike."""
    values = torch.randn(rows, columns, generator=generator, device=generator.device, dtype=torch.float32)
    return (values * std).to(dtype)


def init_linear(
    name: str, rows: int, columns: int, generator: torch.Generator, dtype: torch.dtype, *, std: float = INIT_STD
) -> Params:
    """Return a normal weight (rows, columns) and a bias of 0, as ``linear`` reads them."""
    bias = torch.zeros(columns, device=generator.device, dtype=dtype)
    return {f"{name}.weight": normal_table(rows, columns, generator, dtype, std=std), f"{name}.bias": bias}


def init_norm(name: str, size: int, generator: torch.Generator, dtype: torch.dtype) -> Params:
    """Return a scale of 1 and a shift of 0, as ``layer_norm`` reads them."""
    return {
        f"{name}.weight": torch.ones(size, device=generator.device, dtype=dtype),
        f"{name}.bias": torch.zeros(size, device=generator.device, dtype=dtype),
    }


def linear(params: Params, name: str, inputs: Tensor) -> Tensor:
    """Affine map of (rows, in) with a weight stored as (in, out)."""
    return torch.addmm(params[f"{name}.bias"], inputs, params[f"{name}.weight"])


def standardize(inputs: Tensor) -> Tensor:
    """Shift and scale the rows of (rows, H) to mean 0 and variance 1."""
    return F.layer_norm(inputs, inputs.shape[-1:], eps=NORM_EPS)


def layer_norm(params: Params, name: str, inputs: Tensor) -> Tensor:
    """Standardise, then scale and shift by learned values."""
    weight = params[f"{name}.weight"]
    return F.layer_norm(inputs, weight.shape, weight, params[f"{name}.bias"], NORM_EPS)


def dropout(inputs: Tensor, rate: float, generator: torch.Generator | None) -> Tensor:
    """Drop entries at ``rate`` and rescale the rest; the identity without a generator, whatever the rate."""
    if generator is None or rate == 0.0:
        return inputs
    noise = torch.rand(inputs.shape, generator=generator, device=inputs.device, dtype=torch.float32)
    return inputs * ((noise >= rate).to(inputs.dtype) / (1.0 - rate))


def check_length(length: int, longest: int) -> None:
    """Raise ConfigError when sequences are longer than the parameters of a student reach."""
    if length > longest:
        raise ConfigError(
            f"sequences of {length} events were given to a student that reads at most {longest}; "
            "keep the last max_length events of each, or raise student.max_length",
            pointer="/student/max_length",
        )


def embed_events(table: Tensor, events: Tensor) -> Tensor:
    """Look int64 ids up in a (V, H) table that has no padding row; negative ids give zeros."""
    embedded = F.embedding(events.clamp(min=0), table)
    return embedded * (events >= 0).unsqueeze(-1).to(table.dtype)


@lru_cache(maxsize=64)
def _causal_bias(length: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    # The cache outlives the call: made in inference mode, the tensor could never enter a differentiated computation.
    with torch.inference_mode(mode=False):
        return torch.full((length, length), float("-inf"), dtype=dtype, device=device).triu(diagonal=1)


def _attention_bias(length: int, mask: Tensor | None, num_heads: int, inputs: Tensor) -> Tensor:
    """Return what is added to attention scores: -inf where a query may not look.

    A query always sees itself. Padded queries would otherwise see nothing, and a softmax over nothing is NaN.
    """
    causal = _causal_bias(length, inputs.dtype, inputs.device)
    if mask is None:
        return causal
    hidden_keys = ~mask.unsqueeze(1) & ~torch.eye(length, dtype=torch.bool, device=mask.device)  # (B, L, L)
    bias = causal.masked_fill(hidden_keys, float("-inf"))
    return bias if num_heads == 1 else bias.repeat_interleave(num_heads, dim=0)


@lru_cache(maxsize=64)
def _rotation(length: int, width: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return cosines and signed sines (L, K) of rotary positions, base 10,000 (Su et al. 2021)."""
    with torch.inference_mode(mode=False):
        frequencies = 10_000.0 ** (-torch.arange(0, width, 2, dtype=torch.float64, device=device) / width)
        angles = torch.arange(length, dtype=torch.float64, device=device)[:, None] * frequencies  # (L, K / 2)
        cosines, sines = angles.cos(), angles.sin()
        return torch.cat([cosines, cosines], -1).to(dtype), torch.cat([-sines, sines], -1).to(dtype)


def _rotate(states: Tensor) -> Tensor:
    length, width = states.shape[-2:]
    cosines, sines = _rotation(length, width, states.dtype, states.device)
    return torch.addcmul(states * cosines, states.roll(width // 2, dims=-1), sines)
