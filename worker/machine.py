"""What a machine is called in calibrations: the processor that computes, and how much of it."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def name_machine(device: torch.device, num_threads: int) -> str:
    """Return a name that machines of the same speed share."""
    if device.type == "cuda":
        import torch  # noqa: PLC0415  a process that got a device has it loaded

        return torch.cuda.get_device_name(device)[:200]
    return f"{_processor()}, {num_threads} {'thread' if num_threads == 1 else 'threads'}"[:200]


def _processor() -> str:
    """Return the processor's name as the kernel knows it, or its architecture."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines() if cpuinfo.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.machine()
