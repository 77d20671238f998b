"""Waiting for a slot, for tasks of one event loop: a window for each key and model, as `window.py` tells.

Where a limit is known, a slot is also taken from the window that all processes share, if there is one; without it, what others
use of a key is learnt from the provider's headers and its refusals. A tenant asks there for one slot at a time, so that those
who wait in other processes have their turn.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import uuid_utils.compat as uuid_utils

from resources.ai.limits.window import SPAN, Quota, Window
from resources.errors import PlatformError
from resources.telemetry.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from uuid import UUID

    from resources.ai.limits.shared import SharedWindows
    from resources.ai.limits.window import Ticket
    from resources.ai.provider import RateLimits

log = get_logger(__name__)

_UNTOLD: Final = 1.0
_LEARN_PAUSE: Final = 1.0


class RateLimiter:
    """`quotas` are those known beforehand, by provider and model; the others are learnt.

    The key of a provider belongs to its name: two keys of one vendor are two providers.
    """

    def __init__(
        self,
        quotas: Mapping[tuple[str, str], Quota] | None = None,
        *,
        shared: SharedWindows | None = None,
        span: float = SPAN,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._quotas = dict(quotas or {})
        self._shared = shared
        self._span = span
        self._asking: defaultdict[tuple[str, str, str], asyncio.Lock] = defaultdict(asyncio.Lock)
        self._learnt_at: dict[tuple[str, str], float] = {}
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
            yield Slot(self, window, ticket, await self._taken(place, window, tenant, tokens))
        finally:
            self._wake(place)

    def learn(self, limits: RateLimits) -> None:
        """What an adapter was told. Called on the event loop's thread."""
        place, now = (limits.provider, limits.model), self._monotonic()
        remaining = Quota(limits.requests_remaining, limits.tokens_remaining)
        shared = self._shared
        self._window(place).learn(
            now,
            quota=Quota(limits.requests_limit, limits.tokens_limit),
            remaining=remaining if shared is None else Quota(),
        )
        used = (
            None if remaining.tokens is None or limits.tokens_limit is None else limits.tokens_limit - remaining.tokens
        )
        if shared is not None and used is not None and now - self._learnt_at.get(place, -_LEARN_PAUSE) >= _LEARN_PAUSE:
            self._learnt_at[place] = now
            self.tell(lambda: shared.learn(_name(place), used=used))
        self._wake(place)

    def refused(self, provider: str, model: str, retry_after: float | None) -> None:
        """The provider said 429."""
        seconds = _UNTOLD if retry_after is None else retry_after
        self._window((provider, model)).close(self._monotonic(), seconds)
        if (shared := self._shared) is not None:
            self.tell(lambda: shared.close(_name((provider, model)), seconds))

    def settle(self, grant: UUID, tokens: int) -> None:
        """What a slot of the shared window really took."""
        if (shared := self._shared) is not None:
            self.tell(lambda: shared.settle(grant, tokens))

    def tell(self, work: Callable[[], None]) -> None:
        """Have it written by the way: a window that is not told is only less exact."""

        def written() -> None:
            try:
                work()
            except PlatformError as error:
                log.warning("ai.rate_not_told", reason=str(error))

        asyncio.get_running_loop().run_in_executor(None, written)

    async def _taken(self, place: tuple[str, str], window: Window, tenant: str, tokens: int) -> UUID | None:
        """The slot in the shared window, once there is one; None where there is no limit to share."""
        if (shared := self._shared) is None or window.quota == Quota():
            return None
        grant: UUID = uuid_utils.uuid7()
        async with self._asking[(*place, tenant)]:
            while True:
                seconds = await asyncio.to_thread(
                    shared.take, _name(place), grant, tenant=tenant, tokens=tokens, quota=window.quota
                )
                if not seconds:
                    return grant
                await asyncio.sleep(seconds)

    def _window(self, place: tuple[str, str]) -> Window:
        if place not in self._windows:
            self._windows[place] = Window(self._quotas.get(place), span=self._span)
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
    """A granted share of the window, and of the shared one."""

    def __init__(self, limiter: RateLimiter, window: Window, ticket: Ticket, grant: UUID | None) -> None:
        self._limiter = limiter
        self._window = window
        self._ticket = ticket
        self._grant = grant

    def settle(self, tokens: int | None) -> None:
        """What the call really took; None = unknown."""
        if self._grant is not None and tokens is not None and tokens != self._ticket.tokens:
            self._limiter.settle(self._grant, tokens)
        self._window.settle(self._ticket, tokens)


def _name(place: tuple[str, str]) -> str:
    return "/".join(place)
