"""The stores behind the calls of one process: attempts are opened and settled here, off the event loop."""

from __future__ import annotations

import asyncio
import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from resources.ai.booking import current
from resources.ai.budgets.model import BudgetExceededError
from resources.ai.ledger.model import Keepsake, Opening
from resources.ai.memo.model import MemoMissError, Recording, differences, distance, key_of
from resources.ai.model import Priced
from resources.ai.telemetry import finish_span
from resources.ai.turn import Turn, timed_out
from resources.errors import PlatformError
from resources.telemetry.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from resources.ai.ledger.model import CallRecord, Captured, Opened
    from resources.ai.ledger.store import CallBooks
    from resources.ai.memo.cipher import MemoCipher
    from resources.ai.memo.model import MemoMode
    from resources.ai.memo.store import MemoStore
    from resources.ai.model import Usage
    from resources.ai.prices.book import PriceBook
    from resources.ai.turn import Asked

log = get_logger(__name__)

_FIRST_LOOK, _SLOWEST_LOOK = 0.02, 0.25
_SWEEP_PAUSE = 1.0


class Desk:
    """The stores behind the calls of one process: keeps leases alive, and joins identical calls in flight."""

    def __init__(
        self,
        books: CallBooks,
        memo: MemoStore,
        prices: PriceBook,
        cipher: MemoCipher,
        *,
        lease: float,
        threads: int,
    ) -> None:
        self._books = books
        self._memo = memo
        self._prices = prices
        self._cipher = cipher
        self._lease = lease
        self._threads = threads
        self._executors: dict[int, ThreadPoolExecutor] = {}
        self._held: dict[UUID, asyncio.AbstractEventLoop] = {}
        self._ticking: set[asyncio.AbstractEventLoop] = set()
        self._flights: dict[tuple[asyncio.AbstractEventLoop, str, bytes], asyncio.Future[None]] = {}
        self._swept_at = 0.0

    async def start(
        self,
        asked: Asked,
        *,
        mode: MemoMode,
        ttl: float | None,
        refuse_unpriced: bool,
        deadline: float,
    ) -> Turn:
        """Open the attempt. Raises BudgetExceededError, MemoMissError, ProviderUnavailableError (`provider_timeout`)."""
        key = None if mode == "off" else key_of(asked.context.tenant, asked.endpoint, asked.fingerprint)
        if asked.kind == "tool":
            worst = Priced(cost=Decimal(0), price_source="tool")
        else:
            worst = await self._priced(self._prices.worst_case, asked, asked.most)
        turn = Turn(self, asked, key=key, ttl=ttl, worst=worst, look=mode in {"read_through", "replay_only"})
        opening = Opening(
            record=turn.if_lost(),
            key=key,
            look=turn.look,
            may_call=mode != "replay_only",
            amount=worst.cost,
            tokens=asked.most.total,
            refuse_unpriced=refuse_unpriced,
            lease=self._lease,
        )
        try:
            opened = await self._open(turn, opening, deadline)
        except BaseException:
            turn.end_span_untold()
            raise
        match opened.outcome:
            case "missing":
                turn.end_span_untold()
                raise await self._miss(asked)
            case "refused":
                assert opened.refusal is not None
                turn.end_span_untold()
                raise BudgetExceededError(opened.refusal)
            case "hit":
                turn.recalled = opened.recalled
        return turn

    async def settle(
        self, turn: Turn, record: CallRecord, keep: Recording | None, captured: Captured | None, finish: str | None
    ) -> None:
        """Write the outcome. Not to be interrupted: a cancelled task waits for it."""
        keepsake = None
        if keep is not None and turn.key is not None:
            sealed = self._cipher.seal(keep.to_bytes(), tenant=record.context.tenant, key=turn.key)
            keepsake = Keepsake(turn.key, sealed, record.usage.total if record.usage else None, turn.ttl)
        booking = current()

        def write() -> None:
            self._books.settle(record, keep=keepsake, captured=captured)
            if booking is not None:
                booking.add(record)

        try:
            await self._uninterrupted(write)
        finally:
            self._held.pop(record.call_id, None)
            self._land(turn)
            finish_span(turn.span, record, finish=finish)

    async def price(self, asked: Asked, usage: Usage) -> Priced:
        return await self._priced(self._prices.price, asked, usage)

    def open_recording(self, turn: Turn, payload: bytes) -> Recording:
        assert turn.key is not None
        return Recording.from_bytes(self._cipher.open(payload, tenant=turn.asked.context.tenant, key=turn.key))

    async def in_thread(self, work: Callable[[], Any]) -> Any:
        """Run blocking work of a store off the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._executor(), work)

    async def _priced(self, price: Callable[..., Priced], asked: Asked, usage: Usage) -> Priced:
        if self._prices.needs_reading(asked.context.tenant):
            await self.in_thread(lambda: self._prices.read(asked.context.tenant))
        return price(asked.context.tenant, asked.provider, asked.model, usage)

    async def _open(self, turn: Turn, opening: Opening, deadline: float) -> Opened:
        """Open, once nobody else in this process or another is asking just that."""
        loop, pause, joined = asyncio.get_running_loop(), _FIRST_LOOK, False
        flight = (loop, turn.asked.context.tenant, turn.key or b"")
        while True:
            if turn.look and not joined and (other := self._flights.get(flight)) is not None:
                joined = True
                await _until(asyncio.shield(other), deadline, turn.asked)
            if turn.look and flight not in self._flights:
                turn.flight = self._flights[flight] = loop.create_future()
            try:
                opened: Opened = await self._reserve(turn, opening)
            except BaseException:
                self._land(turn)
                raise
            if opened.abandoned:
                self._sweep()
            if opened.outcome != "reserved":
                self._land(turn)
            if opened.outcome != "busy":
                return opened
            await _until(asyncio.sleep(pause), deadline, turn.asked)
            pause = min(_SLOWEST_LOOK, pause * 2)

    async def _reserve(self, turn: Turn, opening: Opening) -> Opened:
        future = asyncio.get_running_loop().run_in_executor(self._executor(), self._books.open, opening)
        try:
            opened: Opened = await asyncio.shield(future)
        except asyncio.CancelledError:
            with suppress(Exception):
                if (await future).outcome == "reserved":  # nothing was sent yet: give it back
                    await self._uninterrupted(lambda: self._books.settle(turn.unsent()))
            raise
        if opened.outcome == "reserved":
            self._hold(opening.record.call_id)
        return opened

    async def _uninterrupted(self, work: Callable[[], Any]) -> Any:
        future = asyncio.get_running_loop().run_in_executor(self._executor(), work)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait([future])
            raise

    async def _miss(self, asked: Asked) -> MemoMissError:
        tenant = asked.context.tenant
        kept = await self.in_thread(lambda: self._memo.newest(tenant=tenant, kind=asked.kind))
        nearest: tuple[int, UUID, bytes] | None = None
        for entry in kept:
            recorded = Recording.from_bytes(self._cipher.open(entry.payload, tenant=tenant, key=entry.key)).request
            far = distance(recorded, asked.canonical)
            if nearest is None or far < nearest[0]:
                nearest = (far, entry.call_id, recorded)
        if nearest is None:
            return MemoMissError(asked.fingerprint, nearest=None, differences=())
        found = differences(nearest[2], asked.canonical) or ["the provider's address, or the version of the memo"]
        return MemoMissError(asked.fingerprint, nearest=nearest[1], differences=found)

    def _land(self, turn: Turn) -> None:
        if turn.flight is None:
            return
        place = (turn.flight.get_loop(), turn.asked.context.tenant, turn.key or b"")
        if self._flights.get(place) is turn.flight:
            del self._flights[place]
        if not turn.flight.done():
            turn.flight.set_result(None)
        turn.flight = None

    def _hold(self, call_id: UUID) -> None:
        loop = asyncio.get_running_loop()
        self._held[call_id] = loop
        if loop not in self._ticking:
            self._ticking.add(loop)
            loop.call_later(self._lease / 3, self._tick, loop)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        """Renew what is still being called; stop when there is nothing."""
        held = [call_id for call_id, owner in self._held.items() if owner is loop]
        if not held:
            self._ticking.discard(loop)
            return
        loop.run_in_executor(self._executor(), self._renew, held)
        loop.call_later(self._lease / 3, self._tick, loop)

    def _renew(self, held: list[UUID]) -> None:
        try:
            self._books.renew(held, lease=self._lease)
        except PlatformError as error:
            log.warning("ai.lease_not_renewed", calls=len(held), reason=str(error))

    def _sweep(self) -> None:
        if time.monotonic() - self._swept_at > _SWEEP_PAUSE:
            self._swept_at = time.monotonic()
            asyncio.get_running_loop().run_in_executor(self._executor(), self.settle_abandoned)

    def settle_abandoned(self) -> int:
        """Settle the calls of processes that died."""
        try:
            lost = self._books.settle_abandoned()
        except PlatformError as error:
            log.warning("ai.abandoned_not_settled", reason=str(error))
            return 0
        if lost:
            log.warning("ai.calls_lost", calls=lost)
        return lost

    def _executor(self) -> ThreadPoolExecutor:
        pid = os.getpid()
        if pid not in self._executors:
            self._executors[pid] = ThreadPoolExecutor(self._threads, thread_name_prefix="ai-books")
        return self._executors[pid]

    def close(self) -> None:
        if (executor := self._executors.pop(os.getpid(), None)) is not None:
            executor.shutdown(wait=True)


async def _until(work: Any, deadline: float, asked: Asked) -> None:
    try:
        async with asyncio.timeout_at(deadline):
            await work
    except TimeoutError as error:
        raise timed_out(asked) from error
