"""The dashboard over HTTP, as a browser without scripts sees it."""
