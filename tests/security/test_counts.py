"""The numbers of ``docs/security.md`` are those of the tests."""

from __future__ import annotations

import re

from app.main import create_app
from app.openapi import DOCS, operations
from app.settings import Settings
from tests.app.webhooks.test_targets import HOSTILE_ADDRESSES, HOSTILE_URLS
from tests.security.schemathesis_hooks import RULES


def test_the_document_counts_right() -> None:
    every = [operation for _, _, operation in operations(create_app(Settings()).openapi())]
    with_key = [operation for operation in every if operation.get("security")]
    text = " ".join((DOCS / "security.md").read_text().split())
    assert f"all {len(with_key)} operations that need a key" in text
    assert f"over all {len(every)} operations of the document" in text
    rules = (DOCS / "security.md").read_text().partition("## What the OpenAPI document cannot say")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", rules, re.MULTILINE)) == set(RULES)
    assert f"{len(set(HOSTILE_URLS))} hostile URLs, and {len(set(HOSTILE_ADDRESSES))} hostile addresses" in text
