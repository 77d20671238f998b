"""The correlation id: one id follows a request into events, runs, logs and outgoing calls.

Kept in a context variable, so that concurrent requests never see each other's id. An id that comes from outside is accepted
only if it is short and plain (it ends up in logs and headers); anything else is replaced by a new UUIDv4.
"""

from __future__ import annotations

import re
from contextvars import ContextVar

import uuid_utils

HEADER = "X-Correlation-ID"
ACCEPTED_HEADERS = (HEADER, "X-Request-ID", "X-Trace-ID", "Correlation-ID")

_VALID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{7,127}")
_current: ContextVar[str | None] = ContextVar("correlation_id", default=None)


def accept(value: str | None) -> str:
    """`value` if it is a well-formed id (8 to 128 letters, digits, `. _ : -`), else a new one."""
    return value if value is not None and _VALID.fullmatch(value) else _new_id()


def current() -> str | None:
    """The id of the work in progress, or None outside of any."""
    return _current.get()


def _new_id() -> str:
    """A UUIDv4 without asking the system for randomness, which lets go of the interpreter each time. Forked processes differ."""
    return str(uuid_utils.uuid4())


class correlated:  # noqa: N801  # a context manager, as a class because each request has one and a generator costs twice that
    """Run the block under `value` (checked by `accept`), and restore the former id afterwards."""

    __slots__ = ("_id", "_token")

    def __init__(self, value: str | None = None) -> None:
        self._id = accept(value)

    def __enter__(self) -> str:
        self._token = _current.set(self._id)
        return self._id

    def __exit__(self, *_: object) -> None:
        _current.reset(self._token)
