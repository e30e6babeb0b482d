"""Expected failures of the service, each with a stable code and an HTTP status; knows nothing of FastAPI."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FieldProblem:
    """One bad field of a request: a JSON pointer and what is wrong with it."""

    pointer: str
    detail: str


class ServiceError(Exception):
    """A request that cannot be carried out.

    Args:
        code: stable, snake_case; clients branch on it.
        status: HTTP status.
        message: what was given, what is allowed, what to change.
        retryable: whether the same request may succeed later.
        problems: bad fields, where the request body is at fault.
    """

    def __init__(
        self,
        code: str,
        status: int,
        message: str,
        *,
        retryable: bool = False,
        problems: tuple[FieldProblem, ...] = (),
    ) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.message = message
        self.retryable = retryable
        self.problems = problems
