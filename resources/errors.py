"""Every error that the platform raises on purpose.

The tree says who is at fault and what a caller can do; each face of the platform maps the *categories* once (HTTP status,
`dg.Failure`, exit code) and never a vendor's error:

    PlatformError
    ├── InvalidInputError      the caller sent something wrong; repeating it will fail again
    ├── NotFoundError          the named thing does not exist (for this tenant)
    ├── ConflictError          the thing is in a state that does not allow this
    │   ├── ConcurrencyError   somebody else wrote first; read again and retry
    │   └── StaleError         it is not as the caller's condition (`If-Match`) says
    ├── UnauthenticatedError   the caller is not known: no credentials, or none that are good
    ├── NotPermittedError      the caller may not do this
    ├── LimitExceededError     too much or too fast; `retry_after` says when to come back, if ever
    ├── UnavailableError       a dependency cannot be reached; named in `dependency`
    └── UpstreamError          a dependency answered, but with a failure of its own

`code` is stable and machine-readable (`document_empty`); the message says what was attempted, names the thing with `!r` and
tells what to do. `details` holds facts for the reader, never secrets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar


class PlatformError(Exception):
    """Base of all errors raised on purpose. Never raised itself."""

    default_code: ClassVar[str] = "internal_error"
    default_retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, code: str | None = None, retryable: bool | None = None, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.retryable = self.default_retryable if retryable is None else retryable
        self.details = details


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with an input: where (`nodes.summarise.config.model`), what, and what to do about it.

    `code` is stable and machine-readable (`cycle_detected`), where the kind of problem has one.
    """

    path: str
    message: str
    hint: str | None = None
    code: str | None = None

    def __str__(self) -> str:
        where = f"{self.path}: " if self.path else ""
        return f"{where}{self.message}" + (f" ({self.hint})" if self.hint else "")


class InvalidInputError(PlatformError):
    """The input is wrong. `problems` lists everything that is, not just the first."""

    default_code = "invalid_input"

    def __init__(
        self, message: str, *, problems: tuple[Problem, ...] = (), code: str | None = None, **details: Any
    ) -> None:
        super().__init__(message, code=code, **details)
        self.problems = problems


class NotFoundError(PlatformError):
    """The named thing does not exist, or not for this tenant (the two are never told apart)."""

    default_code = "not_found"


class ConflictError(PlatformError):
    """The thing exists in a state that does not allow what was asked."""

    default_code = "conflict"


class ConcurrencyError(ConflictError):
    """An optimistic lock failed: `expected` and `actual` are stream versions (0 = no stream)."""

    default_code = "concurrency_conflict"
    default_retryable = True

    def __init__(self, message: str, *, expected: str, actual: int) -> None:
        super().__init__(message, expected=expected, actual=actual)
        self.expected = expected
        self.actual = actual


class StaleError(ConflictError):
    """The thing is not as the caller's condition says; `etag` is that of what is there now, None = nothing is there.

    With the code `precondition_required`: it may not be changed without a condition.
    """

    default_code = "precondition_failed"

    def __init__(self, message: str, *, etag: str | None, code: str | None = None, **details: Any) -> None:
        super().__init__(message, code=code, etag=etag, **details)
        self.etag = etag


class UnauthenticatedError(PlatformError):
    """Nobody knows who the caller is: credentials are missing, wrong, expired or revoked."""

    default_code = "unauthenticated"


class NotPermittedError(PlatformError):
    """The caller is known and may not do this."""

    default_code = "not_permitted"


class LimitExceededError(PlatformError):
    """A size, rate or budget limit. `retry_after` is in seconds; None means that waiting does not help."""

    default_code = "limit_exceeded"

    def __init__(
        self, message: str, *, retry_after: float | None = None, code: str | None = None, **details: Any
    ) -> None:
        super().__init__(message, code=code, retryable=retry_after is not None, **details)
        self.retry_after = retry_after


class UnavailableError(PlatformError):
    """A dependency cannot be reached right now. What was acknowledged before is safe; try again later."""

    default_code = "dependency_unavailable"
    default_retryable = True

    def __init__(self, message: str, *, dependency: str, code: str | None = None, **details: Any) -> None:
        super().__init__(message, code=code, dependency=dependency, **details)
        self.dependency = dependency


class UpstreamError(PlatformError):
    """A dependency answered with a failure of its own."""

    default_code = "upstream_error"
