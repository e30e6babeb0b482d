"""The database itself refuses a lease, a stop request or an open run that does not fit its job, and finds whose turn it is.

SQLite cannot add a constraint to a table that is there, and to build the table anew would delete what hangs on it: there the
same rules are triggers. A later revision that builds ``jobs`` or ``runs`` anew has to make them again.
"""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

LEASED = "status IN ('running', 'cancelling')"
OVER = "status IN ('succeeded', 'failed', 'cancelled')"
RULES = {
    "jobs": {
        "lease": f"(lease_expires_at IS NOT NULL) = ({LEASED})",
        "stop": f"stop_requested IS NULL OR {LEASED}",
        "end": f"(ended_at IS NOT NULL) = ({OVER})",
    },
    "runs": {"end": "(ended_at IS NULL) = (outcome IS NULL)"},
}
OPEN = sa.text("ended_at IS NULL")
WAITING = sa.text("status = 'queued'")

# The service leaves no such rows; were there one, the upgrade would stop at it.
MENDS = (
    "UPDATE jobs SET lease_expires_at = NULL, stop_requested = NULL WHERE status NOT IN ('running', 'cancelling')",
    "UPDATE jobs SET lease_expires_at = updated_at WHERE status IN ('running', 'cancelling') AND lease_expires_at IS NULL",
    "UPDATE jobs SET ended_at = NULL WHERE status NOT IN ('succeeded', 'failed', 'cancelled')",
    "UPDATE jobs SET ended_at = updated_at WHERE status IN ('succeeded', 'failed', 'cancelled') AND ended_at IS NULL",
    "UPDATE runs SET outcome = 'lost' WHERE ended_at IS NOT NULL AND outcome IS NULL",
    "UPDATE runs SET ended_at = started_at WHERE ended_at IS NULL AND outcome IS NOT NULL",
    "UPDATE runs SET ended_at = started_at, outcome = 'lost' WHERE ended_at IS NULL AND EXISTS "
    "(SELECT 1 FROM runs AS later WHERE later.job_id = runs.job_id AND later.number > runs.number)",
)


def upgrade() -> None:
    for statement in MENDS:
        op.execute(statement)
    for table, name, rule in _rules():
        if op.get_bind().dialect.name == "sqlite":
            for trigger, occasion in _triggers(table, name).items():
                words = f"SELECT RAISE(ABORT, 'CHECK constraint failed: ck_{table}_{name}');"
                op.execute(f"CREATE TRIGGER {trigger} {occasion} WHEN NOT ({_of_new(rule)}) BEGIN {words} END")
        else:
            op.create_check_constraint(op.f(f"ck_{table}_{name}"), table, rule)
    op.create_index("uq_runs_open", "runs", ["job_id"], unique=True, postgresql_where=OPEN, sqlite_where=OPEN)
    op.create_index("ix_jobs_waiting", "jobs", ["queue", "tenant_id", "id"], postgresql_where=WAITING, sqlite_where=WAITING)


def downgrade() -> None:
    op.drop_index("ix_jobs_waiting", "jobs")
    op.drop_index("uq_runs_open", "runs")
    for table, name, _ in _rules():
        if op.get_bind().dialect.name == "sqlite":
            for trigger in _triggers(table, name):
                op.execute(f"DROP TRIGGER {trigger}")
        else:
            op.drop_constraint(op.f(f"ck_{table}_{name}"), table, type_="check")


def _rules() -> Iterator[tuple[str, str, str]]:
    for table, rules in RULES.items():
        for name, rule in rules.items():
            yield table, name, rule


def _triggers(table: str, name: str) -> dict[str, str]:
    """Return the names of the triggers that stand for one rule, and when each is asked."""
    return {f"ck_{table}_{name}_{event}": f"BEFORE {event.upper()} ON {table}" for event in ("insert", "update")}


def _of_new(rule: str) -> str:
    """Let the rule speak of the row as it is to be."""
    for column in ("lease_expires_at", "stop_requested", "ended_at", "outcome", "status"):
        rule = rule.replace(column, f"NEW.{column}")
    return rule
