"""Users who go on while the service is being broken, and what became of everything they were promised."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.chaos.cluster import Cluster
from tests.chaos.insistent_client import InsistentClient
from tests.chaos.outcome import Outcome
from tests.chaos.workload import Workload
from tests.worker.test_validation import GOOD

OUTER_STEPS = 20


class Users:
    """Threads of one client; each submits, uploads, follows, and begins again."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.client = InsistentClient(cluster)
        self.dataset_id = self.client.upload("before")
        self.reference = self.client.submit(self.dataset_id, "undisturbed", outer_steps=OUTER_STEPS)
        self.client.wait_for_end(self.reference)

    @contextmanager
    def at_work(self, count: int, *, upload: bytes = GOOD, in_parts: bytes | None = None) -> Iterator[None]:
        """Let ``count`` users work until the block ends; then each finishes what it has begun.

        Args:
            count: how many.
            upload: what they upload again and again.
            in_parts: what they upload in parts as well, straight to the object store.
        """
        over = threading.Event()
        names = [f"user-{number}" for number in range(count)]
        threads = [threading.Thread(target=self._work, args=(name, over, upload, in_parts), name=name) for name in names]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            over.set()
            for thread in threads:
                thread.join()

    def examine(self, outcome: Outcome) -> Outcome:
        work = Workload(self.cluster)
        distillations = [job_id for ids in self.client.answers.values() for job_id in set(ids)]
        work.accepted += distillations
        work.wait_until_ended(self._all_jobs())
        self.client.close()
        outcome.counts.update(self.client.counts)
        outcome.violations += self.client.violations
        answers = self.client.answers
        return work.examine(outcome, answers=answers, reference=self.reference, equals_reference=distillations)

    def _all_jobs(self) -> list[str]:
        """Validations too, which no client knows by name."""
        with self.cluster.engine.connect() as connection:
            return [row[0] for row in connection.exec_driver_sql("SELECT id FROM jobs")]

    def _work(self, name: str, over: threading.Event, upload: bytes, in_parts: bytes | None) -> None:
        number = 0
        try:
            while not over.is_set():
                number += 1
                job_id = self.client.submit(self.dataset_id, f"{name}-{number}", outer_steps=OUTER_STEPS)
                self.client.upload(f"{name}-data-{number}", upload)
                if in_parts is not None:
                    self.client.upload_in_parts(f"{name}-parts-{number}", in_parts)
                self.client.follow(job_id)
        except (AssertionError, KeyError) as error:
            self.client.violate(f"{name}: {error!r}")
