"""The servers of the test session are real, and each test starts clean."""

from __future__ import annotations

import boto3
import psycopg
import pytest
import redis

from tests.services.processes import REQUIRE_SERVICES, service_missing

pytestmark = pytest.mark.service


def _tables(url: str) -> set[str]:
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    return {row[0] for row in rows}


def test_postgres_databases_are_apart(postgres_url: str, empty_postgres_url: str) -> None:
    assert {"jobs", "datasets", "tenants", "outbox"} <= _tables(postgres_url)
    assert not _tables(empty_postgres_url)


def test_redis_is_empty_and_keeps_a_value(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
        client.set("key", "value")
        assert client.get("key") == b"value"


def test_object_store_keeps_bytes(s3_settings: dict[str, str]) -> None:
    client = boto3.client(
        "s3",
        endpoint_url=s3_settings["s3_endpoint_url"],
        aws_access_key_id=s3_settings["s3_access_key_id"],
        aws_secret_access_key=s3_settings["s3_secret_access_key"],
        region_name=s3_settings["s3_region"],
    )
    client.put_object(Bucket=s3_settings["s3_bucket"], Key="a/b", Body=b"bytes")
    assert client.get_object(Bucket=s3_settings["s3_bucket"], Key="a/b")["Body"].read() == b"bytes"
    client.close()


def test_a_missing_service_skips_here_and_fails_where_it_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(REQUIRE_SERVICES, raising=False)
    with pytest.raises(pytest.skip.Exception):
        service_missing("gone")
    monkeypatch.setenv(REQUIRE_SERVICES, "1")
    with pytest.raises(pytest.fail.Exception, match="gone"):
        service_missing("gone")
