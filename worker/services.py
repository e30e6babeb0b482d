"""Connections of a worker process to the parts of the service."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.orm import Session, sessionmaker

from app.db import make_engine, make_session_factory
from app.settings import Settings
from app.storage import ObjectStore, make_object_store


@dataclass(frozen=True)
class Services:
    """Settings, and what they lead to."""

    settings: Settings
    session_factory: sessionmaker[Session]
    store: ObjectStore


def connect(settings: Settings) -> Services:
    """Prepare connections; none is opened before it is needed."""
    return Services(settings, make_session_factory(make_engine(settings)), make_object_store(settings))
