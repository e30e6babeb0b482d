"""Numbers, sizes and times as people read them."""

from __future__ import annotations

from datetime import UTC, datetime

MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86400
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
    """Return a time span: ``4.2 s``, ``3 min 20 s``, ``2 h 5 min``."""
    if seconds is None:
        return DASH
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < MINUTE_S:
        return f"{whole} s"
    if whole < HOUR_S:
        return f"{whole // MINUTE_S} min {whole % MINUTE_S} s"
    if whole < DAY_S:
        return f"{whole // HOUR_S} h {whole % HOUR_S // MINUTE_S} min"
    return f"{whole // DAY_S} d {whole % DAY_S // HOUR_S} h"


def moment(at: datetime | None) -> str:
    """Return a time in UTC, to the second."""
    return DASH if at is None else at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def machine_time(at: datetime) -> str:
    """Return a time for the attribute ``datetime``."""
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


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
    "words": words,
}
