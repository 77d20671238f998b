"""What subscriptions follow: each reads for itself, woken by news of the store, and goes on from a position.

Nothing is held for a reader but one page, so a slow one costs nobody else anything; one that comes back with the last position it
saw misses nothing that is kept.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from api.workflows import service
from resources.errors import InvalidInputError
from resources.realtime.output import topic_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
    from datetime import datetime

    from api.graphql.context import GraphContext
    from resources.events.model import RecordedEvent
    from resources.realtime.model import Message, Notice
    from resources.realtime.presence.model import Presence
    from resources.workflows.executions import Execution

LOOK: Final = 1.0
"""Seconds after which a reader looks without being woken: news can be lost with a connection."""
_PAGE: Final = 200
_ENDED: Final = frozenset({"completed", "failed", "cancelled"})


async def run_progress(context: GraphContext, run_id: str) -> AsyncIterator[Execution]:
    """The run as it is, and after each change, until it has ended. Raises NotFoundError."""
    told: Execution | None = None
    async with _woken(context, {"run", "message"}) as wait:
        while not context.closing():
            found = await context.run(service.execution, context.services, run_id, context.tenant)
            if found != told:
                told = found
                yield found
            if found.status in _ENDED:
                return
            await wait()


async def run_output(context: GraphContext, run_id: str, after: int) -> AsyncIterator[Message]:
    """What the run says, behind a position, until it has ended. Raises NotFoundError."""
    _check(after)
    async with _woken(context, {"message"}) as wait:
        while not context.closing():
            # Asked before reading, so that nothing is left behind.
            run = await context.run(service.execution, context.services, run_id, context.tenant)
            while page := await _messages(context, [topic_of(run_id)], after, user=None, transient=True):
                for message in page:
                    after = message.position
                    yield message
            if run.status in _ENDED:
                return
            await wait()


async def messages(context: GraphContext, pattern: str, after: int | None) -> AsyncIterator[Message]:
    """Messages of topics, behind a position; None = from now on."""
    store, tenant = context.services.publisher.messages, context.tenant
    if after is None:
        after = await context.run(store.head, tenant=tenant)
    _check(after)
    async with _woken(context, {"message"}) as wait:
        while not context.closing():
            while page := await _messages(context, [pattern], after, user=context.principal.username, transient=False):
                for message in page:
                    after = message.position
                    yield message
            await wait()


async def events(
    context: GraphContext, after: int | None, *, types: Collection[str] | None, stream_type: str | None
) -> AsyncIterator[RecordedEvent]:
    """Events behind a position; None = from now on."""
    store, tenant = context.services.events, context.tenant
    if after is None:
        after = await context.run(store.head, tenant=tenant)
    _check(after)
    appended = asyncio.Event()
    loop = asyncio.get_running_loop()
    cancel = await context.run(store.watch, lambda: _set(loop, appended))
    try:
        while not context.closing():
            appended.clear()
            head = await context.run(store.head, tenant=tenant)
            page = await context.run(
                store.read_all,
                after_position=after,
                up_to_position=head,
                types=types,
                stream_type=stream_type,
                limit=_PAGE,
                tenant=tenant,
            )
            for event in page:
                yield event
            after = page[-1].position if len(page) == _PAGE else max(after, head)
            if not page:
                await _at_most(appended)
    finally:
        cancel()


async def presence(
    context: GraphContext, users: Collection[str] | None, now: Callable[[], datetime]
) -> AsyncIterator[Presence]:
    """How users are, and each change."""
    told: dict[str, Presence] = {}
    async with _woken(context, {"presence"}) as wait:
        while not context.closing():
            for found in await context.run(context.services.presence.find, users, tenant=context.tenant, now=now()):
                known = told.get(found.user)
                if known is None or (known.status, known.devices, known.note) != (
                    found.status,
                    found.devices,
                    found.note,
                ):
                    told[found.user] = found
                    yield found
            await wait()


async def _messages(
    context: GraphContext, patterns: Sequence[str], after: int, *, user: str | None, transient: bool
) -> Sequence[Message]:
    return await context.run(
        context.services.publisher.messages.read,
        tenant=context.tenant,
        after=after,
        patterns=patterns,
        user=user,
        transient=transient,
        limit=_PAGE,
    )


@asynccontextmanager
async def _woken(context: GraphContext, kinds: Collection[str]) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Gives what waits for news of these kinds."""
    loop, news = asyncio.get_running_loop(), asyncio.Event()
    heard = {*kinds, "lost"}

    def hear(notices: Sequence[Notice]) -> None:
        if any(notice.kind in heard and notice.tenant in {"", context.tenant} for notice in notices):
            _set(loop, news)

    async def wait() -> None:
        await _at_most(news)
        news.clear()

    cancel = await context.run(context.services.publisher.messages.watch, hear)
    try:
        yield wait
    finally:
        cancel()


async def _at_most(news: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(LOOK):
            await news.wait()
    except TimeoutError:
        pass


def _set(loop: asyncio.AbstractEventLoop, news: asyncio.Event) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(news.set)


def _check(after: int) -> None:
    if after < 0:
        raise InvalidInputError(f"A position is 0 or more, not {after}.", code="position_invalid")
