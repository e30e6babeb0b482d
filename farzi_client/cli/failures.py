"""Exit codes, and the one place where an error becomes one."""

from __future__ import annotations

from farzi_client.errors import (
    ApiError,
    ConnectionFailed,
    DatasetInvalid,
    FarziClientError,
    IntegrityError,
    JobFailed,
    NoApiKey,
    UnexpectedAnswer,
    WaitTimeout,
)

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_UNREACHABLE = 3
EXIT_INTERRUPTED = 130


class UsageProblem(FarziClientError):  # noqa: N818
    """The command cannot do what it was asked for; the message says what to change."""


class CommandFailed(FarziClientError):  # noqa: N818
    """The command was right, and what it set out to do failed."""


class DatabaseUnusable(FarziClientError):  # noqa: N818
    """A command on the service's own machine cannot use its database; the message says why."""


def exit_code_of(error: FarziClientError) -> int:
    """1: the work failed; 2: the command or its input is wrong; 3: the service is not there, or does not let us in."""
    if isinstance(error, JobFailed | DatasetInvalid | IntegrityError | WaitTimeout | CommandFailed):
        return EXIT_FAILED
    if isinstance(error, ConnectionFailed | UnexpectedAnswer | NoApiKey | DatabaseUnusable):
        return EXIT_UNREACHABLE
    if isinstance(error, ApiError) and (error.status in {401, 403, 429} or error.status >= 500):
        return EXIT_UNREACHABLE
    return EXIT_USAGE


def describe(error: FarziClientError) -> str:
    """Return what happened and what to do, in a sentence or two."""
    message = str(error)
    if not isinstance(error, ApiError):
        return message
    if error.status == 401:
        return f"{message.rstrip('.')}. Set FARZI_API_KEY to a key of this service."
    if error.status == 403:
        return f"{message.rstrip('.')}. Use a key with the scope that this needs; 'farzi keys create --scope ...' makes one."
    if error.status >= 500 and error.request_id:
        return f"{message} (request {error.request_id})"
    return message
