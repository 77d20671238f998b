"""What a stretch of work books its calls on, and what they have come to.

Whoever executes work for somebody (a step of a workflow) opens a booking around it. Each call within it, on whatever task or
thread, takes from there what its caller does not know, and is added up there once it is settled.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

from resources.ai.ledger.model import Totals

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from resources.ai.ledger.model import CallRecord
    from resources.ai.model import CallContext

_current: ContextVar[Booking | None] = ContextVar("ai_booking", default=None)


@dataclass(frozen=True, slots=True)
class Places:
    """What calls are booked on, where their own context says nothing."""

    asset: str | None = None
    partition: str | None = None
    user: str | None = None


@dataclass(slots=True)
class Booking:
    """Safe to share between threads."""

    places: Places = Places()
    _sums: dict[str | None, Totals] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, record: CallRecord) -> None:
        """The call is in the books."""
        with self._lock:
            self._sums[record.prompt_version] = self._sums.get(record.prompt_version, Totals()).plus(record)

    @property
    def by_prompt(self) -> Mapping[str | None, Totals]:
        """Sums over the calls by version of the prompt, as `CallBooks.totals("prompt")` gives them."""
        with self._lock:
            return dict(self._sums)


@contextmanager
def booked() -> Iterator[Booking]:
    """Book the calls of the block, on the booking's `places` once they are set."""
    booking = Booking()
    token = _current.set(booking)
    try:
        yield booking
    finally:
        _current.reset(token)


def current() -> Booking | None:
    """That of the work in progress."""
    return _current.get()


def placed(context: CallContext) -> CallContext:
    """The context, with what the booking knows and it does not."""
    booking = _current.get()
    if booking is None:
        return context
    places = {place.name: getattr(booking.places, place.name) for place in fields(Places)}
    missing = {name: value for name, value in places.items() if value is not None and getattr(context, name) is None}
    return context.model_copy(update=missing) if missing else context
