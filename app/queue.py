"""All that this service knows of Celery. A message is a doorbell: it names a job, and the database decides what happens."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from celery import Celery

from app.jobs.states import Queue

RUN_JOB = "farzi.run_job"
# Nothing is acknowledged, so nothing comes back; should a queue ever need it, then not before the longest deadline is over.
VISIBILITY_TIMEOUT_S = 30 * 24 * 3600
ANSWER_TIMEOUT_S = 10.0
# A machine that is gone says nothing: by default a connection to it is believed in for two hours.
LOST_PEER = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 30_000}


def make_celery(broker_url: str) -> Celery:
    """Create the application that both ends of the broker share."""
    celery = Celery("farzi", broker=broker_url, set_as_current=False)
    celery.conf.update(_configuration())
    return celery


def make_sending_celery(broker_url: str) -> Celery:
    """Create an application that only sends, and gives up a broker that takes messages without an answer.

    Who waits for messages must not: there is nothing to hear from a queue that is empty.
    """
    celery = make_celery(broker_url)
    celery.conf.broker_transport_options = {**celery.conf.broker_transport_options, "socket_timeout": ANSWER_TIMEOUT_S}
    return celery


def make_sender(celery: Celery) -> Callable[[str, str], None]:
    """Return ``send(job_id, queue)``, which tells the broker of a job or raises what the broker's client raises."""

    def send(job_id: str, queue: str) -> None:
        celery.send_task(RUN_JOB, kwargs={"job_id": job_id}, queue=queue, ignore_result=True, retry=False)

    return send


def _configuration() -> dict[str, Any]:
    return {
        "task_serializer": "json",
        "accept_content": ["json"],
        "result_accept_content": ["json"],
        "task_ignore_result": True,
        "task_store_errors_even_if_ignored": False,
        # Nothing is acknowledged (docs/adr/0013): when Redis is away at that moment, kombu counts the message as open for ever,
        # asks for no other, and so never notices that its connection is gone. The solo pool is late with it in any case.
        "task_acks_late": False,
        "task_queues": {str(queue): {"exchange": str(queue), "no_ack": True} for queue in Queue},
        "task_default_queue": str(Queue.CPU),
        "task_create_missing_queues": True,
        "worker_prefetch_multiplier": 1,
        "worker_concurrency": 1,
        "worker_pool": "solo",
        # State and control of jobs live in the database; the broker carries doorbells only.
        "worker_enable_remote_control": False,
        "worker_send_task_events": False,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_transport_options": {
            "visibility_timeout": VISIBILITY_TIMEOUT_S,
            "socket_connect_timeout": 5.0,
            "socket_keepalive": True,
            "socket_keepalive_options": {
                getattr(socket, name): value for name, value in LOST_PEER.items() if hasattr(socket, name)
            },
        },
        "result_backend_transport_options": {"visibility_timeout": VISIBILITY_TIMEOUT_S},
        "visibility_timeout": VISIBILITY_TIMEOUT_S,
    }
