"""The students and losses of ``farzi_core.students`` in jax.numpy: the same parameters give the same numbers.

Only what the race needs: no dropout, and sequences without padding. Shape letters: B batch, L length, V vocabulary, H hidden.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from bench.metagrad.problem import Setting
from farzi_core.students.layers import NORM_EPS

JaxArray = Any
JaxParams = dict[str, Any]


def soft_next_event_loss(setting: Setting, params: JaxParams, probabilities: JaxArray) -> JaxArray:
    embedded = probabilities @ params["event_embedding"]
    hidden = encode(setting, params, embedded[:, :-1])
    normalizers = jax.nn.logsumexp(hidden @ params["event_embedding"].T, axis=-1)
    return (normalizers - (hidden * embedded[:, 1:]).sum(-1)).mean()


def next_event_loss(setting: Setting, params: JaxParams, events: JaxArray) -> JaxArray:
    hidden = encode(setting, params, params["event_embedding"][events[:, :-1]])
    logits = hidden @ params["event_embedding"].T
    return optax.softmax_cross_entropy_with_integer_labels(logits, events[:, 1:]).mean()


def encode(setting: Setting, params: JaxParams, embedded: JaxArray) -> JaxArray:
    """Run (B, L, H) through the blocks and the final norm."""
    is_language_model = setting.architecture == "transformer_lm"
    states = embedded
    if not is_language_model:
        states = states + params["position_embedding"][setting.sequence_length - embedded.shape[1] :]
    for index in range(setting.num_layers):
        block = f"blocks.{index}"
        states = states + _attend(setting, params, block, _standardize(states), rotary=is_language_model)
        inner = _linear(params, f"{block}.feed_forward_in", _standardize(states))
        inner = jax.nn.gelu(inner, approximate=False) if is_language_model else jax.nn.relu(inner)
        states = states + _linear(params, f"{block}.feed_forward_out", inner)
    return _standardize(states) * params["final_norm.weight"] + params["final_norm.bias"]


def _attend(setting: Setting, params: JaxParams, block: str, states: JaxArray, *, rotary: bool) -> JaxArray:
    batch, length, hidden_size = states.shape
    width = hidden_size // setting.num_heads
    joint = _linear(params, f"{block}.attention_in", states).reshape(batch, length, 3, setting.num_heads, width)
    queries, keys, values = jnp.moveaxis(joint, (2, 3), (0, 2))  # each (B, heads, L, width)
    if rotary:
        queries, keys = _rotate(queries), _rotate(keys)
    scores = queries @ jnp.swapaxes(keys, -1, -2) * width**-0.5
    causal = np.tril(np.ones((length, length), dtype=bool))
    mixed = jax.nn.softmax(jnp.where(causal, scores, -jnp.inf), axis=-1) @ values
    return _linear(params, f"{block}.attention_out", jnp.swapaxes(mixed, 1, 2).reshape(batch, length, hidden_size))


def _linear(params: JaxParams, name: str, inputs: JaxArray) -> JaxArray:
    return inputs @ params[f"{name}.weight"] + params[f"{name}.bias"]


def _standardize(inputs: JaxArray) -> JaxArray:
    centred = inputs - inputs.mean(-1, keepdims=True)
    return centred * jax.lax.rsqrt((centred**2).mean(-1, keepdims=True) + NORM_EPS)


def _rotate(states: JaxArray) -> JaxArray:
    length, width = states.shape[-2:]
    frequencies = 10_000.0 ** (-np.arange(0, width, 2) / width)
    angles = np.arange(length)[:, None] * frequencies
    cosines = np.concatenate([np.cos(angles), np.cos(angles)], -1).astype(states.dtype)
    sines = np.concatenate([-np.sin(angles), np.sin(angles)], -1).astype(states.dtype)
    return states * cosines + jnp.roll(states, width // 2, axis=-1) * sines
