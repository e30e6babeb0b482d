"""``/docs``: every operation on one page, without scripts and without anything from another host."""

from __future__ import annotations

from html import escape
from typing import Any

METHODS = ("get", "post", "put", "patch", "delete")
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
section { border-top: 1px solid #ddd; padding: .5rem 0; } h3 { margin: .5rem 0; font: 600 1rem ui-monospace, monospace; }
b.method { display: inline-block; min-width: 4.5rem; color: #0a5; } table { border-collapse: collapse; }
td { padding: .1rem 1rem .1rem 0; vertical-align: top; } code { background: #f4f4f4; padding: 0 .2rem; }
"""


def render_api_page(description: dict[str, Any]) -> str:
    """Return the page for an OpenAPI description."""
    info = description["info"]
    operations = "".join(
        _render_operation(method, path, item[method], description)
        for path, item in description["paths"].items()
        for method in METHODS
        if method in item
    )
    title = f"{escape(info['title'])} {escape(info['version'])}"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style></head>'
        f"<body><h1>{title}</h1><p>{escape(info['description'])}</p>"
        '<p>Machine-readable: <a href="/v1/openapi.json">/v1/openapi.json</a></p>'
        f"{operations}</body></html>"
    )


def _render_operation(method: str, path: str, operation: dict[str, Any], description: dict[str, Any]) -> str:
    parameters = [(item["name"], item["in"], item.get("description", "")) for item in operation.get("parameters", ())]
    parameters += _body_fields(operation, description)
    rows = "".join(
        f"<tr><td><code>{escape(name)}</code></td><td>{escape(place)}</td><td>{escape(text)}</td></tr>"
        for name, place, text in parameters
    )
    return (
        f'<section><h3><b class="method">{method.upper()}</b> {escape(path)}</h3>'
        f"<p>{escape(operation.get('description', ''))}</p><table>{rows}</table></section>"
    )


def _body_fields(operation: dict[str, Any], description: dict[str, Any]) -> list[tuple[str, str, str]]:
    content = operation.get("requestBody", {}).get("content", {})
    reference = content.get("application/json", {}).get("schema", {}).get("$ref", "")
    if not reference:
        return [("(body)", "body", media_type) for media_type in content]
    schema = description["components"]["schemas"][reference.rpartition("/")[2]]
    return [(name, "body", field.get("description", "")) for name, field in schema["properties"].items()]
