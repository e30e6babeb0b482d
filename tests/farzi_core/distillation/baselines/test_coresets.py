from __future__ import annotations

import pytest
import torch

from farzi_core.data.batches import PADDING_ID
from farzi_core.distillation.baselines import pick_head_sequences, pick_random_sequences, pick_sequences_of_size
from farzi_core.distillation.setting import Setting, prepare_setting
from tests.farzi_core.markov import interactions, make_dataset, text, tiny_spec


def setting_of(chains: list[list[int]], seed: int = 0) -> Setting:
    spec = tiny_spec(seed=seed, synthetic={"num_sequences": 2, "sequence_length": 4})
    return prepare_setting(make_dataset(chains, 12), spec)


def counted(first: int, length: int) -> list[int]:
    """A sequence that shows by its events where it is from; its last two events are held out."""
    return [first] * length + [10, 11]


def test_head_picks_the_longest() -> None:
    setting = setting_of([counted(0, 5), counted(1, 9), counted(2, 3), counted(3, 8)])
    windows = pick_head_sequences(setting, 2, 10)
    assert windows.tolist() == [[1] * 9, [PADDING_ID, *[3] * 8]]
    assert pick_head_sequences(setting, 2, 4).tolist() == [[1] * 4, [3] * 4]


def test_random_does_not_pick_the_longest_alone() -> None:
    chains = [counted(i, 4 + i) for i in range(8)]
    firsts = {int(row[-1]) for seed in range(10) for row in pick_random_sequences(setting_of(chains, seed), 2, 4)}
    assert firsts - {6, 7}


def test_equally_long_sequences_come_in_an_order_of_the_seed() -> None:
    chains = [counted(i, 6) for i in range(8)]
    picks = [tuple(pick_head_sequences(setting_of(chains, seed), 3, 4)[:, -1].tolist()) for seed in range(6)]
    assert len(set(picks)) > 1
    assert picks[0] == tuple(pick_head_sequences(setting_of(chains), 3, 4)[:, -1].tolist())
    assert all(len(set(pick)) == 3 for pick in picks)


def test_head_uses_sequences_again_when_there_are_too_few() -> None:
    chains = [counted(0, 5), counted(1, 9)]
    assert pick_head_sequences(setting_of(chains), 4, 4)[:, -1].tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize("make", [interactions, text])
def test_equal_bytes_are_whole_sequences_that_fit(make: object) -> None:
    dataset = interactions() if make is interactions else text()
    spec = tiny_spec(dataset.task, student={"architecture": "sasrec" if make is interactions else "transformer_lm"})
    setting = prepare_setting(dataset, spec)
    train = setting.split.train
    originals = [train.sequence(i).tolist() for i in range(train.num_sequences)]
    longest = int(train.lengths.max())
    for size_bytes in (200, 1000):
        kept = pick_sequences_of_size(setting, size_bytes)
        assert size_bytes - 4 * longest < 4 * kept.num_events <= size_bytes
        assert all(kept.sequence(i).tolist() in originals for i in range(kept.num_sequences))


def test_head_takes_whole_sequences_of_equal_bytes_longest_first() -> None:
    setting = setting_of([counted(0, 5), counted(1, 9), [2], counted(3, 8), counted(4, 5)])
    for size_bytes, owners in ((4 * 9, [1]), (4 * 17, [1, 3]), (4 * 21, [1, 3]), (10**9, [0, 1, 3, 4])):
        kept = pick_sequences_of_size(setting, size_bytes, longest=True)
        assert sorted(int(kept.sequence(i)[0]) for i in range(kept.num_sequences)) == owners


def test_equal_bytes_end_at_all_sequences_and_begin_with_one() -> None:
    setting = setting_of([counted(0, 5), counted(1, 9), [2], counted(3, 8)])
    kept = pick_sequences_of_size(setting, 10**9)
    assert sorted({int(kept.sequence(i)[0]) for i in range(kept.num_sequences)}) == [0, 1, 3]  # one event teaches nothing
    assert pick_sequences_of_size(setting, 4).num_sequences == 1


def test_equal_bytes_are_a_random_choice() -> None:
    chains = [counted(i, 6) for i in range(8)]
    kept = [pick_sequences_of_size(setting_of(chains, seed), 4 * 6 * 3) for seed in range(6)]
    assert {dataset.num_sequences for dataset in kept} == {3}
    assert len({tuple(dataset.events.tolist()) for dataset in kept}) > 1
    assert torch.equal(torch.tensor(kept[0].events), torch.tensor(pick_sequences_of_size(setting_of(chains), 72).events))
