"""The servers that a tenant may call: those of the operator, and its own; and the pools that call them.

A server of a tenant is an address that leads to a public place (or where the operator allows), never a program. Its headers are
sealed where they are stored. Pools are of one process and one tenant: no session is ever shared between tenants, and a forked
process makes its own.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import urlsplit

import orjson
from pydantic import SecretStr

from resources.ai import bridge
from resources.ai.egress import EgressPolicy, check_url
from resources.errors import ConflictError, InvalidInputError, LimitExceededError, Problem
from resources.mcp.model import ServerConfig
from resources.mcp.store import StoredServer, unknown
from resources.tenants.store import context_of_mcp_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from resources.ai.call import CallOptions, ToolResult
    from resources.ai.model import CallContext
    from resources.ai.pipeline import AiCalls
    from resources.mcp.logins import SealedShelf
    from resources.mcp.model import ConnectionStatus, RemoteTool
    from resources.mcp.oauth import Login
    from resources.mcp.pool import Pool
    from resources.mcp.store import ServerStore
    from resources.tenants.vault import Vault

_READ_FOR: Final = 2.0
_MOST_POOLS: Final = 256
MOST_SERVERS: Final = 50
_SECRET: Final[dict[str, Any]] = {"headers": True, "env": True, "oauth": {"client_secret", "private_key"}}
_OAUTH_SECRETS: Final = ("client_secret", "private_key")
_OF_OAUTH: Final = "oauth."
"""Before the names of those that are sealed together with headers; no header has a dot."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server with who it is from."""

    config: ServerConfig
    origin: Literal["operator", "tenant"]


class McpServers:
    """Blocking, but for what is a coroutine; safe to share between threads. `networks` may be reached besides
    public addresses.
    """

    def __init__(
        self,
        operator: Iterable[ServerConfig] = (),
        *,
        store: ServerStore | None = None,
        vault: Vault | None = None,
        networks: Sequence[str] = (),
    ) -> None:
        self._operator = {config.name: Server(config, "operator") for config in operator}
        self._store = store
        self._vault = vault
        self._policy = EgressPolicy.model_validate({"allowed": tuple(networks)})
        self._read: dict[str, tuple[float, dict[str, Server]]] = {}
        self._pools: OrderedDict[tuple[int, str, str], Pool] = OrderedDict()
        self._lock = threading.Lock()

    # --- which there are -------------------------------------------------------------------------------------------

    def list(self, *, tenant: str) -> Sequence[Server]:
        """In order of name."""
        found = {**self._of_tenant(tenant), **self._operator}
        return [found[name] for name in sorted(found)]

    def get(self, name: str, *, tenant: str) -> Server:
        """Raises NotFoundError."""
        found = self._operator.get(name) or self._of_tenant(tenant).get(name)
        if found is None:
            raise unknown(name)
        return found

    def save(
        self,
        config: ServerConfig,
        *,
        tenant: str,
        now: datetime,
        unless: Callable[[Server | None], None] | None = None,
    ) -> bool:
        """Keep a server of the tenant; gives whether there was none of its name. Where it is must be permitted.

        Unless `unless` raises for the one of its name (None = there is none): nobody changes it in between.
        Raises InvalidInputError, NotPermittedError for an address that is not public, ConflictError for a name of the operator's
        (or when there are headers and no master key), LimitExceededError.
        """
        if config.transport == "stdio":
            raise InvalidInputError(
                "Only the operator can configure a program (`AIW_MCP__CONFIG`).",
                problems=(Problem("transport", "a tenant's server is an address", "use http or websocket"),),
                code="mcp_stdio_refused",
            )
        if config.name in self._operator:
            raise ConflictError(f"{config.name!r} is a server of the operator's.", code="mcp_server_of_operator")
        for url in config.urls:
            check_url(url.replace("ws", "http", 1) if urlsplit(url).scheme in {"ws", "wss"} else url, self._policy)
        store, vault = self._kept()
        known = {server.name for server in store.all(tenant=tenant)}
        if config.name not in known and len(known) >= MOST_SERVERS:
            raise LimitExceededError(f"A tenant has at most {MOST_SERVERS} MCP servers.", code="mcp_servers_too_many")
        secrets = {name: value.get_secret_value() for name, value in config.headers.items()}
        for name in _OAUTH_SECRETS:
            if (value := getattr(config.oauth, name, None)) is not None:
                secrets[_OF_OAUTH + name] = value.get_secret_value()
        sealed = (
            vault.seal(orjson.dumps(secrets), context=context_of_mcp_server(tenant, config.name)) if secrets else None
        )
        plain = config.model_dump(mode="json", exclude=_SECRET)
        created = store.save(StoredServer(tenant, config.name, plain, sealed, now), unless=self._if_stored(unless))
        self._read.pop(tenant, None)
        return created

    def remove(self, name: str, *, tenant: str, unless: Callable[[Server | None], None] | None = None) -> None:
        """Unless `unless` raises for how it is. Raises NotFoundError, and ConflictError for one of the operator's."""
        if name in self._operator:
            raise ConflictError(f"{name!r} is a server of the operator's.", code="mcp_server_of_operator")
        self._kept()[0].remove(name, tenant=tenant, unless=self._if_stored(unless))
        self._read.pop(tenant, None)

    def save_login(self, name: str, login: Login, *, tenant: str) -> None:
        """Keep what came of a person's login. Raises NotFoundError, ConflictError for a server that no person logs in to."""
        server = self.get(name, tenant=tenant)
        if server.config.oauth is None or server.config.oauth.grant != "authorization_code":
            raise ConflictError(f"Nobody logs in to the MCP server {name!r}.", code="mcp_login_not_wanted")
        shelf = self._shelf(server, tenant=tenant)
        assert shelf is not None  # there is `oauth`
        shelf.keep(login)
        self._forget(name, tenant=tenant)

    def remove_login(self, name: str, *, tenant: str) -> bool:
        """Whether somebody had logged in. Raises NotFoundError."""
        self.get(name, tenant=tenant)
        removed = self._kept()[0].remove_login(name, tenant=tenant)
        self._forget(name, tenant=tenant)
        return removed

    def _forget(self, name: str, *, tenant: str) -> None:
        with self._lock:
            pool = self._pools.pop((os.getpid(), tenant, name), None)
        if pool is not None:
            bridge.start(pool.close())

    def _shelf(self, server: Server, *, tenant: str) -> SealedShelf | None:
        from resources.mcp.logins import SealedShelf

        oauth = server.config.oauth
        if oauth is None or oauth.grant != "authorization_code":
            return None  # what a program gets for itself is not worth keeping
        store, vault = self._kept()
        return SealedShelf(store, vault, server.config, tenant=tenant)

    def _kept(self) -> tuple[ServerStore, Vault]:
        if self._store is None or self._vault is None:
            raise ConflictError("Tenants have no MCP servers of their own here.", code="mcp_servers_fixed")
        return self._store, self._vault

    def _of_tenant(self, tenant: str) -> dict[str, Server]:
        if self._store is None:
            return {}
        read_at, found = self._read.get(tenant, (0.0, {}))
        if time.monotonic() - read_at > _READ_FOR:
            found = {stored.name: Server(self._opened(stored), "tenant") for stored in self._store.all(tenant=tenant)}
            self._read[tenant] = (time.monotonic(), found)
        return found

    def _if_stored(
        self, unless: Callable[[Server | None], None] | None
    ) -> Callable[[StoredServer | None], None] | None:
        if unless is None:
            return None
        return lambda stored: unless(None if stored is None else Server(self._opened(stored), "tenant"))

    def _opened(self, stored: StoredServer) -> ServerConfig:
        secrets: dict[str, SecretStr] = {}
        if stored.sealed is not None and self._vault is not None:
            opened = self._vault.open(stored.sealed, context=context_of_mcp_server(stored.tenant, stored.name))
            secrets = {name: SecretStr(value) for name, value in orjson.loads(opened).items()}
        config = {**stored.config, "headers": {k: v for k, v in secrets.items() if not k.startswith(_OF_OAUTH)}}
        if isinstance(oauth := stored.config.get("oauth"), dict):
            of_oauth = {name: secrets.get(_OF_OAUTH + name) for name in _OAUTH_SECRETS}
            config["oauth"] = {**oauth, **of_oauth}
        return ServerConfig.model_validate(config)

    # --- calls ------------------------------------------------------------------------------------------------------

    def pool(self, name: str, *, tenant: str) -> Pool:
        """This process's pool, for use on the loop of `resources.ai.bridge`. Raises NotFoundError, ConflictError if it is off."""
        from resources.mcp.pool import Pool

        server = self.get(name, tenant=tenant)
        if not server.config.enabled:
            raise ConflictError(f"The MCP server {name!r} is disabled.", code="mcp_server_disabled")
        key, former = (os.getpid(), tenant, name), []
        with self._lock:
            pool = self._pools.get(key)
            if pool is None or pool.config != server.config:
                former = [pool] if pool is not None else []
                policy = None if server.origin == "operator" else self._policy
                shelf = self._shelf(server, tenant=tenant)
                pool = self._pools[key] = Pool(server.config, policy=policy, shelf=shelf)
            self._pools.move_to_end(key)
            while len(self._pools) > _MOST_POOLS:
                (pid, _, _), oldest = self._pools.popitem(last=False)
                former += [oldest] if pid == os.getpid() else []
        for one in former:
            bridge.start(one.close())
        return pool

    def tools(self, name: str, *, tenant: str, fresh: bool = False) -> Sequence[RemoteTool]:
        """The tools that may be called. Raises as `Pool.tools` does."""
        return bridge.run(self.pool(name, tenant=tenant).tools(fresh=fresh))

    def listed(self, name: str, *, tenant: str) -> Sequence[RemoteTool] | None:
        """The same as this process has heard them last; None = it has not asked. Raises NotFoundError."""
        config = self.get(name, tenant=tenant).config
        with self._lock:
            pool = self._pools.get((os.getpid(), tenant, name))
        return pool.listed if pool is not None and pool.config == config else None

    def names(self, *, tenant: str) -> Sequence[str]:
        """Of all servers that the tenant may call."""
        return [server.config.name for server in self.list(tenant=tenant)]

    def status(self, name: str, *, tenant: str) -> Sequence[ConnectionStatus]:
        """How this process's connections are."""
        return self.pool(name, tenant=tenant).status()

    def connections(self) -> Sequence[ConnectionStatus]:
        """How all connections of this process are, those of all tenants."""
        with self._lock:
            pools = [pool for (pid, _, _), pool in self._pools.items() if pid == os.getpid()]
        return [status for pool in pools for status in pool.status()]

    async def call(
        self,
        ai: AiCalls,
        name: str,
        tool: str,
        arguments: Mapping[str, Any],
        *,
        context: CallContext,
        options: CallOptions,
    ) -> ToolResult:
        """A call in the books; what a tool said that always says the same is taken from the memo. Its text is an answer as JSON.

        For the loop of `resources.ai.bridge`. Raises as `Pool.call` and `AiCalls.call_tool` do.
        """
        pool = await asyncio.to_thread(self.pool, name, tenant=context.tenant)

        async def ask(**given: Any) -> str:
            answer = await pool.call(tool, given, seconds=options.timeout, affinity=context.run_id or context.tenant)
            return orjson.dumps(
                {"text": answer.text, "structured": answer.structured, "content": answer.content}
            ).decode()

        return await ai.call_tool(
            tool, arguments, ask, context, options, service=f"tools/{name}", pure=tool in pool.config.pure
        )

    def close(self) -> None:
        """Disconnect all that this process has connected."""
        with self._lock:
            pools = [pool for (pid, _, _), pool in self._pools.items() if pid == os.getpid()]
            self._pools.clear()
        if pools:
            bridge.run(_close_all(pools))


async def _close_all(pools: Sequence[Pool]) -> None:
    await asyncio.gather(*(pool.close() for pool in pools))


def masked(config: ServerConfig) -> dict[str, Any]:
    """A configuration for people: of secrets, their names."""
    shown = config.model_dump(mode="json", exclude=_SECRET, exclude_none=True)
    return {**shown, "headers": sorted(config.headers), "env": sorted(config.env)}
