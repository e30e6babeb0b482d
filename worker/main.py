"""``python -m worker.main --queue gpu|cpu``: a worker of a service with a broker."""

from __future__ import annotations

import argparse
import sys

from app.jobs.states import Queue
from app.logging import configure_logging
from app.migrate import DatabaseError, prepare
from app.settings import SettingsError, load_settings
from app.tracing import configure_tracing
from worker.celery_app import serve_queue


def main(arguments: list[str] | None = None) -> int:
    """Serve one queue; a service without a broker has its worker inside ``farzi serve``."""
    parser = argparse.ArgumentParser(prog="farzi worker", description="Run jobs of one queue.")
    parser.add_argument("--queue", required=True, choices=[str(queue) for queue in Queue])
    queue: str = parser.parse_args(arguments).queue
    try:
        settings = load_settings()
        configure_tracing("farzi-worker")
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    if settings.broker_url is None:
        sys.stderr.write("FARZI_BROKER_URL is not set; without a broker `farzi serve` runs jobs itself and needs no worker.\n")
        return 2
    configure_logging(settings)
    try:
        prepare(settings)
    except DatabaseError as error:
        sys.stderr.write(f"{error}\n")
        return 3
    return serve_queue(settings, queue)


if __name__ == "__main__":
    sys.exit(main())
