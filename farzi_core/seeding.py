"""Random numbers without hidden state: every draw is a function of the spec's seed and of what it is for.

A step's generator is derived from ``(seed, "outer", step)`` and the like, so nothing random has to be carried through a
checkpoint, and a resumed run draws what an uninterrupted one draws. Draws are made on the CPU and moved, so that a device
changes rounding but never the randomness.
"""

from __future__ import annotations

import hashlib
import json

import torch


def derive_seed(seed: int, *purpose: str | int) -> int:
    """Return a 63-bit seed for one purpose, such as ``derive_seed(0, "outer", 12)``; distinct purposes are independent."""
    digest = hashlib.sha256(json.dumps([seed, *purpose]).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def derive_generator(seed: int, *purpose: str | int) -> torch.Generator:
    """Return a fresh CPU generator for one purpose; see :func:`derive_seed`."""
    return torch.Generator().manual_seed(derive_seed(seed, *purpose))
