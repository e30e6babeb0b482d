"""Memory that is freed and needed again does not go through the system."""

from __future__ import annotations

import resource
from collections import Counter
from pathlib import Path

import pytest
import torch

from farzi_core import allocator
from farzi_core.allocator import freed_memory_kept

MIB, PAGE_BYTES = 1 << 20, 4096
SMALL, LARGE = (24, 2 * MIB), (3, 48 * MIB)


@pytest.fixture(autouse=True)
def no_other_users(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever run another test of this process has left open."""
    monkeypatch.setattr(allocator, "_users", Counter())


def share_of_pages_faulted_in(blocks: tuple[int, int]) -> float:
    """Return the least of three steps that need blocks, number and bytes of each, and free them; one step goes before."""

    def step() -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        held = [torch.zeros(block_bytes, dtype=torch.uint8) for _ in range(num_blocks)]
        del held
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    num_blocks, block_bytes = blocks
    step()
    return min(step() for _ in range(3)) / (num_blocks * block_bytes / PAGE_BYTES)


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * PAGE_BYTES


@pytest.mark.parametrize(("blocks", "large_blocks"), [(SMALL, False), (SMALL, True), (LARGE, True)])
def test_a_second_step_faults_hardly_any_page_in(blocks: tuple[int, int], large_blocks: bool) -> None:
    with freed_memory_kept(large_blocks=large_blocks):
        assert share_of_pages_faulted_in(blocks) < 0.05


def test_the_end_of_a_context_inside_another_changes_nothing() -> None:
    with freed_memory_kept(large_blocks=True):
        share_of_pages_faulted_in(LARGE)
        held = resident_bytes()
        with freed_memory_kept():
            pass
        assert abs(held - resident_bytes()) < 20 * MIB
        assert share_of_pages_faulted_in(LARGE) < 0.05


@pytest.mark.parametrize("blocks", [SMALL, LARGE])
def test_at_the_end_free_memory_goes_back_even_after_an_error(blocks: tuple[int, int]) -> None:
    num_blocks, block_bytes = blocks
    held = 0

    def fail_inside() -> None:
        nonlocal held
        with freed_memory_kept(large_blocks=True):
            share_of_pages_faulted_in(blocks)
            held = resident_bytes()
            raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"):
        fail_inside()
    assert held - resident_bytes() > 0.8 * num_blocks * block_bytes
