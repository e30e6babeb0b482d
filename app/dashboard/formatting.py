"""Numbers, sizes and times as people read them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime

MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86400
# Numbers from 1980 to 2100 are times; smaller ones may count anything.
OLDEST_S, NEWEST_S = 315_532_800, 4_102_444_800
SPANS = ((HOUR_S, MINUTE_S, "min", 1, "s"), (DAY_S, HOUR_S, "h", MINUTE_S, "min"), (math.inf, DAY_S, "d", HOUR_S, "h"))
_UNITS = ("bytes", "kB", "MB", "GB", "TB")
DASH = "\N{EN DASH}"


def count(value: float | None) -> str:
    """Return a whole number with separators: ``1,234``."""
    return DASH if value is None else f"{value:,.0f}"


def figure(value: float | None, digits: int = 4) -> str:
    """Return a measured number with so many significant digits."""
    if value is None:
        return DASH
    return f"{value:,.0f}" if abs(value) >= 10**digits else f"{value:.{digits}g}"


def percent(share: float | None, digits: int = 1) -> str:
    return DASH if share is None else f"{100 * share:.{digits}f} %"


def size(num_bytes: float | None) -> str:
    """Return a size in powers of 1000: ``1.3 MB``."""
    if num_bytes is None:
        return DASH
    value, unit = float(num_bytes), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.0f} {_UNITS[unit]}" if unit == 0 or value >= 99.5 else f"{value:.3g} {_UNITS[unit]}"


def duration(seconds: float | None) -> str:
    """Return a time span: ``80 ms``, ``4.2 s``, ``3 min 20 s``, ``2 h 5 min``."""
    if seconds is None:
        return DASH
    if seconds < 0.95:
        return f"{1000 * seconds:.0f} ms"
    if seconds < MINUTE_S - 0.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    whole = round(seconds)
    _, large_s, large, small_s, small = next(span for span in SPANS if whole < span[0])
    return f"{whole // large_s} {large} {whole % large_s // small_s} {small}"


def moment(at: datetime | None) -> str:
    """Return a time in UTC, to the second."""
    return DASH if at is None else at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def label_times(times: Sequence[float | str]) -> tuple[str, list[str]]:
    """Return a title and labels for times of a file: days, where they can be read as such, or the file's own numbers."""
    if all(isinstance(at, str) for at in times):
        return "Events over time", [str(at)[:10] for at in times]
    numbers = [float(at) for at in times]
    for unit, per_second in (("seconds", 1), ("milliseconds", 1000)):
        if all(OLDEST_S <= number / per_second <= NEWEST_S for number in numbers):
            days = [datetime.fromtimestamp(number / per_second, UTC).date().isoformat() for number in numbers]
            return f"Events over time, read as {unit} since 1970", days
    return "Events over time, in the file's own unit", [figure(number, 10) for number in numbers]


def machine_time(at: datetime) -> str:
    """Return a time for the attribute ``datetime``."""
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def visible(name: str) -> str:
    """Return a name of an item or word; one that would look like nothing, or like another one, is written as in Python."""
    return name if name.isprintable() and name.strip() else ascii(name)


def words(name: str) -> str:
    """Return a name of the API in words: ``awaiting upload``."""
    return name.replace("_", " ")


FILTERS = {
    "count": count,
    "figure": figure,
    "percent": percent,
    "size": size,
    "duration": duration,
    "moment": moment,
    "machine_time": machine_time,
    "visible": visible,
    "words": words,
}
