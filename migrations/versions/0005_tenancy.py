"""Quotas, audit trail, and the ids that lead from a request to its run."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
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
    else:
        _append_only_on_sqlite()


def downgrade() -> None:
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
