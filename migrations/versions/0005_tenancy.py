"""Quotas, audit trail, row-level security, and the ids that lead from a request to its run."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
ROLE = "farzi_tenant"
OWN = "current_setting('farzi.tenant_id', true)"


def _through(table: str, column: str) -> str:
    return f"EXISTS (SELECT 1 FROM {table} WHERE {table}.id = {column} AND {table}.tenant_id = {OWN})"  # noqa: S608  names of this file


# What a row of each table has to be to be the tenant's. Of the others, calibrations and estimate_outcomes are about machines.
POLICIES = {
    "tenants": f"id = {OWN}",
    "api_keys": f"tenant_id = {OWN}",
    "audit_events": f"tenant_id = {OWN}",
    "datasets": f"tenant_id = {OWN}",
    "idempotency_keys": f"tenant_id = {OWN}",
    "job_labels": f"tenant_id = {OWN}",
    "jobs": f"tenant_id = {OWN}",
    "uploads": f"tenant_id = {OWN}",
    "webhook_deliveries": f"tenant_id = {OWN}",
    "webhook_endpoints": f"tenant_id = {OWN}",
    "artifacts": _through("jobs", "job_id"),
    "job_events": _through("jobs", "job_id"),
    "job_metrics": _through("jobs", "job_id"),
    "manifests": _through("jobs", "job_id"),
    "outbox": _through("jobs", "job_id"),
    "runs": _through("jobs", "job_id"),
    "upload_parts": _through("uploads", "upload_id"),
    "webhook_attempts": _through("webhook_deliveries", "delivery_id"),
}
QUOTAS = ("stored_bytes", "datasets", "active_jobs", "gpu_seconds_per_month", "cpu_seconds_per_month")


def upgrade() -> None:
    with op.batch_alter_table("tenants") as tenants:
        for name in QUOTAS:
            tenants.add_column(sa.Column(f"quota_{name}", sa.BigInteger(), nullable=True))
    op.add_column("jobs", sa.Column("request_id", sa.String(length=128), nullable=True))
    op.add_column("jobs", sa.Column("traceparent", sa.String(length=64), nullable=True))
    op.create_table(
        "audit_events",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("tenant_id", sa.String(length=64), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("target_id", sa.String(length=64), nullable=False),
        sa.Column("actor_key_id", sa.String(length=64), nullable=True),
        sa.Column("request_id", sa.String(length=128), nullable=True),
        sa.Column("data", JSON, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_audit_events_tenant_id_tenants"),
        sa.PrimaryKeyConstraint("id", name="pk_audit_events"),
    )
    op.create_index("ix_audit_events_tenant_id_id", "audit_events", ["tenant_id", "id"])
    if op.get_bind().dialect.name == "postgresql":
        _append_only_on_postgres()
        _raise_wall()
    else:
        _append_only_on_sqlite()


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        _take_wall_down()
    op.drop_index("ix_audit_events_tenant_id_id", "audit_events")
    op.drop_table("audit_events")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION refuse_change_of_audit_event()")
    op.drop_column("jobs", "traceparent")
    op.drop_column("jobs", "request_id")
    with op.batch_alter_table("tenants") as tenants:
        for name in reversed(QUOTAS):
            tenants.drop_column(f"quota_{name}")


def _append_only_on_postgres() -> None:
    op.execute(
        "CREATE FUNCTION refuse_change_of_audit_event() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'audit events are only added'; END $$"
    )
    op.execute(
        "CREATE TRIGGER audit_events_are_only_added BEFORE UPDATE OR DELETE ON audit_events "
        "FOR EACH ROW EXECUTE FUNCTION refuse_change_of_audit_event()"
    )


def _append_only_on_sqlite() -> None:
    for act in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER audit_events_{act.lower()} BEFORE {act} ON audit_events "
            "BEGIN SELECT RAISE(ABORT, 'audit events are only added'); END"
        )


def _raise_wall() -> None:
    # A role belongs to the server, not to the database: another database of it may have made it already.
    op.execute(
        f"DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{ROLE}') THEN CREATE ROLE {ROLE} NOLOGIN; END IF; "
        "EXCEPTION WHEN duplicate_object THEN NULL; END $$;"
        f"DO $$ BEGIN IF NOT pg_has_role(current_user, '{ROLE}', 'SET') THEN GRANT {ROLE} TO CURRENT_USER; END IF; END $$"
    )
    rows, numbers = "SELECT, INSERT, UPDATE, DELETE", "USAGE, SELECT"
    for what, tables, sequences in (
        ("GRANT", "ALL TABLES IN SCHEMA public", "ALL SEQUENCES IN SCHEMA public"),
        ("ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT", "TABLES", "SEQUENCES"),
    ):
        op.execute(f"{what} {rows} ON {tables} TO {ROLE}")
        op.execute(f"{what} {numbers} ON {sequences} TO {ROLE}")
    for table, condition in POLICIES.items():
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY of_the_tenant ON {table} TO {ROLE} USING ({condition}) WITH CHECK ({condition})")


def _take_wall_down() -> None:
    for table in POLICIES:
        op.execute(f"DROP POLICY of_the_tenant ON {table}")
        op.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
    for what, tables, sequences in (
        ("REVOKE", "ALL TABLES IN SCHEMA public", "ALL SEQUENCES IN SCHEMA public"),
        ("ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE", "TABLES", "SEQUENCES"),
    ):
        op.execute(f"{what} ALL ON {tables} FROM {ROLE}")
        op.execute(f"{what} ALL ON {sequences} FROM {ROLE}")
