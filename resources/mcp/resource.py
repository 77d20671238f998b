"""MCP servers as a Dagster resource: ops ask for `dg.ResourceParam[McpServers]`."""

import os
from collections.abc import Callable, Sequence

import dagster as dg

from resources.database.resource import shared_database
from resources.mcp.model import ServerConfig
from resources.mcp.postgres import PostgresServers
from resources.mcp.servers import McpServers
from resources.tenants.vault import Vault

_POOL_SIZE = 4


def mcp_servers(
    operator: Sequence[ServerConfig], *, networks: Sequence[str], master_keys: Sequence[str]
) -> Callable[[str], McpServers]:
    """What makes this process's servers, of the database at an address. They hold connections, so they are made once."""
    made: dict[tuple[str, int], McpServers] = {}
    vault = Vault(master_keys)

    def of(url: str) -> McpServers:
        key = (url, os.getpid())
        if key not in made:
            store = PostgresServers(shared_database(url, _POOL_SIZE))
            made[key] = McpServers(operator, store=store, vault=vault, networks=networks)
        return made[key]

    return of


def mcp_resource(of: Callable[[str], McpServers]) -> dg.ResourceDefinition:
    """The servers that tenants may call. Secrets stay in this process, and are no configuration that the UI could show."""

    @dg.resource(config_schema={"url": dg.StringSource}, description="MCP servers that are called")
    def mcp(context: dg.InitResourceContext) -> McpServers:
        return of(context.resource_config["url"])

    return mcp.configured({"url": {"env": "AIW_DATABASE__URL"}})
