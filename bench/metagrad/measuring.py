"""One measurement, in a process that makes no other: CPU time and peak memory of one meta-gradient.

    python -m bench.metagrad.measuring SETTING CONTESTANT T [--gradient FILE] [--cache DIRECTORY]

Prints a line of JSON. The process keeps to one core and one thread. Memory counts from the moment before the measured call, so
neither the library nor the data nor anything compiled is part of it.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import resource
import time
from pathlib import Path
from typing import Any

from bench.metagrad.contestants import CONTESTANTS, Gradient, Run, prepare

MEMORY_LIMIT_BYTES = 12 * 2**30
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "JAX_PLATFORMS": "cpu",
}
OUT_OF_MEMORY = ("allocate memory", "out of memory", "resource_exhausted")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("setting")
    parser.add_argument("contestant")
    parser.add_argument("num_inner_steps", type=int)
    parser.add_argument("--gradient", type=Path, help="file to write the meta-gradient to, as safetensors")
    parser.add_argument("--cache", type=Path, help="directory of what XLA compiled in earlier processes")
    arguments = parser.parse_args()
    os.environ.update(ONE_THREAD)
    if arguments.cache is not None:
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(arguments.cache)
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    try:
        result = measure(arguments.setting, arguments.contestant, arguments.num_inner_steps, arguments.gradient)
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and not any(sign in str(error).lower() for sign in OUT_OF_MEMORY):
            raise
        result = {"out_of_memory": True}
    print(json.dumps(result))


def measure(setting: str, contestant: str, num_inner_steps: int, gradient_file: Path | None = None) -> dict[str, Any]:
    """Compute one meta-gradient; return CPU seconds, peak bytes, outer loss and norm."""
    # Imported here, because libraries read the number of threads when they are loaded.
    import numpy as np  # noqa: PLC0415
    from safetensors.numpy import save_file  # noqa: PLC0415

    from bench.metagrad.problem import SETTINGS, make_problem  # noqa: PLC0415

    problem = make_problem(SETTINGS[setting], num_inner_steps)
    limit = _memory("VmSize") + MEMORY_LIMIT_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    started = time.process_time()
    run = prepare(CONTESTANTS[contestant], problem)
    prepare_s = time.process_time() - started
    at_start = _reset_peak()
    gradient, cpu_s = _timed(run)
    peak_bytes = _memory("VmHWM") - at_start
    if CONTESTANTS[contestant].is_compiled:
        # The first call of what was compiled is slower than later ones; memory of later ones may still be held from the first.
        gradient, cpu_s = _timed(run)
    if gradient_file is not None:
        save_file({"synthetic": np.ascontiguousarray(gradient.synthetic)}, gradient_file)
    return {
        "cpu_s": cpu_s,
        "peak_bytes": peak_bytes,
        "prepare_s": prepare_s,
        "outer_loss": gradient.outer_loss,
        "norm": float(np.linalg.norm(gradient.synthetic.astype(np.float64))),
    }


def _timed(run: Run) -> tuple[Gradient, float]:
    started = time.process_time()
    gradient = run()
    return gradient, time.process_time() - started


def _reset_peak() -> int:
    """Give free memory back, let the kernel's record of the peak start again, and return the bytes that are resident now."""
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _memory("VmRSS")


def _memory(name: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    (line,) = [line for line in lines if line.startswith(f"{name}:")]
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main()
