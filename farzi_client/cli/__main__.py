"""``python -m farzi_client.cli``: the same as ``farzi``."""

from farzi_client.cli import main

main()
