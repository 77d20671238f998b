"""MCP servers that the tenant calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from api.async_client.base import HttpClient
from api.client.answers import V1

if TYPE_CHECKING:
    from collections.abc import Mapping


class McpServersClient(HttpClient):
    """MCP servers that the tenant calls."""

    async def mcp_servers(self) -> list[dict[str, Any]]:
        return list((await self._plain("GET", f"{V1}/mcp-servers"))["servers"])

    async def mcp_server(self, name: str) -> dict[str, Any]:
        return dict(await self._plain("GET", f"{V1}/mcp-servers/{name}"))

    async def put_mcp_server(self, name: str, config: Mapping[str, Any]) -> dict[str, Any]:
        return dict(await self._plain("PUT", f"{V1}/mcp-servers/{name}", json=dict(config)))

    async def remove_mcp_server(self, name: str) -> None:
        await self._send("DELETE", f"{V1}/mcp-servers/{name}")

    async def keep_mcp_login(self, name: str, login: str) -> None:
        await self._send("PUT", f"{V1}/mcp-servers/{name}/login", json={"login": login})

    async def forget_mcp_login(self, name: str) -> None:
        await self._send("DELETE", f"{V1}/mcp-servers/{name}/login")

    async def mcp_server_tools(self, name: str) -> list[dict[str, Any]]:
        return list((await self._plain("GET", f"{V1}/mcp-servers/{name}/tools"))["tools"])

    async def call_mcp_tool(self, name: str, tool: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        path = f"{V1}/mcp-servers/{name}/tools/{quote(tool, safe='')}"
        return dict(await self._plain("POST", path, json=dict(arguments)))

    async def check_mcp_server(self, name: str) -> dict[str, Any]:
        return dict(await self._plain("POST", f"{V1}/mcp-servers/{name}/check"))
