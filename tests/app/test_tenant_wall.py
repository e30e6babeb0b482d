"""The second wall: on Postgres a query that forgot its tenant finds and changes nothing of another one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import create_engine, delete, insert, select, text, update
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.datasets.models import Dataset
from app.db import Base
from app.jobs.models import Job, JobEvent
from app.main import create_app
from app.migrate import DatabaseError, upgrade
from app.request_context import enter_tenant, within_request
from app.services import Services
from app.settings import Settings
from app.tenants.models import ApiKey, Tenant
from tests.app.driving import ADMIN, ADMIN_KEY, add_tenant_with_key, declare, make_ready, submit
from tests.services.postgres import PostgresServer

pytestmark = pytest.mark.service
ABOUT_MACHINES = {"calibrations", "estimate_outcomes"}


@pytest.fixture
def settings(postgres_url: str, s3_settings: dict[str, str], tmp_path: object) -> Settings:
    fields = {"database_url": postgres_url, "bootstrap_api_key": ADMIN_KEY, "data_dir": tmp_path}
    return Settings.model_validate(fields | s3_settings)


@contextmanager
def forgetful(services: Services, tenant_id: str) -> Iterator[Session]:
    """A session of a request of this tenant, for queries that do not name it."""
    with within_request(None, None):
        enter_tenant(tenant_id, "key_1")
        with services.sessions.begin() as session:
            yield session


@pytest.fixture
def tenants(client: TestClient, services: Services) -> tuple[str, str]:
    """Ids of a tenant with a data set, a job and its events, and of one that has only a key."""
    submit(client, make_ready(client, services))
    add_tenant_with_key(services)
    with services.reading_sessions() as session:
        first, second = session.scalars(select(Tenant.id).order_by(Tenant.id))
    return first, second


@pytest.mark.parametrize("model", [Tenant, ApiKey, Dataset, Job, JobEvent])
def test_a_query_without_its_tenant_finds_nothing_of_another(
    services: Services, tenants: tuple[str, str], model: type[Base]
) -> None:
    with services.reading_sessions() as session:
        everything = len(session.scalars(select(model)).all())
    found = []
    for tenant_id in tenants:
        with forgetful(services, tenant_id) as session:
            found.append(len(session.scalars(select(model)).all()))
    assert sum(found) == everything > 0
    assert found[1] == (1 if model in {Tenant, ApiKey} else 0)


def test_nor_does_it_change_or_delete(services: Services, tenants: tuple[str, str]) -> None:
    with forgetful(services, tenants[1]) as session:
        assert session.execute(update(Job).values(status="cancelled").returning(Job.id)).all() == []
        assert session.execute(delete(JobEvent).returning(JobEvent.seq)).all() == []


def test_nor_does_it_add_to_another(services: Services, tenants: tuple[str, str]) -> None:
    first, second = tenants
    with services.reading_sessions() as session:
        job_id, at = session.execute(select(Job.id, Job.created_at).where(Job.kind != "validation")).one()
    rows = (
        insert(JobEvent).values(job_id=job_id, seq=99, type="x", data={}, at=at),
        insert(ApiKey).values(id="key_x", tenant_id=first, name="x", prefix="x", digest=b"x", scopes=[], created_at=at),
    )
    for row in rows:
        with pytest.raises(ProgrammingError, match="row-level security"), forgetful(services, second) as session:
            session.execute(row)
        with forgetful(services, first) as session:
            session.execute(row)


def test_without_a_tenant_the_role_sees_nothing(services: Services, tenants: tuple[str, str]) -> None:
    with services.engine.begin() as connection:
        connection.execute(text("SET LOCAL ROLE farzi_tenant"))
        assert connection.execute(text("SELECT count(*) FROM jobs")).scalar_one() == 0


def test_nothing_is_left_on_a_connection(services: Services, tenants: tuple[str, str]) -> None:
    with forgetful(services, tenants[1]) as session:
        assert session.scalar(text("SELECT current_user")) == "farzi_tenant"
    with services.engine.connect() as connection:
        role, tenant = connection.execute(text("SELECT current_user, current_setting('farzi.tenant_id', true)")).one()
    assert role != "farzi_tenant"
    assert not tenant


def test_every_table_with_rows_of_tenants_has_its_policy(services: Services) -> None:
    with services.engine.connect() as connection:
        walled = set(
            connection.execute(
                text(
                    "SELECT relname FROM pg_class JOIN pg_policy ON polrelid = pg_class.oid "
                    "WHERE relrowsecurity AND polname = 'of_the_tenant'"
                )
            ).scalars()
        )
    assert walled == set(Base.metadata.tables) - ABOUT_MACHINES


def test_requests_run_behind_it(client: TestClient, services: Services, tenants: tuple[str, str]) -> None:
    assert client.get("/v1/datasets").json()["data"] != []
    with services.engine.begin() as connection:  # without a policy the role sees nothing
        connection.execute(text("DROP POLICY of_the_tenant ON datasets"))
    assert client.get("/v1/datasets").json()["data"] == []


@pytest.fixture
def ordinary(settings: Settings, postgres_server: PostgresServer, empty_postgres_url: str) -> Iterator[Settings]:
    """Settings of an empty database whose user is no superuser: the tests connect as one, whom nothing binds."""
    postgres_server.execute("CREATE ROLE farzi_ordinary LOGIN")
    engine = create_engine(empty_postgres_url)
    with engine.begin() as connection:
        connection.execute(text("GRANT ALL ON SCHEMA public TO farzi_ordinary"))
    yield settings.model_copy(update={"database_url": empty_postgres_url.replace("postgres@", "farzi_ordinary@")})
    with engine.begin() as connection:
        connection.execute(text("DROP OWNED BY farzi_ordinary CASCADE"))
    engine.dispose()
    postgres_server.execute("DROP ROLE farzi_ordinary")


def test_an_ordinary_role_needs_its_administrator_once(ordinary: Settings, postgres_server: PostgresServer) -> None:
    with pytest.raises(DatabaseError, match=r"FARZI_DATABASE_URL: permission denied.*CREATE ROLE farzi_tenant NOLOGIN"):
        upgrade(ordinary)
    postgres_server.execute("GRANT farzi_tenant TO farzi_ordinary")
    upgrade(ordinary)
    with TestClient(create_app(ordinary), headers=ADMIN) as client:
        dataset_id = declare(client)
        assert client.get(f"/v1/datasets/{dataset_id}").status_code == 200
        assert client.get("/readyz").status_code == 200
