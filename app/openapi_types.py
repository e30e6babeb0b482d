"""JSON Schema in a few words, for people: the type of a value, and the fields of an object."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]

# Of objects in objects that are listed.
_DEPTH = 1


def type_of(schema: Schema, schemas: dict[str, Schema]) -> str:
    """Return what a value may be, for example ``integer from 1 to 200, default 50``."""
    said = _bare_type(schema, schemas)
    low, high = schema.get("minimum", schema.get("exclusiveMinimum")), schema.get("maximum", schema.get("exclusiveMaximum"))
    if low is not None:
        said += f" from {low:.15g}"
    if high is not None:
        said += f" to {high:.15g}"
    default = schema.get("default")
    return said if default is None or isinstance(default, dict) else f"{said}, default {json.dumps(default)}"


def fields_of(schema: Schema, schemas: dict[str, Schema]) -> list[dict[str, Any]]:
    """Return name, type, meaning and whether it is required of every field; of a page of a list, those of its items.

    Fields of an object in a field are listed too, by dotted name. What has no fields of its own is one row: the body itself.
    """
    resolved = _resolve(schema, schemas)
    properties = resolved.get("properties", {})
    if {"data", "has_more"} <= properties.keys() and "$ref" in properties["data"]["items"]:
        return fields_of(properties["data"]["items"], schemas)
    whole = {"name": "(body)", "type": type_of(resolved, schemas), "required": True}
    return list(_rows(resolved, schemas)) or [{**whole, "description": resolved.get("description", "")}]


def _rows(schema: Schema, schemas: dict[str, Schema], prefix: str = "", depth: int = 0) -> Iterator[dict[str, Any]]:
    required = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        inner = _object_in(field, schemas)
        text = field.get("description") or inner.get("description", "")
        row = {"name": prefix + name, "type": type_of(field, schemas), "required": name in required}
        yield {**row, "description": text}
        if depth < _DEPTH:
            yield from _rows(inner, schemas, f"{prefix}{name}.", depth + 1)


def _object_in(field: Schema, schemas: dict[str, Schema]) -> Schema:
    """Return the schema of the object that a field holds, be it optional or in a list."""
    for option in (field, *field.get("anyOf", ()), field.get("items", {})):
        resolved = _resolve(option, schemas)
        if "properties" in resolved:
            return resolved
    return {}


def _resolve(schema: Schema, schemas: dict[str, Schema]) -> Schema:
    while "$ref" in schema or "$ref" in schema.get("allOf", [{}])[0]:
        schema = schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema["allOf"][0]
    return schema


def _bare_type(schema: Schema, schemas: dict[str, Schema]) -> str:
    resolved = _resolve(schema, schemas)
    if "const" in resolved:
        return json.dumps(resolved["const"])
    if "enum" in resolved:
        return " | ".join(str(value) for value in resolved["enum"])
    options = resolved.get("anyOf") or resolved.get("oneOf")
    if options and "type" not in resolved:
        return " or ".join(dict.fromkeys(type_of(option, schemas) for option in options))
    if resolved.get("type") == "array":
        return f"list of {_bare_type(resolved['items'], schemas)}" if "items" in resolved else "list"
    further = resolved.get("additionalProperties")
    if resolved.get("type") == "object" and isinstance(further, dict) and further:
        return f"object of {_bare_type(further, schemas)}"
    return {"date-time": "time", "binary": "bytes"}.get(resolved.get("format", ""), str(resolved.get("type", "anything")))
