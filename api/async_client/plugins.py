"""Plugins of the tenant."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from api.async_client.base import HttpClient
from api.client.answers import V1, Answer, Seen

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class PluginsClient(HttpClient):
    """Plugins of the tenant."""

    async def plugins(self) -> list[dict[str, Any]]:
        return list((await self._plain("GET", f"{V1}/plugins"))["plugins"])

    async def plugin(self, name: str) -> Answer:
        return await self._mapping("GET", f"{V1}/plugins/{quote(name, safe='')}")

    async def install_plugin(
        self, module: bytes, *, grants: Sequence[str] = (), config: Mapping[str, Any] | None = None
    ) -> Answer:
        body = {"module_base64": base64.b64encode(module).decode(), "grants": list(grants), "config": config or {}}
        return await self._mapping("POST", f"{V1}/plugins", json=body)

    async def enable_plugin(self, name: str, *, enabled: bool = True, if_match: Seen | None = None) -> Answer:
        return await self._mapping(
            "PATCH", f"{V1}/plugins/{quote(name, safe='')}", json={"enabled": enabled}, if_match=if_match
        )

    async def configure_plugin(self, name: str, config: Mapping[str, Any], *, if_match: Seen | None = None) -> Answer:
        return await self._mapping("PUT", f"{V1}/plugins/{quote(name, safe='')}/config", json=config, if_match=if_match)

    async def remove_plugin(self, name: str, *, if_match: Seen | None = None) -> None:
        await self._send("DELETE", f"{V1}/plugins/{quote(name, safe='')}", if_match=if_match)

    async def run_plugin(
        self, name: str, content: str, *, content_type: str = "text/plain", config: Mapping[str, Any] | None = None
    ) -> Answer:
        body = {"content": content, "content_type": content_type, "config": config or {}}
        return await self._mapping("POST", f"{V1}/plugins/{quote(name, safe='')}/run", json=body)

    async def plugin_runs(self, name: str, *, limit: int = 50) -> list[dict[str, Any]]:
        return list((await self._plain("GET", f"{V1}/plugins/{quote(name, safe='')}/runs", limit=limit))["runs"])
