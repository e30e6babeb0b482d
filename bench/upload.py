"""``python -m bench.upload``: a gigabyte into the service: throughput, and what it does to the memory of the API.

Every way is compared with boto3 copying the same file into the same S3 server in the same round. Writes every measurement to
``bench/results/upload.json`` and the page ``docs/benchmarks-upload.md``; ``--document`` writes the page alone.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import httpx
from botocore.config import Config
from jinja2 import Environment, StrictUndefined

from app.datasets.models import Dataset
from app.db import make_engine, make_session_factory
from app.settings import Settings
from app.storage import make_object_store
from farzi_client import Client
from tests.services.object_store import running_object_store
from tests.services.processes import free_ports, running_server

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "bench" / "results" / "upload.json"
DOCUMENT = ROOT / "docs" / "benchmarks-upload.md"
TEMPLATE = Path(__file__).with_name("upload.md.jinja")

ROUNDS = 3
SIZE_BYTES = 10**9
WARM_UP_BYTES = 32 << 20
GROWTH_TARGET_BYTES = 64 << 20
SAMPLE_INTERVAL_S = 0.02
API_KEY = "fz_benchmark-0123456789-0123456789-0123456789"
COPY = "boto3"
PARTS, WHOLE = 1, 2**62
NAMES = {
    COPY: "boto3 `upload_file` into the S3 server, without the service",
    "s3 whole": "one PUT through the API into S3",
    "s3 parts": "parts through the API into S3",
    "s3 presigned": "parts into S3 directly, by presigned URLs",
    "directory whole": "one PUT through the API into a directory",
    "directory parts": "parts through the API into a directory",
}


@dataclass(frozen=True)
class Server:
    """A running API and what it stands on."""

    url: str
    pid: int
    settings: Settings


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.upload", description=__doc__)
    parser.add_argument("--document", action="store_true", help="write the page anew from the committed figures")
    parser.add_argument("--directory", type=Path, help="where files of the benchmark go; default: the system's")
    arguments = parser.parse_args()
    if not arguments.document:
        with tempfile.TemporaryDirectory(dir=arguments.directory) as directory:
            results = measure(Path(directory), SIZE_BYTES)
        RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    DOCUMENT.write_text(render(read_results()), encoding="utf-8")


def measure(directory: Path, size_bytes: int, rounds: int = ROUNDS) -> dict[str, Any]:
    """Return every measurement; contestants take turns within a round."""
    large, small = directory / "large.csv", directory / "small.csv"
    _write_random(large, size_bytes)
    _write_random(small, min(WARM_UP_BYTES, size_bytes))
    with ExitStack() as stack:
        (directory / "weed").mkdir()
        s3 = stack.enter_context(running_object_store(directory / "weed"))
        public = {**s3, "s3_public_endpoint_url": s3["s3_endpoint_url"]}
        servers = {
            name: stack.enter_context(_running_api(directory / name, fields))
            for name, fields in (("s3", s3), ("s3-public", public), ("directory", {}))
        }
        ways: dict[str, Callable[[Path], dict[str, float]]] = {
            COPY: lambda path: _copy(path, s3),
            "s3 whole": lambda path: _upload(path, servers["s3"], WHOLE),
            "s3 parts": lambda path: _upload(path, servers["s3"], PARTS),
            "s3 presigned": lambda path: _upload(path, servers["s3-public"], PARTS),
            "directory whole": lambda path: _upload(path, servers["directory"], WHOLE),
            "directory parts": lambda path: _upload(path, servers["directory"], PARTS),
        }
        for way in ways.values():
            way(small)
        measurements = [{"way": name, "round": turn, **way(large)} for turn in range(rounds) for name, way in ways.items()]
    return {
        "measured_at": datetime.now(UTC).date().isoformat(),
        "machine": {
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "load_average": round(os.getloadavg()[1], 1),
        },
        "size_bytes": size_bytes,
        "measurements": measurements,
    }


def read_results() -> dict[str, Any]:
    """Return the committed measurements."""
    results: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8"))
    return results


def render(results: dict[str, Any]) -> str:
    """Return the page as Markdown."""
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True, autoescape=False)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(
        results, rows=table(results), rounds=ROUNDS, target=f"{GROWTH_TARGET_BYTES >> 20} MiB", warm_up=WARM_UP_BYTES >> 20
    )


def table(results: dict[str, Any]) -> list[dict[str, str]]:
    """Return the lines of the page's table: medians, and ratios to the copy of the same round."""
    by_way: dict[str, list[dict[str, Any]]] = {name: [] for name in NAMES}
    for item in results["measurements"]:
        by_way[item["way"]].append(item)
    return [_line(name, items, by_way[COPY], results["size_bytes"]) for name, items in by_way.items()]


def _line(name: str, items: list[dict[str, Any]], copies: list[dict[str, Any]], size_bytes: int) -> dict[str, str]:
    seconds = [item["wall_s"] for item in items]
    ratios = [item["wall_s"] / copy["wall_s"] for item, copy in zip(items, copies, strict=True)]
    growth = max((item["growth_bytes"] for item in items), default=0)
    is_ours = name != COPY
    return {
        "way": NAMES[name],
        "rate": f"{size_bytes / statistics.median(seconds) / 1e6:,.0f}",
        "seconds": f"{statistics.median(seconds):.1f} ({min(seconds):.1f} to {max(seconds):.1f})",
        "ratio": f"{statistics.median(ratios):.2f}",
        "growth": f"{growth / 2**20:.0f} MiB" if is_ours else "",
        "verdict": ("met" if growth < GROWTH_TARGET_BYTES else "missed") if is_ours else "",
    }


def _copy(path: Path, s3: dict[str, str]) -> dict[str, float]:
    client = boto3.client(
        "s3",
        endpoint_url=s3["s3_endpoint_url"],
        aws_access_key_id=s3["s3_access_key_id"],
        aws_secret_access_key=s3["s3_secret_access_key"],
        region_name=s3["s3_region"],
        config=Config(request_checksum_calculation="when_required", response_checksum_validation="when_required"),
    )
    began_at = time.perf_counter()
    client.upload_file(str(path), s3["s3_bucket"], "benchmark/copy")
    wall_s = time.perf_counter() - began_at
    client.delete_object(Bucket=s3["s3_bucket"], Key="benchmark/copy")
    client.close()
    return {"wall_s": wall_s, "growth_bytes": 0}


def _upload(path: Path, server: Server, parts_from_bytes: int) -> dict[str, float]:
    """Upload with the client, as its user does: it reads the file once for the digests, and once to send it."""
    with Client(API_KEY, base_url=server.url, timeout_s=300.0) as client:
        before = _resident_bytes(server.pid)
        began_at = time.perf_counter()
        with _peak_of(server.pid) as peak:
            dataset = client.datasets.upload(path, format="csv", parts_from_bytes=parts_from_bytes)
        wall_s = time.perf_counter() - began_at
    assert dataset.size_bytes == path.stat().st_size
    _forget_content(server.settings, dataset.id)
    return {"wall_s": wall_s, "growth_bytes": peak[0] - before}


def _forget_content(settings: Settings, dataset_id: str) -> None:
    """Make room; nothing validates here, so the service would not delete a data set whose validation waits."""
    engine, store = make_engine(settings), make_object_store(settings)
    with make_session_factory(engine)() as session:
        key = session.get_one(Dataset, dataset_id).content_key
    assert key is not None
    store.delete(key)
    store.close()
    engine.dispose()


@contextmanager
def _running_api(directory: Path, fields: dict[str, str]) -> Iterator[Server]:
    """Start the API alone: no supervisor, so that no validation takes part."""
    directory.mkdir()
    given = {"data_dir": str(directory), "bootstrap_api_key": API_KEY, "log_level": "warning", **fields}
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "uvicorn", "app.main:app", "--port", str(port), "--no-access-log"]
    environment = {f"FARZI_{name.upper()}": value for name, value in given.items()}
    with running_server(command, directory / "api.log", lambda: _answers(url), environment=environment) as process:
        yield Server(url, process.pid, Settings.model_validate(given))


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", timeout=1.0).status_code == 200
    except httpx.HTTPError:
        return False


@contextmanager
def _peak_of(pid: int) -> Iterator[list[int]]:
    """Sample the resident memory of a process; the list holds the most that was seen."""
    peak, done = [_resident_bytes(pid)], threading.Event()

    def watch() -> None:
        while not done.wait(SAMPLE_INTERVAL_S):
            peak[0] = max(peak[0], _resident_bytes(pid))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()


def _resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _write_random(path: Path, size_bytes: int) -> None:
    """Bytes that nothing on the way can make smaller."""
    with path.open("wb") as file:
        while size_bytes:
            block = os.urandom(min(size_bytes, 1 << 20))
            file.write(block)
            size_bytes -= len(block)


if __name__ == "__main__":
    main()
