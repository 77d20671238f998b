"""Answers that were given, kept so that a request which is sent again is not done again (the header `Idempotency-Key`).

A key is its sender's own. It is claimed before the work and settled with the answer, or released when none is worth keeping. A
claim that is neither within a minute belonged to a process that died, and is anybody's again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

KEPT = timedelta(days=1)
CLAIM_HOLDS = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Key:
    """Whose key it is, and which."""

    tenant: str
    subject: str
    key: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Answers(Protocol):
    """All raise UnavailableError when the store cannot be reached."""

    def claim(self, key: Key, request: bytes, *, now: datetime) -> Answer | None:
        """None = it is the caller's to do; else the answer that was given to the same request.

        `request` is a digest of it. Raises ConflictError: `idempotency_key_reused` when the key was sent with another request,
        `request_in_progress` (retryable) while the same one is being worked on.
        """
        ...

    def settle(self, key: Key, answer: Answer) -> None:
        """Keep the answer of what was claimed."""
        ...

    def release(self, key: Key) -> None:
        """Give the claim back: the request may be sent again."""
        ...

    def forget(self, *, now: datetime) -> int:
        """Remove what is older than a day; gives how many."""
        ...
