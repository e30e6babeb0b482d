"""The documentation site: ``python -m docs.website`` makes it of docs/; Markdown in, static HTML without other hosts out."""
