"""What every part of a spec is: an immutable model that tells the types of JSON apart and knows all of its fields."""

from __future__ import annotations

from pydantic import ConfigDict

from farzi_core.json_types import JsonTypedModel


class SpecModel(JsonTypedModel):
    """Base of every part of the spec: immutable, and closed to unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")
