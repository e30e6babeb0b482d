"""JAX and optax: ``jax.grad`` through a ``lax.scan`` of Adam steps, with and without ``jax.checkpoint`` of a step.

The whole is compiled ahead of its run.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import numpy as np
import optax

from bench.metagrad.contestants import Gradient, Run
from bench.metagrad.peers.jax_students import JaxArray, JaxParams, next_event_loss, soft_next_event_loss
from bench.metagrad.problem import BETAS, EPS, EPS_ROOT, LEARNING_RATE, Problem

Carry = tuple[JaxParams, JaxArray]


def make(*, checkpointed: bool) -> Callable[[Problem], Run]:
    def prepare(problem: Problem) -> Run:
        jax.config.update("jax_enable_x64", problem.probabilities.dtype == np.float64)
        outer_loss = _trained_outer_loss(problem, checkpointed=checkpointed)
        arguments = jax.device_put((problem.probabilities, problem.start_params, problem.real))
        compiled = jax.jit(jax.value_and_grad(outer_loss)).lower(*arguments).compile()

        def run() -> Gradient:
            value, gradient = jax.block_until_ready(compiled(*arguments))
            return Gradient(float(value), np.asarray(gradient))

        return run

    return prepare


def _trained_outer_loss(problem: Problem, *, checkpointed: bool) -> Callable[[JaxArray, JaxParams, JaxArray], JaxArray]:
    setting = problem.setting
    adam = optax.adam(LEARNING_RATE, *BETAS, EPS, EPS_ROOT)

    def outer_loss(probabilities: JaxArray, start_params: JaxParams, real: JaxArray) -> JaxArray:
        def step(carry: Carry, _: None) -> tuple[Carry, None]:
            params, state = carry
            grads = jax.grad(lambda params: soft_next_event_loss(setting, params, probabilities))(params)
            updates, state = adam.update(grads, state)
            return (optax.apply_updates(params, updates), state), None

        body = jax.checkpoint(step) if checkpointed else step
        start = (start_params, adam.init(start_params))
        (params, _), _ = jax.lax.scan(body, start, length=problem.num_inner_steps)
        return next_event_loss(setting, params, real)

    return outer_loss
