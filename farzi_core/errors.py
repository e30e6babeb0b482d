"""The errors the core raises on purpose.

Every error carries a stable ``code`` (part of the public contract: it is shown as ``error.code`` of a failed job) and a
sentence that says what was given, what is allowed and what to change. This module imports nothing, so that the service can
use it without torch.
"""

from __future__ import annotations


class FarziError(Exception):
    """Base of every expected failure of the core; never retried, because the same input fails the same way."""

    code = "farzi_error"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code


class ConfigError(FarziError):
    """A spec or an argument is not allowed, or does not fit the data.

    Args:
        message: what was given, what is allowed, what to change.
        pointer: JSON pointer to the offending field of the spec (``/synthetic/num_sequences``), where there is one.
    """

    code = "invalid_spec"

    def __init__(self, message: str, *, pointer: str = "", code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.pointer = pointer


class DataError(FarziError):
    """A data file cannot be read as what it was declared to be.

    Args:
        message: what was found and what was expected.
        line: 1-based line of the file, where it is known.
        column: name or 1-based number of the column, where it is known.
    """

    code = "dataset_invalid"

    def __init__(
        self,
        message: str,
        *,
        line: int | None = None,
        column: str | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message, code=code)
        self.line = line
        self.column = column


class NumericalError(FarziError):
    """A loss, gradient or adjoint became NaN or infinite.

    Args:
        message: which quantity, and what usually helps.
        step: inner or outer step at which it was met.
        tensor: name of the tensor.
    """

    code = "numerical_failure"

    def __init__(self, message: str, *, step: int | None = None, tensor: str | None = None) -> None:
        super().__init__(message)
        self.step = step
        self.tensor = tensor


class ArtifactError(FarziError):
    """A file of ours (artifact or checkpoint) is damaged, truncated or of an unknown version."""

    code = "artifact_invalid"
