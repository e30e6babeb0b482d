"""The second wall between tenants, on Postgres: what is done for a caller is done as a role that row-level security binds.

Every repository names the tenant in its queries. Should one forget, its transaction still sees and changes only rows of the
caller's tenant: it runs as ``farzi_tenant``, whose policies (made by the migrations) compare with a setting of the
transaction. Housekeeping, workers and the look-up of a key work for no tenant; they stay the role that they connected as.
"""

from __future__ import annotations

from sqlalchemy import Connection, Engine, event

from app.request_context import current_request

ROLE = "farzi_tenant"
SETTING = "farzi.tenant_id"
# Both end with the transaction, and cost one round trip.
BIND = f"SELECT set_config('role', '{ROLE}', true), set_config('{SETTING}', %s, true)"


def raise_wall(engine: Engine) -> None:
    """Bind every transaction that begins inside a request to the request's tenant."""
    if engine.dialect.name != "postgresql":
        return

    @event.listens_for(engine, "begin")
    def _bind(connection: Connection) -> None:
        tenant_id = current_request().tenant_id
        if tenant_id is not None:
            connection.exec_driver_sql(BIND, (tenant_id,))
