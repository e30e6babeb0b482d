"""Several inner loops as one: losses of members that lie along a leading axis M of every parameter.

A sum of losses, each a function of its own member, has the members' gradients as its gradient, and no second derivative
between members; so the engine runs it as any other loss, and only the operations of the losses get wider.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from farzi_core.errors import ConfigError
from farzi_core.metagrad.guards import check_number
from farzi_core.metagrad.hvp import InnerLoss
from farzi_core.metagrad.reference import OuterLoss


def count_members(start_params: Mapping[str, Tensor]) -> int:
    """Return the length of the leading axis that all parameters share.

    Raises:
        ConfigError: they have none, or differ in its length.
    """
    shapes = {name: tuple(value.shape) for name, value in start_params.items()}
    lengths = {shape[0] if shape else 0 for shape in shapes.values()}
    if len(lengths) != 1 or 0 in lengths:
        raise ConfigError(
            f"ensemble=True needs one leading axis of the same length on every tensor of start_params; given {shapes}: "
            "stack the members' parameters, for example with torch.stack"
        )
    return lengths.pop()


def sum_of_members(inner_loss: InnerLoss) -> InnerLoss:
    """Return the sum of the members' inner losses; random numbers are drawn for each member."""

    def summed(params: dict[str, Tensor], synthetic: dict[str, Tensor], step: int) -> Tensor:
        def of_member(member: dict[str, Tensor]) -> Tensor:
            return check_number(inner_loss(member, dict(synthetic), step), "inner_loss")

        return torch.func.vmap(of_member, randomness="different")(params).sum()

    return summed


def mean_of_members(outer_loss: OuterLoss) -> OuterLoss:
    """Return the mean of the members' outer losses."""

    def mean(params: dict[str, Tensor]) -> Tensor:
        def of_member(member: dict[str, Tensor]) -> Tensor:
            return check_number(outer_loss(member), "outer_loss")

        return torch.func.vmap(of_member, randomness="different")(params).mean()

    return mean
