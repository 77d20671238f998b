"""MCP servers that the tenant calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from api.client.answers import V1, Answer, Seen
from api.client.base import HttpClient

if TYPE_CHECKING:
    from collections.abc import Mapping


class McpServersClient(HttpClient):
    """MCP servers that the tenant calls."""

    def mcp_servers(self) -> list[dict[str, Any]]:
        return list(self._plain("GET", f"{V1}/mcp-servers")["servers"])

    def mcp_server(self, name: str) -> Answer:
        return self._mapping("GET", f"{V1}/mcp-servers/{quote(name, safe='')}")

    def put_mcp_server(self, name: str, config: Mapping[str, Any], *, if_match: Seen | None = None) -> Answer:
        return self._mapping("PUT", f"{V1}/mcp-servers/{quote(name, safe='')}", json=dict(config), if_match=if_match)

    def remove_mcp_server(self, name: str, *, if_match: Seen | None = None) -> None:
        self._send("DELETE", f"{V1}/mcp-servers/{quote(name, safe='')}", if_match=if_match)

    def keep_mcp_login(self, name: str, login: str) -> None:
        self._send("PUT", f"{V1}/mcp-servers/{quote(name, safe='')}/login", json={"login": login})

    def forget_mcp_login(self, name: str) -> None:
        self._send("DELETE", f"{V1}/mcp-servers/{quote(name, safe='')}/login")

    def mcp_server_tools(self, name: str) -> list[dict[str, Any]]:
        return list(self._plain("GET", f"{V1}/mcp-servers/{quote(name, safe='')}/tools")["tools"])

    def call_mcp_tool(self, name: str, tool: str, arguments: Mapping[str, Any]) -> Answer:
        path = f"{V1}/mcp-servers/{quote(name, safe='')}/tools/{quote(tool, safe='')}"
        return self._mapping("POST", path, json=dict(arguments))

    def check_mcp_server(self, name: str) -> Answer:
        return self._mapping("POST", f"{V1}/mcp-servers/{quote(name, safe='')}/check")
