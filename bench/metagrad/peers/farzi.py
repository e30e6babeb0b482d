"""This project's engine."""

from __future__ import annotations

from collections.abc import Callable

from bench.metagrad.contestants import Gradient, Run
from bench.metagrad.problem import BETAS, EPS, EPS_ROOT, LEARNING_RATE, Problem
from bench.metagrad.torch_losses import SoftLoss, torch_problem
from farzi_core.metagrad import AdamConfig, Method, compute_meta_gradient


def make(method: Method, soft_loss: SoftLoss) -> Callable[[Problem], Run]:
    def prepare(problem: Problem) -> Run:
        given = torch_problem(problem, soft_loss)
        adam = AdamConfig(lr=LEARNING_RATE, betas=BETAS, eps=EPS, eps_root=EPS_ROOT)

        def run(num_inner_steps: int = problem.num_inner_steps) -> Gradient:
            result = compute_meta_gradient(
                given.inner_loss,
                given.outer_loss,
                given.start_params,
                given.synthetic,
                adam,
                num_inner_steps=num_inner_steps,
                method=method,
            )
            return Gradient(result.outer_loss.item(), result.synthetic["probabilities"].numpy())

        run(1)  # what torch does once only: loading kernels, filling caches
        return run

    return prepare
