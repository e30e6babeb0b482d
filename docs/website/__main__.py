"""``python -m docs.website [DIRECTORY]``: build the site into DIRECTORY (default ``build/site``) and say where it is."""

from __future__ import annotations

import sys
from pathlib import Path

from docs.website.building import build_site
from docs.website.pages import ROOT


def main() -> int:
    """Build; a broken link or any other warning of the generator fails."""
    directory = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else ROOT / "build" / "site"
    index = build_site(directory)
    sys.stdout.write(f"{index}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
