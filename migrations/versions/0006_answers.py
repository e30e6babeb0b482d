"""A row of an idempotency key is an answer: its parts are never missing, and it is a success."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
COLUMNS: dict[str, Any] = {
    "response_status": sa.Integer(),
    "response_headers": JSON,
    "response_body": sa.Text(),
}


def upgrade() -> None:
    # A request without an answer was never carried out, so that forgetting it lets it be sent again.
    op.execute("DELETE FROM idempotency_keys WHERE response_status IS NULL OR response_body IS NULL")
    op.execute("UPDATE idempotency_keys SET response_headers = '{}' WHERE response_headers IS NULL")
    with op.batch_alter_table("idempotency_keys") as answers:
        for name, kind in COLUMNS.items():
            answers.alter_column(name, existing_type=kind, nullable=False)
        answers.create_check_constraint("ck_idempotency_keys_success", "response_status BETWEEN 200 AND 299")


def downgrade() -> None:
    with op.batch_alter_table("idempotency_keys") as answers:
        answers.drop_constraint("ck_idempotency_keys_success", type_="check")
        for name, kind in COLUMNS.items():
            answers.alter_column(name, existing_type=kind, nullable=True)
