"""The fixture server as an application for HTTP and WebSockets, and over stdio: for this machine alone, with nobody's data."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.server.stdio import stdio_server
from mcp.server.streamable_http import EventMessage, EventStore
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount, Route, WebSocketRoute

from api.auth.limiter import Rates
from api.auth.principal import local_principal, remember
from api.mcp.changes import Changes
from api.mcp.conformance import rounds, tools
from api.mcp.conformance.shelves import FixturePrompts, FixtureResources
from api.mcp.face import PATH, McpFace
from api.mcp.server import CONNECTED, McpServer
from api.middleware.security import LoopbackOnlyMiddleware
from resources.events.memory import MemoryEventStore
from resources.settings import LimitSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mcp.server.streamable_http import EventCallback
    from mcp.types import JSONRPCMessage
    from starlette.types import ASGIApp, Receive, Scope, Send

    from api.dependencies import Services
    from resources.tenants.model import Principal

NAME = "conformance"
_TENANT = "conformance"
_RETRY_MILLISECONDS = 100


class StreamLog(EventStore):
    """What was said on streams, in memory, so that a client whose stream broke hears the rest."""

    def __init__(self) -> None:
        self._said: list[tuple[str, JSONRPCMessage | None]] = []

    async def store_event(self, stream_id: str, message: JSONRPCMessage | None) -> str:
        self._said.append((stream_id, message))
        return str(len(self._said))

    async def replay_events_after(self, last_event_id: str, send_callback: EventCallback) -> str | None:
        after = int(last_event_id) if last_event_id.isdigit() else 0
        if not 0 < after <= len(self._said):
            return None
        stream = self._said[after - 1][0]
        for number, (other, message) in enumerate(self._said[after:], start=after + 1):
            if other == stream and message is not None:
                await send_callback(EventMessage(message, str(number)))
        return stream


class NullAudit:
    """Nothing is written down: nothing is anybody's."""

    async def __call__(self, *_: Any, **__: Any) -> None: ...


class _Local:
    """Whoever asks is this machine's own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            remember(scope, local_principal(_TENANT))
        await self._app(scope, receive, send)


def fixture_server(changes: Changes) -> McpServer:
    """The server with all fixtures."""
    server = McpServer(
        NAME,
        services=cast("Services", None),  # none of its tools needs any
        title="Conformance fixtures",
        instructions="What MCP's conformance suite asks for.",
        tools=tools.build(changes) | rounds.TOOLS.bound,
        resources=FixtureResources(),
        prompts=FixturePrompts(),
        audit=NullAudit(),
        changes=changes,
    )
    server.sdk.middleware.append(RequestStateBoundary(RequestStateSecurity.ephemeral(), default_audience=NAME))
    return server


def fixture_app() -> ASGIApp:
    """The server at `/mcp`, and at `/mcp/ws` over WebSockets."""
    changes = Changes(MemoryEventStore())

    async def authenticate(*_: Any) -> Principal:
        return local_principal(_TENANT)

    face = McpFace(
        {NAME: fixture_server(changes)},
        default=NAME,
        authenticate=cast("Any", authenticate),
        rates=Rates(LimitSettings()),
        changes=changes,
        unlimited="local",
        store=StreamLog(),
        retry_milliseconds=_RETRY_MILLISECONDS,
    )

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with face.running():
            yield

    return Starlette(
        routes=[WebSocketRoute(f"{PATH}/ws", face), Mount(PATH, face), Route(PATH, face)],
        middleware=[Middleware(LoopbackOnlyMiddleware), Middleware(_Local)],
        lifespan=lifespan,
    )


async def serve_stdio() -> None:
    """The server on standard input and output, until the input ends."""
    changes = Changes(MemoryEventStore())
    server = fixture_server(changes)
    CONNECTED.set(local_principal(_TENANT))
    try:
        async with stdio_server() as (incoming, outgoing):
            await server.sdk.run(incoming, outgoing, server.sdk.create_initialization_options())
    finally:
        await changes.close()
