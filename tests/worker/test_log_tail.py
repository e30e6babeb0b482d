"""What the owner of a job sees of its run's last words."""

from __future__ import annotations

from worker.log_tail import clean_tail

TRACEBACK = """\
INFO worker.run: the run begins
ERROR worker.run: the run failed
Traceback (most recent call last):
  File "/srv/farzi/worker/run.py", line 50, in main
    return _run(services, writer, stop)
           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
psycopg.OperationalError: connection to server at "10.1.2.3", port 5432 failed

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/srv/farzi/app/jobs/progress.py", line 80, in _write
    session.execute(statement)
sqlalchemy.exc.OperationalError: (psycopg.OperationalError) postgresql+psycopg://farzi:secret@10.1.2.3/farzi is away
[SQL: SELECT jobs.id FROM jobs WHERE jobs.tenant_id = %(tenant)s]
[parameters: {'tenant': 'tenant_1'}]
(Background on this error at: https://sqlalche.me/e/20/e3q8)
"""


def test_exceptions_stay_without_the_way_to_them() -> None:
    assert clean_tail(TRACEBACK.splitlines()) == [
        "INFO worker.run: the run begins",
        "ERROR worker.run: the run failed",
        'psycopg.OperationalError: connection to server at "<address>", port 5432 failed',
        "sqlalchemy.exc.OperationalError: (psycopg.OperationalError) <url> is away",
    ]


def test_a_tail_that_begins_inside_a_traceback() -> None:
    lines = [
        '  File "/srv/x.py", line 1, in f',
        "    raise ValueError(1)",
        "ValueError: /tmp/farzi-run-1/a.parquet is 3/4 read",
    ]
    assert clean_tail(lines) == ["ValueError: <path> is 3/4 read"]


def test_plain_words_stay_as_they_are() -> None:
    lines = ["WARNING farzi: loss 0.25 at step 3/400", "ratio 1.5 km/h and/or more", "", "seed 7 (float32)"]
    assert clean_tail(lines) == [line for line in lines if line]
