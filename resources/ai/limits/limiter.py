"""Waiting for a slot, for tasks of one event loop: a window for each key and model, as `window.py` tells.

Each process has its own; what other processes use of a key is learnt from the provider's headers and its refusals.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from resources.ai.limits.window import Quota, Window

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from resources.ai.limits.window import Ticket
    from resources.ai.provider import RateLimits

_UNTOLD = 1.0


class RateLimiter:
    """`quotas` are those known beforehand, by provider and model; the others are learnt.

    The key of a provider belongs to its name: two keys of one vendor are two providers.
    """

    def __init__(
        self,
        quotas: Mapping[tuple[str, str], Quota] | None = None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._quotas = dict(quotas or {})
        self._monotonic = monotonic
        self._windows: dict[tuple[str, str], Window] = {}
        self._waiting: dict[Ticket, asyncio.Future[None]] = {}
        self._alarms: dict[tuple[str, str], asyncio.TimerHandle] = {}

    @asynccontextmanager
    async def slot(self, *, tenant: str, provider: str, model: str, tokens: int) -> AsyncIterator[Slot]:
        """Wait until a request of about so many tokens may go."""
        place = (provider, model)
        window = self._window(place)
        ticket = window.queue(tenant, tokens)
        self._wake(place)
        if ticket.granted_at is None:
            future = asyncio.get_running_loop().create_future()
            self._waiting[ticket] = future
            try:
                await future
            except asyncio.CancelledError:
                window.leave(ticket)
                self._wake(place)
                raise
            finally:
                self._waiting.pop(ticket, None)
        try:
            yield Slot(window, ticket)
        finally:
            self._wake(place)

    def learn(self, limits: RateLimits) -> None:
        """What an adapter was told. Called on the event loop's thread."""
        place = (limits.provider, limits.model)
        self._window(place).learn(
            self._monotonic(),
            quota=Quota(limits.requests_limit, limits.tokens_limit),
            remaining=Quota(limits.requests_remaining, limits.tokens_remaining),
        )
        self._wake(place)

    def refused(self, provider: str, model: str, retry_after: float | None) -> None:
        """The provider said 429."""
        self._window((provider, model)).close(self._monotonic(), _UNTOLD if retry_after is None else retry_after)

    def _window(self, place: tuple[str, str]) -> Window:
        if place not in self._windows:
            self._windows[place] = Window(self._quotas.get(place))
        return self._windows[place]

    def _wake(self, place: tuple[str, str]) -> None:
        """Give slots to those who may go, and look again when the next one might."""
        window, now = self._windows[place], self._monotonic()
        for ticket in window.grant(now):
            future = self._waiting.get(ticket)
            if future is not None and not future.done():
                future.set_result(None)
        if (alarm := self._alarms.pop(place, None)) is not None:
            alarm.cancel()
        if (at := window.next_at(now)) is not None:
            loop = asyncio.get_running_loop()
            self._alarms[place] = loop.call_later(max(0.01, at - now), self._wake, place)


class Slot:
    """A granted share of the window."""

    def __init__(self, window: Window, ticket: Ticket) -> None:
        self._window = window
        self._ticket = ticket

    def settle(self, tokens: int | None) -> None:
        """What the call really took; None = unknown."""
        self._window.settle(self._ticket, tokens)
