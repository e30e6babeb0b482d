"""Evaluation jobs, deleted jobs, lists that stay fast, what lost runs left behind, and what estimates are made from."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
LISTED = sa.text("kind <> 'validation' AND deleted_at IS NULL")
LISTS = (("tenant_id", "status", "id"), ("tenant_id", "kind", "id"), ("tenant_id", "dataset_id", "id"))


def upgrade() -> None:
    op.add_column("jobs", sa.Column("source_job_id", sa.String(length=64), nullable=True))
    op.add_column("jobs", sa.Column("metrics", JSON, nullable=False, server_default=sa.text("'{}'")))
    op.add_column("jobs", sa.Column("batch_divisor", sa.Integer(), nullable=False, server_default="1"))
    op.add_column("jobs", sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index("ix_jobs_source_job_id", "jobs", ["source_job_id"])
    op.drop_index("ix_jobs_tenant_id_id", table_name="jobs")
    for columns in (("tenant_id", "id"), *LISTS):
        name = f"ix_jobs_{'_'.join(columns)}"
        op.create_index(name, "jobs", list(columns), postgresql_where=LISTED, sqlite_where=LISTED)
    kept = sa.text("checkpoint_key IS NOT NULL")
    op.create_index("ix_jobs_checkpoint_kept", "jobs", ["ended_at"], postgresql_where=kept, sqlite_where=kept)
    op.create_table(
        "job_labels",
        sa.Column("tenant_id", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("value", sa.String(length=500), nullable=False),
        sa.Column("job_id", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_job_labels_tenant_id_tenants"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_job_labels_job_id_jobs", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("tenant_id", "key", "value", "job_id", name="pk_job_labels"),
    )
    op.create_index("ix_job_labels_job_id", "job_labels", ["job_id"])
    each = "jsonb_each_text" if op.get_bind().dialect.name == "postgresql" else "json_each"
    labels = f"SELECT jobs.tenant_id, label.key, label.value, jobs.id FROM jobs, {each}(jobs.metadata) AS label"  # noqa: S608
    op.execute(f"INSERT INTO job_labels (tenant_id, key, value, job_id) {labels}")

    op.add_column("runs", sa.Column("swept_at", sa.DateTime(timezone=True), nullable=True))
    unswept = sa.text("swept_at IS NULL")
    op.create_index("ix_runs_unswept", "runs", ["ended_at"], postgresql_where=unswept, sqlite_where=unswept)

    op.create_table(
        "calibrations",
        sa.Column("machine", sa.String(length=200), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("coefficients", JSON, nullable=False),
        sa.Column("measured_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("machine", name="pk_calibrations"),
    )
    op.create_table(
        "estimate_outcomes",
        sa.Column("job_id", sa.String(length=64), nullable=False),
        sa.Column("machine", sa.String(length=200), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("predicted_seconds", sa.Float(), nullable=False),
        sa.Column("actual_seconds", sa.Float(), nullable=False),
        sa.Column("predicted_memory_bytes", sa.BigInteger(), nullable=False),
        sa.Column("actual_memory_bytes", sa.BigInteger(), nullable=False),
        sa.Column("predicted_output_bytes", sa.BigInteger(), nullable=False),
        sa.Column("actual_output_bytes", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_estimate_outcomes_job_id_jobs", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", name="pk_estimate_outcomes"),
    )
    op.create_index("ix_estimate_outcomes_machine_kind_at", "estimate_outcomes", ["machine", "kind", "at"])


def downgrade() -> None:
    op.drop_table("estimate_outcomes")
    op.drop_table("calibrations")
    op.drop_index("ix_runs_unswept", table_name="runs")
    op.drop_column("runs", "swept_at")
    op.drop_table("job_labels")
    op.drop_index("ix_jobs_checkpoint_kept", table_name="jobs")
    for columns in (("tenant_id", "id"), *LISTS):
        op.drop_index(f"ix_jobs_{'_'.join(columns)}", table_name="jobs")
    op.create_index("ix_jobs_tenant_id_id", "jobs", ["tenant_id", "id"])
    op.drop_index("ix_jobs_source_job_id", table_name="jobs")
    for column in ("deleted_at", "batch_divisor", "metrics", "source_job_id"):
        op.drop_column("jobs", column)
