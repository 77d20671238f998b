"""Answers over HTTP: JSON where nothing is said before them, a stream of events where something is. No server, no database."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import pytest

from api.auth.limiter import Rates
from api.auth.principal import local_principal, remember
from api.mcp import reply
from api.mcp.call import Call  # noqa: TC001  # a tool is told from its annotations
from api.mcp.changes import Changes
from api.mcp.conformance.serve import NullAudit
from api.mcp.face import PATH, McpFace
from api.mcp.server import McpServer
from api.mcp.tool import Tools
from resources.events.memory import MemoryEventStore
from resources.settings import LimitSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from api.dependencies import Services

MODERN, LEGACY = "2026-07-28", "2025-11-25"
ERAS = pytest.mark.parametrize("era", [MODERN, LEGACY])


class Exchange:
    """One POST, in progress: what was answered so far, and a client that can go away."""

    def __init__(self) -> None:
        self.status, self.kind, self.session = 0, "", ""
        self.body = b""
        self.gone, self.heard = asyncio.Event(), asyncio.Event()
        self._told = False
        self._request = b""

    async def run(
        self, face: McpFace, request: bytes, headers: list[tuple[bytes, bytes]], method: str = "POST"
    ) -> None:
        self._request = request
        scope = {
            "type": "http",
            "method": method,
            "path": PATH,
            "query_string": b"",
            "headers": headers,
            "scheme": "http",
        }
        remember(scope, local_principal("t"))
        await face(scope, self._receive, self._send)

    async def _receive(self) -> dict[str, Any]:
        if not self._told:
            self._told = True
            return {"type": "http.request", "body": self._request, "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            found = {name.decode().lower(): value.decode() for name, value in message["headers"]}
            self.status, self.kind = int(message["status"]), found.get("content-type", "")
            self.session = found.get("mcp-session-id", "")
        else:
            self.body += message.get("body", b"")
            self.heard.set()


class Client:
    """Who asks, in one era, for tools that are quiet, talk, or wait until they are told to go on."""

    def __init__(self, face: McpFace, era: str) -> None:
        self.face, self.era = face, era
        self.session = ""
        self._number = 0

    async def call(self, tool: str, exchange: Exchange | None = None, **headers: Any) -> Exchange:
        meta: dict[str, Any] = {"progressToken": "p"}
        if self.era == MODERN:
            meta |= {
                "io.modelcontextprotocol/protocolVersion": MODERN,
                "io.modelcontextprotocol/clientCapabilities": {},
            }
        params = {"name": tool, "arguments": {}, "_meta": meta}
        named = (
            {"mcp-method": "tools/call", "mcp-name": tool} if self.era == MODERN else {"mcp-session-id": self.session}
        )
        return await self.post("tools/call", params, exchange or Exchange(), **(named | headers))

    async def open(self) -> None:
        info = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
        self.session = (await self.post("initialize", info, Exchange())).session

    async def end(self) -> None:
        headers = [(b"mcp-session-id", self.session.encode()), (b"mcp-protocol-version", self.era.encode())]
        await Exchange().run(self.face, b"", headers, "DELETE")

    async def post(self, method: str, params: dict[str, Any], exchange: Exchange, **headers: str) -> Exchange:
        self._number += 1
        body = json.dumps({"jsonrpc": "2.0", "id": self._number, "method": method, "params": params}).encode()
        sent = {
            "content-type": "application/json",
            "accept": "application/json, text/event-stream",
            "mcp-protocol-version": self.era,
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        await exchange.run(self.face, body, [(name.encode(), value.encode()) for name, value in sent.items()])
        return exchange


TOOLS = Tools()
STARTED, CANCELLED, GO_ON = "started", "cancelled", "go_on"
EVENTS: dict[str, asyncio.Event] = {}


@TOOLS.tool("read:sums", title="Quiet", read_only=True)
async def quiet(call: Call) -> int:
    """Says nothing before its answer."""
    del call
    return 3


@TOOLS.tool("read:sums", title="Talk", read_only=True)
async def talk(call: Call) -> int:
    """Tells how far it is."""
    await call.progress(1, 2)
    await call.progress(2, 2)
    return 3


@TOOLS.tool("read:sums", title="Wait", read_only=True)
async def wait(call: Call) -> int:
    """Waits."""
    del call
    EVENTS[STARTED].set()
    try:
        await EVENTS[GO_ON].wait()
    except asyncio.CancelledError:
        EVENTS[CANCELLED].set()
        raise
    return 3


@asynccontextmanager
async def asking(era: str) -> AsyncIterator[Client]:
    EVENTS.update({name: asyncio.Event() for name in (STARTED, CANCELLED, GO_ON)})
    changes = Changes(MemoryEventStore())
    server = McpServer(
        "test",
        services=cast("Services", None),
        title="Test",
        instructions="",
        tools=TOOLS.bound,
        audit=NullAudit(),
        changes=changes,
    )
    face = McpFace(
        {"test": server}, default="test", authenticate=cast("Any", None), rates=Rates(LimitSettings()), changes=changes
    )
    async with face.running():
        client = Client(face, era)
        if era == LEGACY:
            await client.open()
        yield client


@ERAS
async def test_a_call_that_says_nothing_before_its_answer_is_answered_in_json(era: str) -> None:
    async with asking(era) as client:
        found = await client.call("quiet")
    assert (found.status, found.kind) == (200, "application/json")
    assert json.loads(found.body)["result"]["structuredContent"] == {"result": 3}


@ERAS
async def test_what_is_said_before_the_answer_comes_before_it_in_a_stream(era: str) -> None:
    async with asking(era) as client:
        found = await client.call("talk")
    assert (found.status, found.kind) == (200, "text/event-stream")
    told = [json.loads(line.removeprefix("data: ")) for line in found.body.decode().splitlines() if "data: " in line]
    assert [one["params"]["progress"] for one in told[:-1]] == [1, 2]
    assert told[-1]["result"]["structuredContent"] == {"result": 3}


@ERAS
async def test_a_long_silence_is_broken_by_a_stream_that_says_it_is_alive(
    era: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reply, "SILENCE", 0.01)
    exchange = Exchange()
    async with asking(era) as client:
        calling = asyncio.create_task(client.call("wait", exchange=exchange))
        async with asyncio.timeout(30):
            await exchange.heard.wait()
        EVENTS[GO_ON].set()
        await calling
    assert exchange.kind == "text/event-stream"
    assert exchange.body.startswith(b": ping")
    assert b'"structuredContent":{"result":3}' in exchange.body


async def test_a_client_of_the_newer_era_that_goes_away_ends_the_work() -> None:
    exchange = Exchange()
    async with asking(MODERN) as client, asyncio.timeout(30):
        calling = asyncio.create_task(client.call("wait", exchange=exchange))
        await EVENTS[STARTED].wait()
        exchange.gone.set()
        await calling
        assert EVENTS[CANCELLED].is_set()
    assert (exchange.status, exchange.body) == (0, b"")


async def test_a_call_whose_session_ends_is_told_so() -> None:
    exchange = Exchange()
    async with asking(LEGACY) as client, asyncio.timeout(30):
        calling = asyncio.create_task(client.call("wait", exchange=exchange))
        await EVENTS[STARTED].wait()
        await client.end()
        await calling
    assert (exchange.status, exchange.kind) == (500, "application/json")
    assert json.loads(exchange.body)["error"]["code"] == -32603


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"mcp_name": "talk"}, 400), ({"mcp_method": "tools/list"}, 400), ({"accept": "text/html"}, 406)],
)
async def test_what_the_sdk_refuses_is_refused(headers: dict[str, str], status: int) -> None:
    async with asking(MODERN) as client:
        assert (await client.call("quiet", **cast("Any", headers))).status == status


async def test_somebody_elses_session_is_not_there() -> None:
    async with asking(LEGACY) as client:
        client.session = "0" * 32
        assert (await client.call("quiet")).status == 404
