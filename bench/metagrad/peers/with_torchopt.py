"""TorchOpt's functional Adam, unrolled: its documented way to differentiate through an optimiser."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torchopt

from bench.metagrad.contestants import Gradient, Run
from bench.metagrad.problem import BETAS, EPS, EPS_ROOT, LEARNING_RATE, Problem
from bench.metagrad.torch_losses import SoftLoss, torch_problem


def make(soft_loss: SoftLoss) -> Callable[[Problem], Run]:
    def prepare(problem: Problem) -> Run:
        given = torch_problem(problem, soft_loss)
        # The accelerated operator is left out: it was no faster on a CPU.
        adam = torchopt.adam(LEARNING_RATE, BETAS, EPS, eps_root=EPS_ROOT)

        def run(num_inner_steps: int = problem.num_inner_steps) -> Gradient:
            params = {name: value.clone().requires_grad_() for name, value in given.start_params.items()}
            synthetic = {name: value.clone().requires_grad_() for name, value in given.synthetic.items()}
            state = adam.init(params)
            for step in range(num_inner_steps):
                loss = given.inner_loss(params, synthetic, step)
                grads = torch.autograd.grad(loss, list(params.values()), create_graph=True)
                updates, state = adam.update(dict(zip(params, grads, strict=True)), state, inplace=False)
                params = torchopt.apply_updates(params, updates, inplace=False)
            outer_loss = given.outer_loss(params)
            (gradient,) = torch.autograd.grad(outer_loss, [synthetic["probabilities"]])
            return Gradient(outer_loss.item(), gradient.numpy())

        run(1)  # what torch does once only: loading kernels, filling caches
        return run

    return prepare
