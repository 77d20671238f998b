"""`/ws`: the handshake, and one supervised task for each socket. Plain ASGI: a socket costs no more than it must.

Whatever goes wrong while a socket is served ends that socket (1011) and nothing else.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qs

import orjson

from api import problems
from api.realtime import frames
from api.realtime.auth import check_may_connect, headers_of, token_of
from api.realtime.connection import GONE
from api.realtime.protocol import MESSAGE_LIMIT
from api.realtime.session import Session
from resources.errors import InvalidInputError, PlatformError, UnavailableError
from resources.telemetry.logging import get_logger

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from api.realtime.auth import Authenticator
    from api.realtime.connection import Connection, Frame
    from api.realtime.hub import Hub
    from resources.tenants.model import Principal

log = get_logger(__name__)

BROKEN = 1011
_FAREWELL = 1.0


class SocketEndpoint:
    """The ASGI application of one path. `hub` and `authenticate` are looked up on the application's state."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        state = scope["app"].state
        hub: Hub = state.hub
        await receive()  # websocket.connect
        try:
            principal, subprotocol = await _admit(scope, hub, state.authenticate)
            dialect, after = _wishes(scope)
        except PlatformError as error:
            await _deny(scope, send, error)
            return

        async def write(frame: Frame) -> None:
            await send(frame.event)

        task = asyncio.current_task()
        assert task is not None
        try:
            connection = await hub.enter(principal, write, task.cancel, dialect=dialect)
        except PlatformError as error:
            await _deny(scope, send, error)
            return
        try:
            if (limit := scope["extensions"].get(MESSAGE_LIMIT)) is not None:
                limit(frames.MAX_FRAME)
            await send({"type": "websocket.accept", "subprotocol": subprotocol})
            await _serve(hub, connection, receive, after)
        except asyncio.CancelledError:
            if connection.closing is None:
                raise  # somebody else ends the task
            task.uncancel()
        except OSError as error:  # the client went away in the middle of something
            log.debug("realtime.client_gone", connection=connection.id, error=type(error).__name__)
        except Exception as error:  # the supervisor of this one connection
            log.exception("realtime.connection_broke", connection=connection.id, error=type(error).__name__)
            connection.closing = connection.closing or (BROKEN, "internal error")
        finally:
            hub.leave(connection)
        if connection.closing is not None and connection.closing[0] != GONE:
            await _close(send, *connection.closing)


async def _serve(hub: Hub, connection: Connection, receive: Receive, after: int | None) -> None:
    session = Session(hub, connection)
    session.greet()
    await hub.catch_up(connection, after)
    while True:
        event = await receive()
        if event["type"] == "websocket.disconnect":
            return
        text = event.get("text")
        if text is None:
            binary = InvalidInputError("Frames are texts of JSON, not binary.", code="frame_invalid")
            connection.say(frames.error_text(400, binary))
        elif len(text) > frames.MAX_FRAME:
            connection.close(1009, f"more than {frames.MAX_FRAME} bytes")
        else:
            await session.take(text)


async def _admit(scope: Scope, hub: Hub, authenticate: Authenticator) -> tuple[Principal, str | None]:
    hub.check_capacity()
    token, subprotocol = token_of(scope)
    principal = await authenticate(token, headers_of(scope))
    check_may_connect(principal)
    return principal, subprotocol


def _wishes(scope: Scope) -> tuple[frames.Dialect, int | None]:
    query = parse_qs(scope["query_string"].decode("latin-1"))
    after = query.get("after", [None])[0]
    if after is not None and not (after.isascii() and after.isdecimal() and len(after) < 19):  # noqa: PLR2004  # bigint
        raise InvalidInputError(f"Cannot go on after {after[:50]!r}: it is not a position.", code="query_invalid")
    dialect = query.get("dialect", ["simple"])[0].lower()
    if dialect not in frames.DIALECTS:
        raise InvalidInputError(f"The dialect {dialect[:50]!r} is neither simple nor rich.", code="query_invalid")
    return cast("frames.Dialect", dialect), None if after is None else int(after)


async def _deny(scope: Scope, send: Send, error: PlatformError) -> None:
    """Refuse the handshake, with a status and the reason."""
    status = int(problems.status_of(error))
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1013 if isinstance(error, UnavailableError) else 1008})
        return
    body: dict[str, Any] = {**problems.of_error(error, instance=scope["path"]), "error": error.message}
    headers = [(b"content-type", problems.MEDIA_TYPE.encode())]
    if status == 401:  # noqa: PLR2004  # RFC 9110 §11.6.1
        headers.append((b"www-authenticate", b"Bearer"))
    if (after := getattr(error, "retry_after", None)) is not None:
        headers.append((b"retry-after", str(max(1, round(after))).encode()))
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": orjson.dumps(body, default=str)})


async def _close(send: Send, code: int, reason: str) -> None:
    """Say farewell to who may not listen any more; the server drops what is left of the connection."""
    try:
        async with asyncio.timeout(_FAREWELL):
            await send({"type": "websocket.close", "code": code, "reason": reason})
    except Exception as error:  # noqa: BLE001  # it is gone already, or reads nothing
        log.debug("realtime.farewell_failed", error=type(error).__name__)
