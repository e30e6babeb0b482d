"""``python -m docs.website``: build the site into ``build/site`` and say where it is."""

from __future__ import annotations

import sys

from docs.website.building import build_site
from docs.website.pages import ROOT


def main() -> int:
    """Build; a broken link or any other warning of the generator fails."""
    index = build_site(ROOT / "build" / "site")
    sys.stdout.write(f"{index}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
