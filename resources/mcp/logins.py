"""Logins to servers, sealed, in the store: what all processes of the platform read and refresh."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pydantic import BaseModel

from resources.mcp.oauth import Login
from resources.tenants.store import context_of_mcp_login

if TYPE_CHECKING:
    from resources.mcp.model import ServerConfig
    from resources.mcp.store import ServerStore
    from resources.tenants.vault import Vault


class _Bound(BaseModel):
    """A login is good where it was made: tokens go to no other address, whatever a server's name comes to mean."""

    urls: tuple[str, ...]
    login: Login


class SealedShelf:
    """Of one tenant and one server."""

    def __init__(self, store: ServerStore, vault: Vault, config: ServerConfig, *, tenant: str) -> None:
        self._store = store
        self._vault = vault
        self._config = config
        self._tenant = tenant
        self._context = context_of_mcp_login(tenant, config.name)

    def kept(self) -> Login | None:
        """What there is, for these addresses."""
        sealed = self._store.login(self._config.name, tenant=self._tenant)
        if sealed is None:
            return None
        bound = _Bound.model_validate_json(self._vault.open(sealed, context=self._context))
        return bound.login if bound.urls == self._config.urls else None

    def keep(self, login: Login) -> None:
        """Put it there."""
        bound = _Bound(urls=self._config.urls, login=login).model_dump_json().encode()
        self._store.save_login(self._config.name, self._vault.seal(bound, context=self._context), tenant=self._tenant)

    async def read(self) -> Login | None:
        return await asyncio.to_thread(self.kept)

    async def write(self, login: Login) -> None:
        await asyncio.to_thread(self.keep, login)

    async def claim(self, seconds: float) -> bool:
        return await asyncio.to_thread(self._store.claim_login, self._config.name, tenant=self._tenant, seconds=seconds)
