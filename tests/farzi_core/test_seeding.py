from __future__ import annotations

import torch

from farzi_core.seeding import derive_generator, derive_seed


def test_purposes_are_told_apart() -> None:
    purposes: list[tuple[str | int, ...]] = [(), (0,), ("0",), (0, 0), ("a",), ("a", 1), ("a", "1"), (1, "a"), ("b",)]
    seeds = [derive_seed(seed, *purpose) for seed in (0, 1) for purpose in purposes]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_a_generator_is_a_function_of_its_purpose() -> None:
    assert torch.equal(
        torch.rand(3, generator=derive_generator(5, "x", 2)), torch.rand(3, generator=derive_generator(5, "x", 2))
    )
