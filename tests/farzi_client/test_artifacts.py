"""Downloads: what arrives is what was published, or nothing."""

from __future__ import annotations

import base64
import hashlib
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from farzi_client import ApiError, Client, ConnectionFailed, FarziClientError, IntegrityError, UnexpectedAnswer
from tests.farzi_client.conftest import Connect
from tests.farzi_client.unruly_server import Handler, UnrulyServer, hang_up, problem, raw, reply, unruly_server

LIST = "/v1/jobs/job_1/artifacts"
CONTENT = b"synthetic" * 1000


def listing(*names: str, content: bytes = CONTENT) -> dict[str, object]:
    digest = hashlib.sha256(content).hexdigest()
    items = [{"name": name, "media_type": "text/plain", "size_bytes": len(content), "sha256": digest} for name in names]
    return {"data": items, "has_more": False, "next_cursor": None}


def test_every_artifact_arrives(server: UnrulyServer, client: Client, tmp_path: Path) -> None:
    server.on("GET", LIST, reply(listing("a.json", "b.json")))
    server.on("GET", f"{LIST}/a.json", raw(CONTENT))
    server.on("GET", f"{LIST}/b.json", raw(CONTENT))
    seen: list[tuple[str, int, int]] = []
    paths = client.artifacts.download_all(
        "job_1",
        tmp_path / "new" / "folder",
        on_progress=lambda artifact, done, total: seen.append((artifact.name, done, total)),
    )
    assert [path.name for path in paths] == ["a.json", "b.json"]
    assert all(path.read_bytes() == CONTENT for path in paths)
    assert seen[-1] == ("b.json", len(CONTENT), len(CONTENT))


def test_wrong_bytes_are_not_kept(server: UnrulyServer, client: Client, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("from before")
    server.on("GET", LIST, reply(listing("a.json")))
    server.on("GET", f"{LIST}/a.json", raw(CONTENT[::-1]))
    with pytest.raises(IntegrityError, match="nothing was kept"):
        client.artifacts.download("job_1", "a.json", tmp_path)
    assert os.listdir(tmp_path) == ["a.json"]
    assert (tmp_path / "a.json").read_text() == "from before"


def part(begin: int, end: int | None = None, *, claim: int | None = None) -> Callable[[Handler], None]:
    """Answer with a range of the content; with ``claim``, promise more than comes."""
    content = CONTENT[begin:end]
    last = begin + (len(content) if claim is None else claim) - 1
    return raw(content, status=206, headers={"Content-Range": f"bytes {begin}-{last}/{len(CONTENT)}"}, claim=claim)


def test_a_truncated_download_starts_again_where_ranges_are_not_known(
    server: UnrulyServer, client: Client, tmp_path: Path
) -> None:
    server.on("GET", LIST, reply(listing("a.json")))
    server.on("GET", f"{LIST}/a.json", raw(CONTENT[:500], claim=len(CONTENT)), raw(CONTENT))
    assert client.artifacts.download("job_1", "a.json", tmp_path).read_bytes() == CONTENT


def test_a_truncated_download_goes_on_at_its_last_byte(server: UnrulyServer, client: Client, tmp_path: Path) -> None:
    server.on("GET", LIST, reply(listing("a.json")))
    cut = raw(CONTENT[:500], claim=len(CONTENT), headers={"ETag": '"one"'})
    server.on("GET", f"{LIST}/a.json", cut, part(500, 800, claim=8500), part(800))
    seen: list[tuple[int, int]] = []
    path = client.artifacts.download("job_1", "a.json", tmp_path, on_progress=lambda done, total: seen.append((done, total)))
    assert path.read_bytes() == CONTENT
    asked = [(item.headers.get("Range"), item.headers.get("If-Range")) for item in server.requests("GET", f"{LIST}/a.json")]
    assert asked == [(None, None), ("bytes=500-", '"one"'), ("bytes=800-", None)]
    assert seen == sorted(seen)
    assert {total for _, total in seen} == {len(CONTENT)}


def test_retries_are_counted_from_the_last_byte_that_arrived(server: UnrulyServer, connected: Connect, tmp_path: Path) -> None:
    server.on("GET", LIST, reply(listing("a.json")))
    pieces = [part(begin, begin + 1000, claim=9000 - begin) for begin in range(1000, 8000, 1000)]
    server.on("GET", f"{LIST}/a.json", raw(CONTENT[:1000], claim=9000), *pieces, part(8000))
    assert connected(max_retries=0).artifacts.download("job_1", "a.json", tmp_path).read_bytes() == CONTENT


def test_what_a_broken_download_leaves_is_gone_on_with_by_the_next(
    server: UnrulyServer, connected: Connect, tmp_path: Path
) -> None:
    client = connected(max_retries=0)
    server.on("GET", LIST, reply(listing("a.json")))
    server.on("GET", f"{LIST}/a.json", raw(CONTENT[:500], claim=len(CONTENT)), hang_up, part(500))
    with pytest.raises(ConnectionFailed):
        client.artifacts.download("job_1", "a.json", tmp_path)
    assert not (tmp_path / "a.json").exists()
    assert client.artifacts.download("job_1", "a.json", tmp_path).read_bytes() == CONTENT
    assert os.listdir(tmp_path) == ["a.json"]


@pytest.mark.parametrize("left", [b"other", b"x" * (len(CONTENT) + 1), b"x" * len(CONTENT)], ids=["other", "longer", "as long"])
def test_what_was_left_of_another_file_is_thrown_away(
    server: UnrulyServer, client: Client, tmp_path: Path, left: bytes
) -> None:
    server.on("GET", LIST, reply(listing("a.json")))
    (tmp_path / f".a.json.{hashlib.sha256(CONTENT).hexdigest()[:16]}.part").write_bytes(left)

    def answer(handler: Handler) -> None:
        begin = int(handler.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        if begin >= len(CONTENT):
            problem(416, "range_not_satisfiable")(handler)
        else:
            (part(begin) if begin else raw(CONTENT))(handler)

    server.on("GET", f"{LIST}/a.json", answer)
    assert client.artifacts.download("job_1", "a.json", tmp_path).read_bytes() == CONTENT
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_range_that_was_not_asked_for_is_refused(server: UnrulyServer, client: Client, tmp_path: Path) -> None:
    server.on("GET", LIST, reply(listing("a.json")))
    server.on("GET", f"{LIST}/a.json", raw(CONTENT[:500], claim=len(CONTENT)), part(499))
    with pytest.raises(UnexpectedAnswer, match="bytes from 500"):
        client.artifacts.download("job_1", "a.json", tmp_path)


def test_a_redirect_to_object_storage_is_followed_without_the_key(server: UnrulyServer, client: Client, tmp_path: Path) -> None:
    with unruly_server() as storage:
        storage.on("GET", "/bucket/a", raw(CONTENT))
        server.on("GET", LIST, reply(listing("a.json")))
        server.on("GET", f"{LIST}/a.json", raw(b"", status=307, headers={"Location": f"{storage.url}/bucket/a?signature=1"}))
        assert client.artifacts.download("job_1", "a.json", tmp_path).read_bytes() == CONTENT
        assert "Authorization" not in storage.received[0].headers
    assert server.received[0].headers["Authorization"] == "Bearer fz_test"


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "..", "a/b", "a\\b", ""])
def test_a_name_cannot_leave_the_directory(server: UnrulyServer, client: Client, tmp_path: Path, name: str) -> None:
    server.on("GET", LIST, reply(listing(name)))
    with pytest.raises(IntegrityError, match="not a file name"):
        client.artifacts.download_all("job_1", tmp_path / "inside")
    assert not (tmp_path / "inside").exists()


def test_an_unknown_artifact_names_those_there_are(server: UnrulyServer, client: Client, tmp_path: Path) -> None:
    server.on("GET", LIST, reply(listing("a.json", "b.json")))
    with pytest.raises(FarziClientError, match=r"a\.json, b\.json"):
        client.artifacts.download("job_1", "c.json", tmp_path)


def test_an_unknown_job(server: UnrulyServer, client: Client, tmp_path: Path) -> None:
    with pytest.raises(ApiError) as caught:
        client.artifacts.download_all("job_1", tmp_path)
    assert caught.value.status == 404


def test_downloads_have_the_permissions_of_ordinary_files(server: UnrulyServer, client: Client, tmp_path: Path) -> None:
    server.on("GET", LIST, reply(listing("a.json")))
    server.on("GET", f"{LIST}/a.json", raw(CONTENT))
    before = os.umask(0o027)
    try:
        path = client.artifacts.download("job_1", "a.json", tmp_path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def drawn(content: bytes, digest_of: bytes | None = None) -> dict[str, str]:
    digest = hashlib.sha256(content if digest_of is None else digest_of).digest()
    return {"Repr-Digest": f"sha-256=:{base64.b64encode(digest).decode()}:"}


def test_what_is_drawn_is_checked_against_the_answers_own_digest(server: UnrulyServer, client: Client, tmp_path: Path) -> None:
    content = b'{"sequence_id": 0}\n' * 40
    seen: list[tuple[int, int]] = []
    server.on("GET", LIST, reply(listing("sequences.jsonl")))
    server.on("GET", f"{LIST}/sequences.jsonl", raw(content, headers=drawn(content)))
    path = client.artifacts.download(
        "job_1", "sequences.jsonl", tmp_path, draws=8, on_progress=lambda done, total: seen.append((done, total))
    )
    assert path == tmp_path / "sequences-8-draws.jsonl"
    assert path.read_bytes() == content
    assert seen[-1] == (len(content), len(content))
    assert server.received[-1].path.endswith("/sequences.jsonl?draws=8")


def test_drawn_sequences_that_arrive_wrong_are_not_kept(server: UnrulyServer, client: Client, tmp_path: Path) -> None:
    server.on("GET", LIST, reply(listing("sequences.jsonl")))
    server.on("GET", f"{LIST}/sequences.jsonl", raw(CONTENT, headers=drawn(CONTENT, b"other")))
    with pytest.raises(IntegrityError, match="nothing was kept"):
        client.artifacts.download("job_1", "sequences.jsonl", tmp_path, draws=8)
    assert os.listdir(tmp_path) == []


def test_published_draws_from_object_storage_have_the_published_digest(
    server: UnrulyServer, client: Client, tmp_path: Path
) -> None:
    server.on("GET", LIST, reply(listing("sequences.jsonl")))
    server.on("GET", f"{LIST}/sequences.jsonl", raw(CONTENT))
    assert client.artifacts.download("job_1", "sequences.jsonl", tmp_path, draws=4).read_bytes() == CONTENT


def test_a_published_file_cannot_promise_another_digest(server: UnrulyServer, client: Client, tmp_path: Path) -> None:
    server.on("GET", LIST, reply(listing("a.json")))
    server.on("GET", f"{LIST}/a.json", raw(b"other", headers=drawn(b"other")))
    with pytest.raises(IntegrityError):
        client.artifacts.download("job_1", "a.json", tmp_path)


@pytest.mark.parametrize(
    ("wish", "query", "saved"),
    [
        ({"format": "inter"}, "format=inter", "sequences.inter"),
        ({"format": "text", "draws": 2}, "format=text&draws=2", "sequences-2-draws.txt"),
        ({"seed": 0}, "seed=0", "sequences-seed-0.jsonl"),
        ({"format": "parquet", "draws": 3, "seed": 2**64 - 1}, f"format=parquet&draws=3&seed={2**64 - 1}", None),
    ],
)
def test_wishes_are_sent_and_name_the_file(
    server: UnrulyServer, client: Client, tmp_path: Path, wish: dict[str, Any], query: str, saved: str | None
) -> None:
    content = b"made for you\n"
    server.on("GET", LIST, reply(listing("sequences.jsonl")))
    server.on("GET", f"{LIST}/sequences.jsonl", raw(content, headers=drawn(content)))
    path = client.artifacts.download("job_1", "sequences.jsonl", tmp_path, **wish)
    assert path.name == (saved or f"sequences-3-draws-seed-{2**64 - 1}.parquet")
    assert path.read_bytes() == content
    assert server.received[-1].path.endswith(f"/sequences.jsonl?{query}")


def test_a_format_that_is_published_has_that_files_digest(server: UnrulyServer, client: Client, tmp_path: Path) -> None:
    listed: Any = listing("sequences.jsonl", content=b"lines")
    listed["data"] += listing("sequences.parquet")["data"]
    server.on("GET", LIST, reply(listed))
    server.on("GET", f"{LIST}/sequences.jsonl", raw(CONTENT))
    assert client.artifacts.download("job_1", "sequences.jsonl", tmp_path, format="parquet").read_bytes() == CONTENT
    server.on("GET", f"{LIST}/sequences.jsonl", raw(b"lines"))
    with pytest.raises(IntegrityError):
        client.artifacts.download("job_1", "sequences.jsonl", tmp_path, format="parquet")
