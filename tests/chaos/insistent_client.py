"""A client that repeats what was not answered, as the documents ask it to, and remembers every answer it got."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import httpx

from tests.chaos.cluster import Cluster
from tests.worker.running_service import SMALL_SPEC
from tests.worker.test_validation import COLUMNS, GOOD

BETWEEN_S = 0.15
PATIENCE_S = 240.0
PART_BYTES = 5 << 20
PROBLEM = "application/problem+json"
ENDED = {"succeeded", "failed", "cancelled"}


class InsistentClient:
    """One user of the API while it is being broken. What an answer may not be is collected in ``violations``."""

    def __init__(self, cluster: Cluster, *, read_timeout_s: float = 20.0) -> None:
        timeout = httpx.Timeout(read_timeout_s, connect=2.0)
        self.http, self._elsewhere = cluster.client(timeout=timeout), httpx.Client(timeout=timeout)
        self.answers: dict[str, list[str]] = defaultdict(list)
        self.counts: Counter[str] = Counter()
        self.violations: list[str] = []
        self._lock = threading.Lock()

    def insist(self, method: str, path: str, **request: Any) -> httpx.Response:
        """Repeat the request until the service answers it for good."""
        give_up_at = time.monotonic() + PATIENCE_S
        while True:
            try:
                answer = self.http.request(method, path, **request)
            except httpx.TransportError as error:
                self.count(f"requests cut: {type(error).__name__}")
            else:
                self._look_at(method, path, answer)
                if answer.status_code < 500 and answer.status_code not in {409, 429}:
                    return answer
                if answer.status_code == 409 and not answer.json()["retryable"]:
                    return answer
            assert time.monotonic() < give_up_at, f"{method} {path} was not answered within {PATIENCE_S} s"
            time.sleep(BETWEEN_S)

    def submit(self, dataset_id: str, key: str, *, outer_steps: int = 1) -> str:
        """Submit a distillation under an idempotency key, as often as it takes."""
        spec = {**SMALL_SPEC, "outer": {**SMALL_SPEC["outer"], "num_steps": outer_steps}}
        body = {"kind": "distillation", "dataset_id": dataset_id, "spec": spec}
        answer = self.insist("POST", "/v1/jobs", json=body, headers={"Idempotency-Key": key})
        assert answer.status_code == 202, answer.text
        job_id: str = answer.json()["id"]
        with self._lock:
            self.answers[key].append(job_id)
        return job_id

    def upload(self, key: str, content: bytes = GOOD) -> str:
        """Declare and send a data set; return its id once it is validated."""
        dataset_id = self._declare(key)
        digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
        headers = {"Content-Digest": f"sha-256=:{digest}:"}
        self.insist("PUT", f"/v1/datasets/{dataset_id}/content", content=content, headers=headers)
        self._expect_ready(dataset_id, content)
        self.count("uploads")
        return dataset_id

    def upload_in_parts(self, key: str, content: bytes) -> str:
        """The same in parts, each sent to the object store until it is there."""
        dataset_id, sha256 = self._declare(key), hashlib.sha256(content).hexdigest()
        body = {"size_bytes": len(content), "sha256": sha256, "part_size_bytes": PART_BYTES}
        headers = {"Idempotency-Key": f"{key}-upload"}
        begun = self.insist("POST", f"/v1/datasets/{dataset_id}/uploads", json=body, headers=headers).json()
        path = f"/v1/datasets/{dataset_id}/uploads/{begun['id']}"
        give_up_at = time.monotonic() + PATIENCE_S
        while missing := self.insist("GET", path).json()["missing_parts"]:
            for part in missing:
                self._send_part(part, content)
            assert time.monotonic() < give_up_at, f"{path}: parts do not arrive"
        self.insist("POST", f"{path}/complete", headers={"Idempotency-Key": f"{key}-complete"})
        self._expect_ready(dataset_id, content)
        self.count("uploads in parts")
        return dataset_id

    def _declare(self, key: str) -> str:
        body = {"name": key, "task": "sequential_recommendation", "format": "csv", "columns": COLUMNS}
        declared = self.insist("POST", "/v1/datasets", json=body, headers={"Idempotency-Key": key}).json()
        dataset_id: str = declared["id"]
        return dataset_id

    def _send_part(self, part: dict[str, Any], content: bytes) -> None:
        """Send a part once, to the API or past it; whether it arrived is asked of the service."""
        url, offset = part["url"], part["offset_bytes"]
        http = self.http if url.startswith("/") else self._elsewhere
        try:
            answer = http.put(url, content=content[offset : offset + part["size_bytes"]], headers=part["headers"])
        except httpx.TransportError as error:
            self.count(f"parts cut: {type(error).__name__}")
        else:
            self.count(f"parts answered {answer.status_code}")

    def _expect_ready(self, dataset_id: str, content: bytes) -> None:
        dataset = self.poll(f"/v1/datasets/{dataset_id}", lambda found: found["status"] in {"ready", "invalid"})
        if dataset["status"] != "ready" or dataset["sha256"] != hashlib.sha256(content).hexdigest():
            self.violate(f"{dataset_id}: {dataset['status']} with SHA-256 {dataset['sha256']}")

    def poll(self, path: str, is_done: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        give_up_at = time.monotonic() + PATIENCE_S
        while True:
            found: dict[str, Any] = self.insist("GET", path).json()
            if is_done(found):
                return found
            assert time.monotonic() < give_up_at, f"{path} did not come to an end: {found}"
            time.sleep(BETWEEN_S)

    def wait_for_end(self, job_id: str) -> dict[str, Any]:
        return self.poll(f"/v1/jobs/{job_id}", lambda job: job["status"] in ENDED)

    def follow(self, job_id: str) -> list[str]:
        """Read the event stream to its end, going on after what was read whenever it breaks; return the types."""
        seen: list[tuple[int, str]] = []
        give_up_at = time.monotonic() + PATIENCE_S
        while not seen or not _is_last(seen[-1][1]):
            headers = {"Last-Event-ID": str(seen[-1][0])} if seen else {}
            try:
                with self.http.stream("GET", f"/v1/jobs/{job_id}/events/stream", headers=headers) as answer:
                    if answer.status_code == 200:
                        seen.extend(_events(answer.iter_lines()))
            except httpx.TransportError:
                self.count("streams cut")
            assert time.monotonic() < give_up_at, f"the stream of {job_id} did not end: {seen[-3:]}"
            time.sleep(BETWEEN_S)
        if [seq for seq, _ in seen] != list(range(1, len(seen) + 1)):
            self.violate(f"{job_id}: the stream gave events {[seq for seq, _ in seen]}")
        self.count("streams")
        return [kind for _, kind in seen]

    def count(self, what: str) -> None:
        with self._lock:
            self.counts[what] += 1

    def violate(self, sentence: str) -> None:
        with self._lock:
            self.violations.append(sentence)

    def close(self) -> None:
        self.http.close()
        self._elsewhere.close()

    def _look_at(self, method: str, path: str, answer: httpx.Response) -> None:
        if answer.status_code < 400:
            return
        self.count(f"answers {answer.status_code}")
        if answer.status_code >= 500 and answer.status_code != 503:
            self.violate(f"{method} {path} was answered {answer.status_code}: {answer.text[:300]}")
        if not answer.headers.get("content-type", "").startswith(PROBLEM):
            self.violate(f"{method} {path} was answered {answer.status_code} with {answer.headers.get('content-type')}")


def _events(lines: Iterator[str]) -> Iterator[tuple[int, str]]:
    for line in lines:
        if line.startswith("data: "):
            event = json.loads(line.removeprefix("data: "))
            yield event["seq"], event["type"]


def _is_last(event_type: str) -> bool:
    return event_type in {"job.succeeded", "job.failed", "job.cancelled"}
