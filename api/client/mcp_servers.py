"""MCP servers that the tenant calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from api.client.answers import V1
from api.client.base import HttpClient

if TYPE_CHECKING:
    from collections.abc import Mapping


class McpServersClient(HttpClient):
    """MCP servers that the tenant calls."""

    def mcp_servers(self) -> list[dict[str, Any]]:
        return list(self._plain("GET", f"{V1}/mcp-servers")["servers"])

    def mcp_server(self, name: str) -> dict[str, Any]:
        return dict(self._plain("GET", f"{V1}/mcp-servers/{name}"))

    def put_mcp_server(self, name: str, config: Mapping[str, Any]) -> dict[str, Any]:
        return dict(self._plain("PUT", f"{V1}/mcp-servers/{name}", json=dict(config)))

    def remove_mcp_server(self, name: str) -> None:
        self._send("DELETE", f"{V1}/mcp-servers/{name}")

    def keep_mcp_login(self, name: str, login: str) -> None:
        self._send("PUT", f"{V1}/mcp-servers/{name}/login", json={"login": login})

    def forget_mcp_login(self, name: str) -> None:
        self._send("DELETE", f"{V1}/mcp-servers/{name}/login")

    def mcp_server_tools(self, name: str) -> list[dict[str, Any]]:
        return list(self._plain("GET", f"{V1}/mcp-servers/{name}/tools")["tools"])

    def call_mcp_tool(self, name: str, tool: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        path = f"{V1}/mcp-servers/{name}/tools/{quote(tool, safe='')}"
        return dict(self._plain("POST", path, json=dict(arguments)))

    def check_mcp_server(self, name: str) -> dict[str, Any]:
        return dict(self._plain("POST", f"{V1}/mcp-servers/{name}/check"))
