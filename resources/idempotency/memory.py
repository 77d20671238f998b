"""Kept answers in memory: for tests, and for one process."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from resources.errors import ConflictError
from resources.idempotency.store import CLAIM_HOLDS, KEPT

if TYPE_CHECKING:
    from datetime import datetime

    from resources.idempotency.store import Answer, Key


class MemoryAnswers:
    """Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[Key, tuple[bytes, datetime, Answer | None]] = {}

    def claim(self, key: Key, request: bytes, *, now: datetime) -> Answer | None:
        with self._lock:
            found = self._kept.get(key)
            if found is None or is_free(found[1], found[2], now):
                self._kept[key] = (request, now, None)
                return None
            return answer_of(key, request, found[0], found[2])

    def settle(self, key: Key, answer: Answer) -> None:
        with self._lock:
            if key in self._kept:
                request, at, _ = self._kept[key]
                self._kept[key] = (request, at, answer)

    def release(self, key: Key) -> None:
        with self._lock:
            self._kept.pop(key, None)

    def forget(self, *, now: datetime) -> int:
        with self._lock:
            old = [key for key, (_, at, _) in self._kept.items() if now - at > KEPT]
            for key in old:
                del self._kept[key]
            return len(old)


def is_free(claimed_at: datetime, answer: Answer | None, now: datetime) -> bool:
    """Whether a claim of before counts no more."""
    return now - claimed_at > (CLAIM_HOLDS if answer is None else KEPT)


def answer_of(key: Key, request: bytes, former: bytes, answer: Answer | None) -> Answer:
    """What a key that is taken means for this request. Raises ConflictError."""
    if request != former:
        raise ConflictError(
            f"The idempotency key {key.key!r} was sent with another request. Choose a new one.",
            code="idempotency_key_reused",
        )
    if answer is None:
        raise ConflictError(
            "The same request is being worked on. Ask again in a moment.", code="request_in_progress", retryable=True
        )
    return answer
