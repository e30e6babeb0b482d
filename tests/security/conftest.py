"""The application as the tests of app/ have it."""

from __future__ import annotations

from tests.app.conftest import _log_as_in_production, anonymous, application, client, services, settings

__all__ = ["_log_as_in_production", "anonymous", "application", "client", "services", "settings"]
