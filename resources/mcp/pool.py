"""All connections to one server, for one tenant: who is asked, and what happens when it fails.

Connections are made when the first call comes, and closed when none comes for a while. A call goes to another replica only if it
was never sent, or if carrying it out twice does no more than once; what a server says (an error of the tool) is an answer and
goes straight to the caller. Which tools may be repeated is what the server says of them (`readOnlyHint`, `idempotentHint`).
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from resources.errors import NotFoundError, UnavailableError, UpstreamError
from resources.mcp.connection import Connection
from resources.mcp.errors import ServerLostError, unreachable
from resources.mcp.model import RemoteAnswer, RemoteTool
from resources.mcp.oauth import MemoryShelf, auth_of
from resources.registry.balancing import by_chance, choose

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import httpx2
    from mcp import Client
    from mcp.types import CallToolResult

    from resources.ai.egress import EgressPolicy
    from resources.mcp.connection import Login
    from resources.mcp.errors import LoginNeededError
    from resources.mcp.model import ConnectionStatus, OAuthConfig, ServerConfig
    from resources.mcp.oauth import LoginShelf, Person

_MOST_PAGES: Final = 100
_LISTED_FOR: Final = 60.0
_HEALTH_WEIGHTS: Final = {"healthy": 1.0, "degraded": 0.5, "unhealthy": 0.1}


class Pool:
    """Used on one event loop. `policy` says where addresses may lead; None = anywhere, they are the operator's."""

    def __init__(
        self,
        config: ServerConfig,
        *,
        policy: EgressPolicy | None = None,
        shelf: LoginShelf | None = None,
        person: Person | None = None,
    ) -> None:
        """`shelf` is where the login lies of a server that wants one; `person` can be sent to log in."""
        self.config = config
        login = None if config.oauth is None else _login(config, config.oauth, shelf or MemoryShelf(), person)
        self._connections = [
            Connection(config, replica, weight, policy=policy, login=login, changed=self._tell)
            for replica, weight in config.replicas()
            for _ in range(config.connections)
        ]
        self._news = asyncio.Event()
        self._turn = 0
        self._tools: dict[str, RemoteTool] = {}
        self._listed_at: float | None = None

    async def tools(self, *, fresh: bool = False) -> Sequence[RemoteTool]:
        """The tools that may be called, as the server lists them; asked for again after a minute."""
        if fresh or self._listed_at is None or time.monotonic() - self._listed_at > _LISTED_FOR:
            found = await self._anywhere("tools/list", _list_tools, seconds=self.config.timeout)
            allowed = self.config.tools
            self._tools = {
                tool.name: replace(tool, pure=tool.name in self.config.pure)
                for tool in found
                if allowed is None or tool.name in allowed
            }
            self._listed_at = time.monotonic()
        return list(self._tools.values())

    @property
    def listed(self) -> Sequence[RemoteTool] | None:
        """The tools as they were listed last, if they were."""
        return None if self._listed_at is None else list(self._tools.values())

    async def tool(self, name: str) -> RemoteTool:
        """The tool of that name. Raises NotFoundError with those that there are."""
        if name not in self._tools:
            await self.tools(fresh=self._listed_at is not None)
        try:
            return self._tools[name]
        except KeyError:
            known = ", ".join(sorted(self._tools)) or "none"
            raise NotFoundError(
                f"The MCP server {self.config.name!r} has no tool {name!r}; there are: {known}.",
                code="mcp_tool_not_found",
                server=self.config.name,
                tool=name,
            ) from None

    async def call(
        self, name: str, arguments: Mapping[str, Any], *, seconds: float | None = None, affinity: str | None = None
    ) -> RemoteAnswer:
        """What the tool says, within so many seconds in all.

        Raises UpstreamError when the tool fails or its answer is no good, NotFoundError, InvalidInputError for arguments that the
        server refuses, UnavailableError when it cannot be reached, does not answer in time, or is lost half-way.
        """
        tool = await self.tool(name)
        seconds = min(seconds or self.config.timeout, self.config.timeout)
        result: CallToolResult = await self._anywhere(
            name,
            lambda client: client.call_tool(name, dict(arguments)),
            seconds=seconds,
            repeatable=tool.repeatable,
            affinity=affinity,
        )
        return _answer(result, server=self.config.name, tool=name)

    def status(self) -> list[ConnectionStatus]:
        """How each connection is."""
        return [connection.told() for connection in self._connections]

    async def close(self) -> None:
        """Disconnect. A later call connects anew."""
        await asyncio.gather(*(connection.close() for connection in self._connections))

    async def _anywhere(
        self, what: str, work: Any, *, seconds: float, repeatable: bool = True, affinity: str | None = None
    ) -> Any:
        deadline = time.monotonic() + seconds
        tried: list[Connection] = []
        while True:
            connection = await self._next(tried, affinity, deadline)
            try:
                return await connection.use(what, work, max(0.001, deadline - time.monotonic()))
            except UnavailableError as error:
                sent = error.code != "circuit_open"
                tried.append(connection)
                if sent and not (repeatable and isinstance(error, ServerLostError)):
                    raise
                if len(tried) > len(self._connections) + self.config.max_restarts:
                    raise

    async def _next(self, tried: Sequence[Connection], affinity: str | None, deadline: float) -> Connection:
        """Who is asked next: one that was not yet, else one that is back. Waits while none is there, but somebody tries."""
        patience = min(deadline, time.monotonic() + self.config.connect_timeout)
        urgent = not any(one.ready for one in self._connections)
        for connection in self._connections:
            if not connection.ready:
                connection.want(urgent=urgent)
        while True:
            ready = [one for one in self._connections if one.ready]
            if able := [one for one in ready if one not in tried] or ready:
                return self._chosen([one for one in able if one.breaker.state != "open"] or able, affinity)
            left = patience - time.monotonic()
            if left <= 0 or not any(one.trying for one in self._connections):
                if refusals := [one.refusal for one in self._connections if one.refusal is not None]:
                    raise refusals[0]
                problems = dict.fromkeys(one.problem or "it does not connect in time" for one in self._connections)
                raise unreachable(self.config.name, "; ".join(problems))
            self._news.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._news.wait()

    def _chosen(self, able: list[Connection], affinity: str | None) -> Connection:
        self._turn += 1
        if len(able) == 1:
            return able[0]
        chance = random.random()  # noqa: S311  # a share of the work, not a secret
        match self.config.strategy:
            case "affinity" if affinity is not None:
                # Rendezvous hashing: who is gone moves nobody else.
                return max(able, key=lambda one: hashlib.blake2b(f"{affinity}\0{one.replica}".encode()).digest())
            case "affinity" | "health_based":
                return by_chance(able, [_share(one) for one in able], chance)
            case strategy:
                chosen = choose(able, strategy, now=datetime.now(UTC), turn=self._turn, chance=chance)
                assert chosen is not None  # there are some
                return chosen

    def _tell(self) -> None:
        self._news.set()  # each who waits clears it before the next wait, and looks again after it


def _login(config: ServerConfig, oauth: OAuthConfig, shelf: LoginShelf, person: Person | None) -> Login:
    def at(url: str, refused: Callable[[LoginNeededError], None]) -> httpx2.Auth:
        return auth_of(config.name, url, oauth, shelf, person=person, refused=refused)

    return at


def _share(connection: Connection) -> float:
    """What part of the work: by how well it is, how fast it answers and how much it has to do."""
    share = _HEALTH_WEIGHTS.get(connection.status(), 0.1) / (1 + connection.connections)
    slow = connection.response_ms or 0.0
    return share * (0.5 if slow > 1000 else 0.8 if slow > 500 else 1.0)  # noqa: PLR2004  # the steps of the rule


async def _list_tools(client: Client) -> list[RemoteTool]:
    found: list[RemoteTool] = []
    cursor: str | None = None
    for _ in range(_MOST_PAGES):
        page = await client.list_tools(cursor=cursor)
        for tool in page.tools:
            hints = tool.annotations
            found.append(
                RemoteTool(
                    name=tool.name,
                    description=tool.description or (hints.title if hints else None) or tool.name,
                    parameters=tool.input_schema,
                    output=tool.output_schema,
                    read_only=bool(hints and hints.read_only_hint),
                    idempotent=bool(hints and hints.idempotent_hint),
                )
            )
        cursor = page.next_cursor
        if not cursor:
            break
    return found


def _answer(result: CallToolResult, *, server: str, tool: str) -> RemoteAnswer:
    text = "\n".join(part.text for part in result.content if part.type == "text")
    if result.is_error:
        raise UpstreamError(
            f"The tool {tool!r} of the MCP server {server!r} failed: {text[:2000] or 'it does not say why'}",
            code="mcp_tool_failed",
            server=server,
            tool=tool,
        )
    content = [part.model_dump(mode="json", by_alias=True, exclude_none=True) for part in result.content]
    return RemoteAnswer(text=text, structured=result.structured_content, content=content)
