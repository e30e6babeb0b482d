"""Several API processes on one socket: a Python process answers on one core, and the others would stand idle.

The parent opens the socket and answers nothing; it starts a process again that dies, and adds up their metrics in a directory.
"""

from __future__ import annotations

import socket
import tempfile
import time
from pathlib import Path

from prometheus_client.multiprocess import mark_process_dead

from app.http_metrics import MULTIPROCESS_VARIABLE
from app.http_server import EXIT_CANNOT_REACH, EXIT_OK, STREAMS_GRACE_S, write_whole
from app.kept_process import KeptProcess

SERVER_MODULE = "app.http_server"
KILL_AFTER_GRACE_S = 10.0
POLL_S = 0.1


def serve_with_processes(count: int, listener: socket.socket, environment: dict[str, str], address_file: Path | None) -> int:
    """Keep ``count`` processes on the socket until a signal comes; return an exit code."""
    with tempfile.TemporaryDirectory(prefix="farzi-api-") as directory:
        return _keep_processes(count, listener, environment, address_file, Path(directory))


def _keep_processes(
    count: int, listener: socket.socket, environment: dict[str, str], address_file: Path | None, directory: Path
) -> int:
    ready = directory / "address"
    arguments = [SERVER_MODULE, "--socket-fd", str(listener.fileno()), "--address-file", str(ready)]
    metrics = directory / "metrics"
    processes: list[KeptProcess] = []
    try:
        metrics.mkdir()
        for number in range(1, count + 1):
            process = KeptProcess(
                f"api-{number}",
                arguments,
                {**environment, MULTIPROCESS_VARIABLE: str(metrics)},
                STREAMS_GRACE_S + KILL_AFTER_GRACE_S,
                pass_fds=(listener.fileno(),),
                after_end=lambda pid: mark_process_dead(pid, str(metrics)),  # type: ignore[no-untyped-call]
            )
            processes.append(process)
        while not ready.exists():
            # Once one has answered the others are started again and again; before, what is wrong will not pass by itself.
            if any(process.exit_code == EXIT_CANNOT_REACH for process in processes):
                return EXIT_CANNOT_REACH
            time.sleep(POLL_S)
        if address_file is not None:
            write_whole(address_file, ready.read_text(encoding="utf-8"))
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        return EXIT_OK
    finally:
        for process in processes:
            process.ask_to_stop()
        for process in processes:
            process.stop()
