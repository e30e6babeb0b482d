"""``python -m bench.metagrad``: race, write the figures to ``bench/results`` and the document to ``docs/benchmarks.md``."""

from __future__ import annotations

import argparse
import json
import sys

from rich.console import Console
from rich.progress import track

from bench.metagrad.contestants import missing_libraries
from bench.metagrad.document import DOCUMENT, RESULTS, read_results, render
from bench.metagrad.race import DisagreementError, full_plan, quick_plan, run_race

INSTALL = (
    "{} not installed, and the race needs every peer; install them with `make bench`, or with "
    "`python -m pip install --constraint requirements.lock --editable '.[bench]'`"
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.metagrad", description=__doc__)
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--quick", action="store_true", help="race on a tiny student and print the figures; writes nothing")
    choice.add_argument("--document", action="store_true", help="write the document anew from the committed figures")
    arguments = parser.parse_args()
    if arguments.document:
        _write_document()
        return
    missing = missing_libraries()
    if missing:
        sys.exit(INSTALL.format(", ".join(missing) + (" is" if len(missing) == 1 else " are")))
    plan = quick_plan() if arguments.quick else full_plan()
    try:
        results = run_race(track(plan, description="Measuring meta-gradients", console=Console(stderr=True)))
    except DisagreementError as error:
        sys.exit(str(error))
    text = json.dumps(results, indent=1) + "\n"
    if arguments.quick:
        sys.stdout.write(text)
        return
    RESULTS.write_text(text, encoding="utf-8")
    _write_document()


def _write_document() -> None:
    DOCUMENT.write_text(render(read_results()), encoding="utf-8")


if __name__ == "__main__":
    main()
