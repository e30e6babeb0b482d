"""What the builders of both kinds share: their fields, what was filled in, which problem is of which field, the estimate."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import Request

from app.dashboard.forms import Form, validate
from app.dashboard.page_route import begin_post
from app.dashboard.schema_form import Field, Section, read_number, read_values
from app.errors import FieldProblem, ServiceError
from app.jobs import planning_endpoints
from app.jobs.schemas import JobCreate
from app.services import Services

SPEC = "/spec/"


@dataclass(frozen=True)
class SpecBuilder:
    """A form as it is shown: fields that most people change, the rest by section, and what was filled in so far."""

    first: tuple[Field, ...]
    sections: tuple[Section, ...]
    filled_in: dict[str, str]

    def value_of(self, field: Field) -> str:
        return self.filled_in.get(field.name, field.shown_default)

    @property
    def fields(self) -> Iterable[Field]:
        return (*self.first, *(field for section in self.sections for field in section.fields))

    @property
    def changed(self) -> dict[str, Any]:
        """Fields of the spec that differ from what the form began with."""
        return read_values(self.fields, self.filled_in)

    def complete(self, job: dict[str, Any]) -> JobCreate:
        """Return what the API is asked for: ``job`` with labels and deadline.

        Raises:
            ServiceError: a label or the deadline is wrong.
        """
        values = {**job, "metadata": _read_labels(self.filled_in.get("labels", ""))}
        deadline = self.filled_in.get("deadline_s", "").strip()
        if deadline:
            values["deadline_s"] = read_number(deadline)
        return validate(JobCreate, values)

    def problems_by_field(self, error: ServiceError | None) -> dict[str, str]:
        """Return what is wrong with each field, or with one of the values in its list."""
        problems = error.problems if error else ()
        return {field.name: _problem_of(field, problems) for field in self.fields}


def ask_estimate(body: JobCreate, request: Request, form: Form, services: Services) -> dict[str, Any]:
    """Return what the API says that a job would take."""
    found = planning_endpoints.estimate_job(body, begin_post(request, form.unkeyed), services)
    estimate: dict[str, Any] = json.loads(bytes(found.body))
    return estimate


def arrange(sections: Iterable[Section], first: Sequence[str], *, without: Sequence[str] = (), own: str) -> dict[str, Any]:
    """Return the fields of a schema as a builder shows them; ``own`` names the section of those that are in no object."""
    by_name = {field.name: field for section in sections for field in section.fields}
    rest = []
    for section in sections:
        fields = tuple(field for field in section.fields if field.name not in {*first, *without})
        if fields:
            rest.append(Section(section.name or own, section.hint, fields))
    return {"first": tuple(by_name[name] for name in first), "sections": tuple(rest)}


def _problem_of(field: Field, problems: Sequence[FieldProblem]) -> str:
    pointer = SPEC + "/".join(field.path)
    return "; ".join(each.detail for each in problems if each.pointer == pointer or each.pointer.startswith(f"{pointer}/"))


def _read_labels(text: str) -> dict[str, str]:
    """Return labels written one a line as KEY=VALUE."""
    labels = {}
    for line in filter(None, (line.strip() for line in text.splitlines())):
        key, is_pair, value = line.partition("=")
        if not is_pair:
            problem = FieldProblem("/metadata", f"{line[:80]!r} is no label; write KEY=VALUE, one a line")
            raise ServiceError("invalid_request", f"{problem.pointer}: {problem.detail}", problems=(problem,))
        labels[key.strip()] = value.strip()
    return labels
