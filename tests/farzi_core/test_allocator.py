"""Memory that is freed and needed again does not go through the system."""

from __future__ import annotations

import resource
from collections.abc import Callable

import pytest
import torch

from farzi_core import allocator
from farzi_core.allocator import freed_memory_kept

MIB, PAGE_BYTES = 1 << 20, 4096


@pytest.fixture(autouse=True)
def no_other_users(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever run another test of this process has left open."""
    monkeypatch.setattr(allocator, "_num_users", 0)


def step_of(num_blocks: int, block_bytes: int) -> Callable[[], float]:
    """Return a step that needs blocks and frees them, and says which share of their pages it faulted in."""

    def step() -> float:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        blocks = [torch.zeros(block_bytes, dtype=torch.uint8) for _ in range(num_blocks)]
        del blocks
        return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / (num_blocks * block_bytes / PAGE_BYTES)

    return step


@pytest.mark.parametrize(("num_blocks", "block_mib"), [(24, 2), (3, 48)], ids=["small", "larger than glibc keeps"])
def test_a_second_step_faults_hardly_any_page_in(num_blocks: int, block_mib: int) -> None:
    step = step_of(num_blocks, block_mib * MIB)
    with freed_memory_kept():
        step()
        again = min(step() for _ in range(3))
    assert again < 0.05


def test_a_context_inside_another_leaves_the_memory_to_it() -> None:
    step = step_of(3, 48 * MIB)
    with freed_memory_kept():
        step()
        with freed_memory_kept():
            step()
        again = min(step() for _ in range(3))
    assert again < 0.05


def test_afterwards_memory_goes_back() -> None:
    step = step_of(3, 48 * MIB)
    with freed_memory_kept():
        step()
    assert min(step() for _ in range(3)) > 0.5


def test_memory_goes_back_after_an_error() -> None:
    step = step_of(3, 48 * MIB)
    with pytest.raises(ValueError, match="inside"), freed_memory_kept():
        raise ValueError("inside")
    step()
    assert min(step() for _ in range(3)) > 0.5
