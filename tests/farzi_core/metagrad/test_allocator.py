"""Memory that is freed and needed again does not go through the system."""

from __future__ import annotations

import resource

import torch

from farzi_core.metagrad.allocator import freed_memory_kept

NUM_BLOCKS, BLOCK_BYTES, PAGE_BYTES = 24, 2 << 20, 4096


def faults_of_a_step() -> int:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [torch.zeros(BLOCK_BYTES, dtype=torch.uint8) for _ in range(NUM_BLOCKS)]
    del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def test_a_second_step_faults_hardly_any_page_in() -> None:
    with freed_memory_kept():
        faults_of_a_step()
        again = min(faults_of_a_step() for _ in range(3))
    assert again < NUM_BLOCKS * BLOCK_BYTES / PAGE_BYTES / 20
