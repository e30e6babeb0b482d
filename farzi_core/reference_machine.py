"""The speeds of one machine, as ``farzi_core.calibration`` measured them: one busy thread of a two-core server, without a GPU.

They stand in where no worker has measured its own, and divide the progress of a job into even units.
"""

from __future__ import annotations

from typing import Any


def _speed(launch_s: float, product_s: float, element_s: float, reverse_factor: float, look_factor: float) -> dict[str, float]:
    return {
        "launch_s": launch_s,
        "product_s": product_s,
        "element_s": element_s,
        "reverse_factor": reverse_factor,
        "look_factor": look_factor,
    }


REFERENCE_MACHINE: dict[str, Any] = {
    "speeds": {
        "sasrec": _speed(6.09e-05, 2.18e-10, 1.11e-09, 2.42, 0.255),
        "gru4rec": _speed(4.36e-05, 1.82e-10, 0.0, 1.6, 0.432),
        "fmlp": _speed(6.32e-05, 2.71e-10, 1.56e-09, 4.85, 0.816),
        "narm": _speed(7.56e-05, 3.82e-10, 0.0, 1.95, 0.393),
        "transformer_lm": _speed(1.42e-04, 1.98e-10, 2.05e-09, 2.19, 0.415),
        "lstm": _speed(6.95e-05, 2.72e-10, 0.0, 3.08, 0.3),
    },
    "startup_s": 4.0,
    "report_s": 4.0,
}
