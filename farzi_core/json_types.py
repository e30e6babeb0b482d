"""Models that tell the types of JSON apart: a number is no text that looks like one, and no boolean."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticKnownError, core_schema

_NO_SCHEMAS = frozenset({"default", "metadata", "serialization"})


def _integer(value: Any) -> Any:
    if isinstance(value, bool | str | bytes):
        raise PydanticKnownError("int_type")
    return value


def _number(value: Any) -> Any:
    if isinstance(value, bool | str | bytes):
        raise PydanticKnownError("float_type")
    return value


_CHECKS: dict[str, Callable[[Any], Any]] = {"int": _integer, "float": _number}


def _typed(schema: Any) -> Any:
    """Return ``schema`` with every number and boolean in it taken as such only; models in it see to theirs themselves."""
    if isinstance(schema, list | tuple):
        return type(schema)(_typed(part) for part in schema)
    kind = schema.get("type") if isinstance(schema, dict) else None
    if kind in _CHECKS:
        return core_schema.no_info_before_validator_function(_CHECKS[kind], schema)
    if kind == "bool":
        return {**schema, "strict": True}
    # A schema that was made before comes back with its checks.
    is_done = kind == "function-before" and schema["function"]["function"] in _CHECKS.values()
    if not isinstance(schema, dict) or is_done or kind in {"model", "definition-ref"}:
        return schema
    return {name: part if name in _NO_SCHEMAS else _typed(part) for name, part in schema.items()}


class JsonTypedModel(BaseModel):
    """Numbers and booleans of its fields are taken as such only.

    Pydantic's own strictness would also refuse what JSON has no types for: lists for tuples, text for times and
    enumerations. As in JSON Schema, a number without a fraction is an integer, and an integer is a number.
    """

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        made = handler(source)
        model: Any = made
        while model["type"] != "model":  # validators of the whole are around it
            model = model["schema"]
        model["schema"] = _typed(model["schema"])
        return made
