"""A stack of tensors in pinned host memory, copied while the device computes.

Copies run on a stream of their own; the tensor that is popped next is on its way back before it is asked for. On a CPU there
is nothing to offload from, and the engine keeps tensors where they are. Tests run only this second case, and
``python -m bench.gpu`` the first.
"""

from __future__ import annotations

import torch
from torch import Tensor


class HostStack:
    """A :class:`~farzi_core.metagrad.states.Stack` for CUDA tensors of one shape.

    Cost: device memory for two tensors; pinned host memory for all.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._kept: list[tuple[Tensor, torch.cuda.Event]] = []
        self._coming: tuple[Tensor, torch.cuda.Event] | None = None

    def push(self, value: Tensor) -> None:
        host = torch.empty(value.shape, dtype=value.dtype, pin_memory=True)
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._stream):
            host.copy_(value, non_blocking=True)
            copied = self._stream.record_event()
        # The allocator must not hand the memory out again before the copy has read it.
        value.record_stream(self._stream)
        self._kept.append((host, copied))

    def pop(self) -> Tensor:
        value, arrived = self._coming or self._fetch()
        self._coming = self._fetch() if self._kept else None
        current = torch.cuda.current_stream(self._device)
        current.wait_event(arrived)
        value.record_stream(current)
        return value

    def _fetch(self) -> tuple[Tensor, torch.cuda.Event]:
        host, copied = self._kept.pop()
        with torch.cuda.stream(self._stream):
            self._stream.wait_event(copied)
            value = host.to(self._device, non_blocking=True)
            return value, self._stream.record_event()
