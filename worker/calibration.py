"""``python -m worker.calibration STARTED_AT``: measure this machine once, for estimates, and keep what was found.

A process of its own, as runs are: it loads torch, and its start takes as long as theirs.
"""

from __future__ import annotations

import os
import socket
import sys
import time

import torch

from app.clock import database_now
from app.jobs.estimates import store_calibration
from app.settings import load_settings
from farzi_core.calibration import measure_machine
from farzi_core.costs import REFERENCE
from worker.lifeline import die_with_standard_input
from worker.machine import name_machine
from worker.services import connect


def main(arguments: list[str]) -> int:
    """Measure; ``STARTED_AT`` is when the process was started, in seconds since 1970."""
    die_with_standard_input()
    started_at = float(arguments[0])
    settings = load_settings()
    if settings.torch_threads:
        torch.set_num_threads(settings.torch_threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    services = connect(settings)
    import farzi_core.pipeline  # noqa: F401, PLC0415  what a run loads before its first step

    startup_s = time.time() - started_at
    # Writing a report is Python and drawing, as a start is: a machine that is twice as fast at one is so at the other.
    report_s = REFERENCE.report_s * startup_s / REFERENCE.startup_s
    calibration = measure_machine(device, startup_s=startup_s, report_s=report_s)
    with services.session_factory.begin() as session:
        machine = name_machine(device, torch.get_num_threads())
        store_calibration(session, machine, socket.gethostname(), calibration, at=database_now(session))
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
