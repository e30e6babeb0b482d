"""The migrations build the tables of the models, on both databases, forth and back."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import Engine, inspect, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.db import Base, make_engine
from app.jobs.models import IdempotencyRecord
from app.migrate import DatabaseError, is_current, main, make_config, prepare, upgrade
from app.settings import Settings


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.service)])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings of a database without tables."""
    if request.param == "sqlite":
        return Settings(data_dir=tmp_path / "data")
    return Settings(data_dir=tmp_path / "data", database_url=request.getfixturevalue("empty_postgres_url"))


@pytest.fixture
def engine(empty: Settings) -> Iterator[Engine]:
    built = make_engine(empty)
    yield built
    built.dispose()


def tables(engine: Engine) -> set[str]:
    return set(inspect(engine).get_table_names()) - {"alembic_version"}


def test_up_and_down_and_up(empty: Settings, engine: Engine) -> None:
    assert not is_current(engine)
    upgrade(empty)
    assert is_current(engine)
    assert tables(engine) == set(Base.metadata.tables)
    with engine.begin() as connection:
        command.downgrade(make_config(connection), "base")
    assert tables(engine) == set()
    upgrade(empty)
    upgrade(empty)
    assert is_current(engine)


def test_models_and_migrations_agree(empty: Settings, engine: Engine) -> None:
    upgrade(empty)
    with engine.begin() as connection:
        command.check(make_config(connection))  # raises when autogenerate would find something to do


def test_idempotency_keys_without_an_answer_are_forgotten(empty: Settings, engine: Engine) -> None:
    with engine.begin() as connection:
        command.upgrade(make_config(connection), "0005")
        connection.exec_driver_sql("INSERT INTO tenants (id, name, created_at) VALUES ('t', 't', '2026-01-01 00:00:00')")
        for key, status, headers, body in (
            ("whole", "201", '\'{"Location": "/x"}\'', "'{}'"),
            ("bare", "200", "NULL", "'[]'"),
            ("open", "NULL", "NULL", "NULL"),
        ):
            connection.exec_driver_sql(
                "INSERT INTO idempotency_keys (tenant_id, key, fingerprint, response_status, response_headers, response_body, "
                f"created_at) VALUES ('t', '{key}', 'f', {status}, {headers}, {body}, '2026-01-01 00:00:00')"
            )
        command.upgrade(make_config(connection), "0006")

    def stored() -> list[tuple[str, int, dict[str, str], str]]:
        with Session(engine) as session:
            rows = session.scalars(select(IdempotencyRecord).order_by(IdempotencyRecord.key))
            return [(row.key, row.response_status, row.response_headers, row.response_body) for row in rows]

    whole = [("bare", 200, {}, "[]"), ("whole", 201, {"Location": "/x"}, "{}")]
    assert stored() == whole
    for change in ("response_body = NULL", "response_headers = NULL", "response_status = NULL", "response_status = 404"):
        with pytest.raises(IntegrityError), engine.begin() as connection:
            connection.exec_driver_sql(f"UPDATE idempotency_keys SET {change}")
    with engine.begin() as connection:
        command.downgrade(make_config(connection), "0005")
        command.upgrade(make_config(connection), "head")
    assert stored() == whole


def test_several_processes_may_upgrade_at_once(empty: Settings, engine: Engine) -> None:
    variables = {"FARZI_DATA_DIR": str(empty.data_dir)}
    if empty.database_url is not None:
        variables["FARZI_DATABASE_URL"] = empty.database_url
    command_line = [sys.executable, "-m", "app.migrate"]
    processes = [subprocess.Popen(command_line, env={**os.environ, **variables}, stderr=subprocess.PIPE) for _ in range(2)]
    for process in processes:
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
    assert is_current(engine)


def test_sqlite_is_upgraded_at_the_start_and_postgres_is_not(empty: Settings, engine: Engine) -> None:
    if engine.dialect.name == "sqlite":
        prepare(empty)
        assert is_current(engine)
        return
    with pytest.raises(DatabaseError, match="farzi db upgrade"):
        prepare(empty)
    upgrade(empty)
    prepare(empty)


def test_the_command(empty: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FARZI_DATA_DIR", str(empty.data_dir))
    if empty.database_url is not None:
        monkeypatch.setenv("FARZI_DATABASE_URL", empty.database_url)
    assert main() == 0
    assert is_current(engine)


def test_a_database_that_is_away(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FARZI_DATABASE_URL", "postgresql+psycopg://nobody@127.0.0.1:9/none")
    assert main() == 3
    said = capsys.readouterr().err
    assert said.startswith("FARZI_DATABASE_URL: the database cannot be used:")
    assert said.count("\n") == 1


def test_rows_that_contradict_themselves_are_mended_once_and_refused_from_then_on(empty: Settings, engine: Engine) -> None:
    at = "'2026-01-01 00:00:00'"
    with engine.begin() as connection:
        command.upgrade(make_config(connection), "0007")
        connection.exec_driver_sql(f"INSERT INTO tenants (id, name, created_at) VALUES ('t', 't', {at})")
        connection.exec_driver_sql(
            "INSERT INTO datasets (id, tenant_id, name, task, format, options, metadata, status, created_at, updated_at) "
            f"VALUES ('ds', 't', 'n', 'language_modeling', 'text', '{{}}', '{{}}', 'ready', {at}, {at})"
        )
        for job_id, status, lease, stop, end in (
            ("over", "succeeded", at, "'cancel'", "NULL"),
            ("under way", "running", "NULL", "NULL", at),
            ("waiting", "queued", at, "'pause'", at),
        ):
            connection.exec_driver_sql(
                "INSERT INTO jobs (id, tenant_id, kind, queue, dataset_id, spec, metadata, status, lease_expires_at, "
                "stop_requested, ended_at, lease_token, num_lost_runs, progress_step, progress_total, next_event_seq, "
                "created_at, updated_at) "
                f"VALUES ('{job_id}', 't', 'validation', 'cpu', 'ds', '{{}}', '{{}}', '{status}', {lease}, "
                f"{stop}, {end}, 2, 0, 0, 0, 1, {at}, {at})"
            )
        for number in (1, 2):
            connection.exec_driver_sql(
                "INSERT INTO runs (id, job_id, number, worker, started_at) "
                f"VALUES ('run_{number}', 'under way', {number}, 'w', {at})"
            )
        command.upgrade(make_config(connection), "0008")
        rows = connection.exec_driver_sql(
            "SELECT id, lease_expires_at IS NULL, stop_requested IS NULL, ended_at IS NULL FROM jobs ORDER BY id"
        ).all()
        outcomes = connection.exec_driver_sql("SELECT outcome FROM runs ORDER BY number").scalars().all()
    assert [tuple(row) for row in rows] == [
        ("over", True, True, False),
        ("under way", False, True, True),
        ("waiting", True, True, True),
    ]
    assert outcomes == ["lost", None]
    for refused in (
        f"UPDATE jobs SET lease_expires_at = {at} WHERE id = 'over'",
        "UPDATE jobs SET lease_expires_at = NULL WHERE id = 'under way'",
        "UPDATE jobs SET status = 'running' WHERE id = 'waiting'",
        "UPDATE jobs SET status = 'succeeded', lease_expires_at = NULL WHERE id = 'under way'",
        "UPDATE jobs SET stop_requested = 'pause' WHERE id = 'over'",
        f"UPDATE jobs SET ended_at = {at} WHERE id = 'waiting'",
        "UPDATE runs SET outcome = 'lost' WHERE number = 2",
        "UPDATE runs SET outcome = NULL WHERE number = 1",
        f"INSERT INTO runs (id, job_id, number, worker, started_at) VALUES ('run_3', 'under way', 3, 'w', {at})",
        "INSERT INTO runs (id, job_id, number, worker, started_at, outcome) "
        f"VALUES ('run_3', 'under way', 3, 'w', {at}, 'lost')",
    ):
        with pytest.raises(IntegrityError), engine.begin() as connection:
            connection.exec_driver_sql(refused)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE runs SET outcome = 'failed', ended_at = {at} WHERE number = 2")
        connection.exec_driver_sql(
            f"UPDATE jobs SET status = 'failed', lease_expires_at = NULL, ended_at = {at} WHERE id = 'under way'"
        )
