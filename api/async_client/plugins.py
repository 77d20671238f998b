"""Plugins of the tenant."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from api.async_client.base import HttpClient
from api.client.answers import V1

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class PluginsClient(HttpClient):
    """Plugins of the tenant."""

    async def plugins(self) -> list[dict[str, Any]]:
        return list((await self._plain("GET", f"{V1}/plugins"))["plugins"])

    async def plugin(self, name: str) -> dict[str, Any]:
        return dict(await self._plain("GET", f"{V1}/plugins/{name}"))

    async def install_plugin(
        self, module: bytes, *, grants: Sequence[str] = (), config: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        body = {"module_base64": base64.b64encode(module).decode(), "grants": list(grants), "config": config or {}}
        return dict(await self._plain("POST", f"{V1}/plugins", json=body))

    async def enable_plugin(self, name: str, *, enabled: bool = True) -> dict[str, Any]:
        return dict(await self._plain("PATCH", f"{V1}/plugins/{name}", json={"enabled": enabled}))

    async def configure_plugin(self, name: str, config: Mapping[str, Any]) -> dict[str, Any]:
        return dict(await self._plain("PUT", f"{V1}/plugins/{name}/config", json=config))

    async def remove_plugin(self, name: str) -> None:
        await self._send("DELETE", f"{V1}/plugins/{name}")

    async def run_plugin(
        self, name: str, content: str, *, content_type: str = "text/plain", config: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        body = {"content": content, "content_type": content_type, "config": config or {}}
        return dict(await self._plain("POST", f"{V1}/plugins/{name}/run", json=body))

    async def plugin_runs(self, name: str, *, limit: int = 50) -> list[dict[str, Any]]:
        return list((await self._plain("GET", f"{V1}/plugins/{name}/runs", limit=limit))["runs"])
