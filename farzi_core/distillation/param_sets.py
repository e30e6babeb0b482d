"""Several sets of parameters of one student as a checkpoint, and back."""

from __future__ import annotations

from collections.abc import Sequence

from farzi_core.distillation.checkpoint import Checkpoint
from farzi_core.students import Params


def pack_param_sets(sets: Sequence[Params]) -> Checkpoint:
    """Return parameter sets as a checkpoint."""
    tensors = {f"{i}.{name}": tensor for i, params in enumerate(sets) for name, tensor in params.items()}
    return Checkpoint(tensors, {"count": len(sets)})


def unpack_param_sets(checkpoint: Checkpoint, like: Params) -> list[Params]:
    """Return the sets that :func:`pack_param_sets` packed; ``like`` gives names, order and device."""
    return [
        {name: checkpoint.tensors[f"{i}.{name}"].to(tensor.device) for name, tensor in like.items()}
        for i in range(checkpoint.values["count"])
    ]
