"""The port of servers that tenants have configured, and of logins to servers."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from resources.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class StoredServer:
    """A server of a tenant: its configuration without secrets (JSON), and its headers, sealed (None = it has none)."""

    tenant: str
    name: str
    config: dict[str, object]
    sealed: bytes | None
    changed_at: datetime


class ServerStore(Protocol):
    """Verbs raise UnavailableError when the store cannot be reached."""

    def save(self, server: StoredServer, *, unless: Callable[[StoredServer | None], None] | None = None) -> bool:
        """Whether there was none of its name. Unless `unless` raises for that one (None = there is none)."""

    def all(self, *, tenant: str) -> Sequence[StoredServer]:
        """In order of name."""

    def remove(self, name: str, *, tenant: str, unless: Callable[[StoredServer | None], None] | None = None) -> None:
        """With the login to it, unless `unless` raises for how it is. Raises NotFoundError."""

    def save_login(self, server: str, sealed: bytes, *, tenant: str) -> None:
        """Keep what came of a login; a claim on what was there before has ended."""

    def login(self, server: str, *, tenant: str) -> bytes | None:
        """What was kept; None = nobody has logged in."""

    def claim_login(self, server: str, *, tenant: str, seconds: float) -> bool:
        """Whether there is one and nobody has claimed it; now the caller has, for so many seconds."""

    def remove_login(self, server: str, *, tenant: str) -> bool:
        """Whether there was one."""


def unknown(name: str) -> NotFoundError:
    """The error for a server that there is not."""
    return NotFoundError(f"There is no MCP server {name!r}.", code="mcp_server_not_found", name=name)


class MemoryServers:
    """In this process only."""

    def __init__(self) -> None:
        self._servers: dict[tuple[str, str], StoredServer] = {}
        self._logins: dict[tuple[str, str], tuple[bytes, float]] = {}

    def save(self, server: StoredServer, *, unless: Callable[[StoredServer | None], None] | None = None) -> bool:
        if unless is not None:
            unless(self._servers.get((server.tenant, server.name)))
        created = (server.tenant, server.name) not in self._servers
        self._servers[server.tenant, server.name] = server
        return created

    def all(self, *, tenant: str) -> Sequence[StoredServer]:
        return [found for key, found in sorted(self._servers.items()) if key[0] == tenant]

    def remove(self, name: str, *, tenant: str, unless: Callable[[StoredServer | None], None] | None = None) -> None:
        if (tenant, name) not in self._servers:
            raise unknown(name)
        if unless is not None:
            unless(self._servers[tenant, name])
        del self._servers[tenant, name]
        self.remove_login(name, tenant=tenant)

    def save_login(self, server: str, sealed: bytes, *, tenant: str) -> None:
        self._logins[tenant, server] = (sealed, 0.0)

    def login(self, server: str, *, tenant: str) -> bytes | None:
        return self._logins.get((tenant, server), (None, 0.0))[0]

    def claim_login(self, server: str, *, tenant: str, seconds: float) -> bool:
        sealed, until = self._logins.get((tenant, server), (None, 0.0))
        if sealed is None or time.monotonic() < until:
            return False
        self._logins[tenant, server] = (sealed, time.monotonic() + seconds)
        return True

    def remove_login(self, server: str, *, tenant: str) -> bool:
        return self._logins.pop((tenant, server), None) is not None
