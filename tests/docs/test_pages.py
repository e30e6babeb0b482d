"""Pages are followed to the letter on small data: what a reader types works, in this order."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
import time
from pathlib import Path

import httpx

from tests.acceptance.conftest import ServiceSettings
from tests.docs.blocks import Block, blocks_of
from tests.docs.conftest import ReaderOf
from tests.services.processes import free_ports

FOLLOWED = (
    "README.md",
    "docs/quickstart.md",
    "docs/recipes/interactions.md",
    "docs/recipes/pytorch.md",
    "docs/recipes/recbole.md",
    "docs/recipes/text.md",
    "docs/webhooks.md",
)
ARTIFACTS = {"manifest.json", "report.html", "report.json", "sequences.jsonl", "synthetic.safetensors", "vocabulary.json"}


def to_run(page: str) -> list[Block]:
    return [block for block in blocks_of(page) if not block.not_run]


def names_in(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def test_quickstart(reader_of: ReaderOf, tmp_path: Path) -> None:
    told = reader_of((r"range\(400\)", "range(60)")).follow(to_run("docs/quickstart.md"))
    assert re.search(r"the next item is among the first five for \d+% of the users", told)
    assert "job.succeeded" in told
    assert names_in(tmp_path / "distilled") >= ARTIFACTS


def test_readme(reader_of: ReaderOf, tmp_path: Path) -> None:
    generator = random.Random(0)
    rows = (f"u{user},m{generator.randrange(30)},{minute}" for user in range(40) for minute in range(20))
    (tmp_path / "ratings.csv").write_text("\n".join(["user_id,movie_id,rated_at", *rows, ""]))
    told = reader_of().follow(to_run("README.md"))
    assert "job.succeeded" in told
    assert names_in(tmp_path / "distilled") >= ARTIFACTS


def test_recipes_of_interactions(reader_of: ReaderOf, tmp_path: Path) -> None:
    """One table, one job, and every way to go on from there."""
    blocks = [block for name in ("interactions", "pytorch", "recbole") for block in to_run(f"docs/recipes/{name}.md")]
    told = reader_of((r"range\(1, 301\)", "range(1, 21)")).follow(blocks)
    assert re.search(r"sequences +4,037\b", told)
    assert re.search(r"events +328,521\b", told)
    assert re.search(r"16 sequences, for example( [A-Z]{3}){8}\n", told)
    assert re.search(r"NDCG@10 on the test 0\.\d{3}, after 20 steps", told)
    train, valid, test = (
        (tmp_path / f"flights/flights.{name}.inter").read_text().splitlines() for name in ("train", "valid", "test")
    )
    assert len(train) == 1 + 8 * 4 * (12 - 1)
    assert len(valid) == len(test) > 3_500
    _, history, item = test[1].split("\t")
    assert len(history.split(" ")) <= 20
    assert re.fullmatch("[A-Z]{3}", item)


def test_recipe_of_text(reader_of: ReaderOf, tmp_path: Path) -> None:
    told = reader_of().follow(to_run("docs/recipes/text.md"))
    assert re.search(r"vocabulary +500\b", told)
    assert re.search(r"transformer_lm \{'full_data': [\d.]+, 'distilled': [\d.]+, 'random': [\d.]+\}", told)
    assert names_in(tmp_path / "distilled") >= ARTIFACTS


def test_webhooks(reader_of: ReaderOf, tmp_path: Path, service: ServiceSettings) -> None:
    """The receiver of the page takes what is signed as the page says, and refuses everything else."""
    create, receive, sign = to_run("docs/webhooks.md")
    secret = reader_of().follow([create]).strip()
    assert secret.startswith("whsec_")
    (port,) = free_ports(1)
    program = tmp_path / "receiver.py"
    program.write_text(receive.text.replace("8443", str(port)))
    event = {"type": "job.succeeded", "timestamp": "2026-11-26T00:00:00Z", "data": {"object": "job", "id": "job_1"}}
    body, at = json.dumps(event), str(int(time.time()))
    variables = {"WEBHOOK_SECRET": secret, "WEBHOOK_ID": "msg_1", "WEBHOOK_TIMESTAMP": at, "BODY": body}
    reader = reader_of()
    reader.variables = {**reader.variables, **variables}
    signature = f"v1,{reader.follow([sign]).strip()}"
    receiver = subprocess.Popen(
        [sys.executable, "-u", str(program)],
        env={"WEBHOOK_SECRET": secret},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        headers = {"webhook-id": "msg_1", "webhook-timestamp": at}
        transport = httpx.HTTPTransport(retries=8)  # it may still be starting: connections are tried for a minute
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", transport=transport, timeout=60) as sender:
            refused = sender.post("/", content=body, headers={**headers, "webhook-signature": "v1,AAAA"})
            taken = sender.post("/", content=body, headers={**headers, "webhook-signature": signature})
        assert (refused.status_code, taken.status_code) == (400, 204)
        assert receiver.stdout is not None
        assert receiver.stdout.readline() == "job.succeeded job_1\n"
    finally:
        receiver.kill()
        receiver.communicate()
