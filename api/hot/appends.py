"""`POST /events` of one event: checked as the route checks it, stored by the group commit, awaited without a thread.

Requests that come at the same time share a transaction and one flush of the disk; each is answered when its own event is durable.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from http import HTTPStatus
from threading import Lock
from typing import TYPE_CHECKING, Any

import orjson
from starlette.exceptions import HTTPException

from api import problems
from api.auth import access
from api.auth.principal import principal_of
from api.bodies import body_of, given
from api.routes.events import at, checked
from resources.errors import PlatformError
from resources.events.catalog import DocumentReceived

if TYPE_CHECKING:
    from concurrent.futures import Future

    from starlette.types import Receive, Scope, Send

    from api.dependencies import Services
    from resources.events.model import Appended, RecordedEvent

_WANTED = access.needed("POST", "/events")
_PATH = "body"


class Appends:
    """Answers what it can, and hands the rest on."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._settled = _Settled()

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> Receive | None:
        """None when it is answered; else how to receive the request once more."""
        principal = principal_of(scope)
        headers = dict(scope["headers"])
        kind = headers.get(b"content-type", b"").partition(b";")[0].strip()
        if principal is None or not principal.allows(_WANTED):
            return receive
        if kind != b"application/json" or b"idempotency-key" in headers:
            return receive
        try:
            body = await body_of(receive)
        except HTTPException as error:  # the body is too large, too deep or too slow
            await problems.of_http(error, path=scope["path"])(scope, receive, send)
            return None
        try:
            waiting = self._submit(json.loads(body), principal.tenant)
        except (ValueError, RecursionError, PlatformError):
            waiting = None
        if waiting is None:
            return given(body, receive)
        try:
            stored = await self._settled.wait(waiting)
        except PlatformError as error:
            refused = problems.of_error(at(error, _PATH), instance=scope["path"])
            await problems.response(refused, headers=problems.headers_of(error))(scope, receive, send)
            return None
        self._services.pushes.push(stored[0].events)
        await _send(send, written(stored[0].events[-1]))
        return None

    def _submit(self, item: Any, tenant: str) -> Future[tuple[Appended, ...]] | None:
        """Raises PlatformError. None = it has to be looked at more closely, with the help of the database."""
        if not isinstance(item, dict) or item.get("type") == DocumentReceived.event_type:
            return None
        stream, event, expected = checked(item, _PATH, self._services, tenant)
        return self._services.event_writer.submit(stream, [event], expected_version=expected, tenant=tenant)


class _Settled:
    """Tells an event loop what a thread has done: once for all that came of one batch."""

    def __init__(self) -> None:
        self._done: deque[tuple[asyncio.Future[None], asyncio.AbstractEventLoop]] = deque()
        self._lock = Lock()

    async def wait(self, future: Future[tuple[Appended, ...]]) -> tuple[Appended, ...]:
        """Its result. Raises what it raises."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()

        def done(_future: Future[tuple[Appended, ...]]) -> None:
            with self._lock:
                first = not self._done
                self._done.append((waiter, loop))
            if first:
                loop.call_soon_threadsafe(self._wake)

        future.add_done_callback(done)
        await waiter
        return future.result()

    def _wake(self) -> None:
        with self._lock:
            done, self._done = self._done, deque()
        for waiter, _ in done:
            if not waiter.done():
                waiter.set_result(None)


def written(event: RecordedEvent) -> bytes:
    """What `EventOut` writes, in a third of the time."""
    metadata = event.metadata
    return orjson.dumps(
        {
            "position": event.position,
            "event_id": event.event_id,
            "stream": str(event.stream),
            "version": event.version,
            "type": event.type,
            "schema_version": event.schema_version,
            "data": event.data,
            "metadata": {
                "correlation_id": metadata.correlation_id,
                "causation_id": metadata.causation_id,
                "user_id": metadata.user_id,
                "session_id": metadata.session_id,
                "source": metadata.source,
                "tags": metadata.tags,
            },
            "occurred_at": event.occurred_at,
            "recorded_at": event.recorded_at,
        },
        option=orjson.OPT_UTC_Z,
    )


async def _send(send: Send, body: bytes) -> None:
    headers = [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": HTTPStatus.CREATED.value, "headers": headers})
    await send({"type": "http.response.body", "body": body})
