"""Plugins of the tenant."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from api.client.answers import V1, Answer, Seen
from api.client.base import HttpClient

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class PluginsClient(HttpClient):
    """Plugins of the tenant."""

    def plugins(self) -> list[dict[str, Any]]:
        return list(self._plain("GET", f"{V1}/plugins")["plugins"])

    def plugin(self, name: str) -> Answer:
        return self._mapping("GET", f"{V1}/plugins/{quote(name, safe='')}")

    def install_plugin(
        self, module: bytes, *, grants: Sequence[str] = (), config: Mapping[str, Any] | None = None
    ) -> Answer:
        body = {"module_base64": base64.b64encode(module).decode(), "grants": list(grants), "config": config or {}}
        return self._mapping("POST", f"{V1}/plugins", json=body)

    def enable_plugin(self, name: str, *, enabled: bool = True, if_match: Seen | None = None) -> Answer:
        return self._mapping(
            "PATCH", f"{V1}/plugins/{quote(name, safe='')}", json={"enabled": enabled}, if_match=if_match
        )

    def configure_plugin(self, name: str, config: Mapping[str, Any], *, if_match: Seen | None = None) -> Answer:
        return self._mapping("PUT", f"{V1}/plugins/{quote(name, safe='')}/config", json=config, if_match=if_match)

    def remove_plugin(self, name: str, *, if_match: Seen | None = None) -> None:
        self._send("DELETE", f"{V1}/plugins/{quote(name, safe='')}", if_match=if_match)

    def run_plugin(
        self, name: str, content: str, *, content_type: str = "text/plain", config: Mapping[str, Any] | None = None
    ) -> Answer:
        body = {"content": content, "content_type": content_type, "config": config or {}}
        return self._mapping("POST", f"{V1}/plugins/{quote(name, safe='')}/run", json=body)

    def plugin_runs(self, name: str, *, limit: int = 50) -> list[dict[str, Any]]:
        return list(self._plain("GET", f"{V1}/plugins/{quote(name, safe='')}/runs", limit=limit)["runs"])
