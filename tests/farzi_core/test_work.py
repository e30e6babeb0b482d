from __future__ import annotations

from farzi_core.work import WorkMeter


def test_progress_rises_to_its_total() -> None:
    meter = WorkMeter({"a": 10.0, "b": 30.0}, unit=2.0)
    assert (meter.done, meter.total) == (0, 20)
    meter.add("a", 5.0)
    assert (meter.done, meter.total) == (2, 20)
    meter.add("a", 50.0)
    assert (meter.done, meter.total) == (5, 20)
    meter.add("b", 20.0)
    meter.finish("b")
    assert (meter.done, meter.total) == (15, 15)


def test_nearly_done_is_not_done() -> None:
    meter = WorkMeter({"a": 10.0}, unit=10.0)
    meter.add("a", 9.99)
    assert (meter.done, meter.total) == (0, 1)


def test_the_state_can_be_taken_up_again() -> None:
    meter = WorkMeter({"a": 10.0, "b": 30.0}, unit=2.0)
    meter.add("a", 4.0)
    values = meter.values()
    meter.add("b", 30.0)
    other = WorkMeter({"a": 10.0, "b": 30.0}, unit=2.0)
    other.restore(values)
    assert (other.done, other.total) == (2, 20)
