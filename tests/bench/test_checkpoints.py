"""The benchmark of checkpoints reads what a run logs of them."""

from __future__ import annotations

import pytest

from bench.checkpoints import share_in


def test_the_share_is_that_of_one_run() -> None:
    said = "INFO run 12 says: INFO worker.pipelines: checkpoints took 0.250 % of the run's time\n"
    assert share_in(said) == 0.0025
    for log in ("nothing of it\n", 2 * said):
        with pytest.raises(ValueError, match="it has to be one"):
            share_in(log)
