"""The servers that are called: ours, and the bare SDK's, each with one tool.

python -m tests.benchmarks.mcp_servers ours|sdk http PORT | stdio
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import uvicorn
from mcp.server import MCPServer
from mcp.server.stdio import stdio_server
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount, Route, WebSocketRoute

from api.auth.limiter import Rates
from api.auth.principal import local_principal, remember
from api.mcp.call import Call  # noqa: TC001  # a tool is told from its annotations
from api.mcp.changes import Changes
from api.mcp.conformance.serve import NullAudit
from api.mcp.face import PATH, McpFace
from api.mcp.server import CONNECTED, McpServer
from api.mcp.tool import Tools
from api.middleware.security import LoopbackOnlyMiddleware
from resources.events.memory import MemoryEventStore
from resources.settings import LimitSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import ASGIApp, Receive, Scope, Send

    from api.dependencies import Services
    from resources.tenants.model import Principal

TOOLS = Tools()


@TOOLS.tool("read:sums", title="Add", read_only=True)
async def add(call: Call, a: int, b: int) -> int:
    """Add two numbers."""
    del call
    return a + b


class _Known:
    """Whoever asks is known already: finding out is what `bench-http` measures."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        remember(scope, local_principal("bench"))
        await self._app(scope, receive, send)


def ours() -> tuple[McpServer, Changes]:
    """Our server, without a database behind it."""
    changes = Changes(MemoryEventStore())
    server = McpServer(
        "bench",
        services=cast("Services", None),
        title="Bench",
        instructions="",
        tools=TOOLS.bound,
        audit=NullAudit(),
        changes=changes,
    )
    return server, changes


def our_app() -> ASGIApp:
    """It over HTTP and WebSockets, with the limits, the scopes and the checks of pages."""
    server, changes = ours()

    async def authenticate(*_: Any) -> Principal:
        return local_principal("bench")

    face = McpFace(
        {"bench": server},
        default="bench",
        authenticate=cast("Any", authenticate),
        rates=Rates(LimitSettings()),
        changes=changes,
        unlimited="local",
    )

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with face.running():
            yield

    return Starlette(
        routes=[WebSocketRoute(f"{PATH}/ws", face), Mount(PATH, face), Route(PATH, face)],
        middleware=[Middleware(LoopbackOnlyMiddleware), Middleware(_Known)],
        lifespan=lifespan,
    )


async def our_stdio() -> None:
    """It on standard input and output."""
    server, _ = ours()
    CONNECTED.set(local_principal("bench"))
    async with stdio_server() as (incoming, outgoing):
        await server.sdk.run(incoming, outgoing, server.sdk.create_initialization_options())


def sdk() -> MCPServer:
    """The SDK as its documentation uses it."""
    server = MCPServer("bench")

    @server.tool()
    async def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    return server


def main(kind: str, transport: str, port: int) -> None:
    """Serve until the end."""
    if transport == "stdio":
        asyncio.run(our_stdio()) if kind == "ours" else sdk().run("stdio")
        return
    app = our_app() if kind == "ours" else sdk().streamable_http_app()
    uvicorn.run(app, host="127.0.0.1", port=port, loop="uvloop", log_level="error", ws_per_message_deflate=False)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 0)
