"""Named parameters as one flat vector: Adam's arithmetic then costs a handful of operations, however many tensors there are."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from farzi_core.errors import ConfigError


class ParamLayout:
    """Where each named tensor lies in the flat vector (N,), in the order of the dictionary.

    Raises:
        ConfigError: no parameters, or parameters that are not floating point or differ in dtype or device.
    """

    def __init__(self, params: Mapping[str, Tensor]) -> None:
        if not params:
            raise ConfigError("start_params holds no tensors; give at least one parameter to train")
        kinds = {(value.dtype, value.device) for value in params.values()}
        if len(kinds) > 1:
            found = ", ".join(sorted(f"{dtype} on {device}" for dtype, device in kinds))
            raise ConfigError(f"start_params mixes {found}; convert all parameters to one dtype on one device")
        dtype, self.device = next(iter(kinds))
        if not dtype.is_floating_point:
            raise ConfigError(f"start_params are {dtype}; gradients need floating point, for example torch.float32")
        self.names = list(params)
        self._shapes = [value.shape for value in params.values()]
        self._sizes = [value.numel() for value in params.values()]

    def flatten(self, params: Mapping[str, Tensor]) -> Tensor:
        """Return a new flat vector with the values of ``params``."""
        return torch.cat([params[name].detach().reshape(-1) for name in self.names])

    def join(self, tensors: list[Tensor | None], like: Tensor) -> Tensor:
        """Return the flat vector of one tensor a parameter; None counts as zeros."""
        parts = [
            like.new_zeros(size) if tensor is None else tensor.reshape(-1)
            for tensor, size in zip(tensors, self._sizes, strict=True)
        ]
        return torch.cat(parts)

    def split(self, vector: Tensor) -> list[Tensor]:
        """Return views of ``vector`` in the parameters' shapes."""
        parts = torch.split(vector, self._sizes)
        return [part.view(shape) for part, shape in zip(parts, self._shapes, strict=True)]

    def name(self, vector: Tensor) -> dict[str, Tensor]:
        """Return copies of the parts of ``vector`` by name."""
        return {name: part.clone() for name, part in zip(self.names, self.split(vector), strict=True)}
