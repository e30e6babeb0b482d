"""The deliveries of one event are found by an index."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_webhook_deliveries_event_id_id", "webhook_deliveries", ["event_id", "id"])


def downgrade() -> None:
    op.drop_index("ix_webhook_deliveries_event_id_id", "webhook_deliveries")
