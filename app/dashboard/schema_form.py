"""Form fields from a JSON Schema, and what a person filled in back to JSON values; the model judges whether they are allowed.

A field is known by its dotted path, ``outer.num_steps``: the name in the form, and with slashes the pointer of a problem.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Json = Any
Kind = Literal["choice", "integer", "number", "text", "list"]

WORDS = {"num": "number of", "lr": "learning rate", "dim": "dimension", "params": "parameters", "ks": "cut-offs k"}
_INTEGER = re.compile(r"[+-]?\d{1,18}")
_LIST_SEPARATOR = re.compile(r"\s*,\s*")


@dataclass(frozen=True)
class Field:
    """One field of a form.

    Attributes:
        path: names from the outermost object to the value.
        hint: the schema's description.
        kind: how it is filled in.
        choices: value and label of each, of a choice.
        types: JSON types that a value may have.
        can_be_null: whether null is allowed; it is shown as nothing.
        default: value that is sent if the person changes nothing.
    """

    path: tuple[str, ...]
    hint: str
    kind: Kind
    choices: tuple[tuple[str, str], ...]
    types: frozenset[str]
    can_be_null: bool
    default: Json

    @property
    def name(self) -> str:
        return ".".join(self.path)

    @property
    def label(self) -> str:
        return _in_words(self.path[-1]).capitalize()

    @property
    def full_label(self) -> str:
        """Label with what the field belongs to."""
        return ": ".join(_in_words(name) for name in self.path).capitalize()

    @property
    def shown_default(self) -> str:
        return show_value(self.default)

    def read(self, text: str) -> Json:
        """Return the JSON value of what was filled in; what cannot be read stays as it is, for the model to refuse."""
        text = text.strip()
        if not text:
            empty = [] if self.kind == "list" else self.default
            return None if self.can_be_null else empty
        if self.kind == "list":
            return [self._read_one(part) for part in _LIST_SEPARATOR.split(text) if part]
        return self._read_one(text)

    def _read_one(self, text: str) -> Json:
        if "boolean" in self.types and text in {"true", "false"}:
            return text == "true"
        if "number" in self.types:
            return read_number(text)
        return int(text) if "integer" in self.types and _INTEGER.fullmatch(text) else text


@dataclass(frozen=True)
class Section:
    """Fields of one object of the schema."""

    name: str
    hint: str
    fields: tuple[Field, ...]


def make_sections(schema: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[Section]:
    """Return the fields of a schema: one section for values of its own, one for each object in it."""
    own: list[Field] = []
    sections: list[Section] = []
    for name, part in schema["properties"].items():
        resolved = _resolve(schema, part)
        default = defaults.get(name)
        if "properties" in resolved:
            inner = default if isinstance(default, Mapping) else {}
            fields = tuple(_fields(schema, resolved, inner, (name,)))
            sections.append(Section(name, _first_line(resolved.get("description", "")), fields))
        else:
            own.append(_make_field(schema, part, default, (name,)))
    return [Section("", "", tuple(own)), *sections]


def read_values(fields: Iterable[Field], filled_in: Mapping[str, str]) -> dict[str, Json]:
    """Return a JSON object of every field that was filled in with something other than its default."""
    values: dict[str, Json] = {}
    for field in fields:
        if field.name not in filled_in:
            continue
        value = field.read(filled_in[field.name])
        if _same(value, field.default):
            continue
        target = values
        for name in field.path[:-1]:
            target = target.setdefault(name, {})
        target[field.path[-1]] = value
    return values


def read_number(text: str) -> int | float | str:
    """Return the number that was filled in; what is none stays as it is, for the model to refuse."""
    if _INTEGER.fullmatch(text):
        return int(text)
    try:
        return float(text)
    except ValueError:
        return text


def show_value(value: Json) -> str:
    """Return a JSON value as it is filled in."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return ", ".join(show_value(item) for item in value)
    return str(value)


def _fields(
    schema: Mapping[str, Any], part: Mapping[str, Any], defaults: Mapping[str, Any], path: tuple[str, ...]
) -> Iterator[Field]:
    for name, inner in part["properties"].items():
        yield _make_field(schema, inner, defaults.get(name, inner.get("default")), (*path, name))


def _make_field(schema: Mapping[str, Any], part: Mapping[str, Any], default: Json, path: tuple[str, ...]) -> Field:
    alternatives = [_resolve(schema, each) for each in part.get("anyOf", [part])]
    items = [item for each in alternatives if each.get("type") == "array" for item in _items(schema, each)]
    scalars = items or alternatives
    types = frozenset(str(each["type"]) for each in scalars if "type" in each)
    nullable = any(each.get("type") == "null" for each in alternatives)
    kind, choices = _kind(scalars, types - {"null"}, is_list=bool(items))
    return Field(path, str(part.get("description", "")), kind, choices, types, nullable, _plain(default))


def _kind(
    scalars: Iterable[Mapping[str, Any]], types: frozenset[str], *, is_list: bool
) -> tuple[Kind, tuple[tuple[str, str], ...]]:
    if is_list:
        return "list", ()
    choices = tuple((str(value), str(value)) for each in scalars for value in each.get("enum", ()))
    if choices:
        return "choice", choices
    if types == {"boolean"}:
        return "choice", (("true", "yes"), ("false", "no"))
    if types == {"integer"}:
        return "integer", ()
    return ("number" if types == {"number"} else "text"), ()


def _items(schema: Mapping[str, Any], part: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for item in part.get("prefixItems", [part.get("items", {})]):
        resolved = _resolve(schema, item)
        yield from (_resolve(schema, each) for each in resolved.get("anyOf", [resolved]))


def _resolve(schema: Mapping[str, Any], part: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = part.get("$ref")
    for each in part.get("anyOf", ()):
        if "$ref" in each:
            reference = each["$ref"]
    if reference is None:
        return part
    resolved: Mapping[str, Any] = schema["$defs"][reference.removeprefix("#/$defs/")]
    return resolved


def _in_words(name: str) -> str:
    return " ".join(WORDS.get(part, part) for part in name.split("_"))


def _first_line(text: str) -> str:
    return text.partition("\n")[0].replace("``", "")


def _plain(value: Json) -> Json:
    return list(value) if isinstance(value, tuple) else value


def _same(value: Json, other: Json) -> bool:
    if _is_number(value) and _is_number(other):
        return bool(value == other)
    return type(value) is type(other) and bool(value == other)


def _is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
