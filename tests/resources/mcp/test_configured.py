"""Servers in a file, in the environment, and of tenants."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from resources.errors import ConflictError, InvalidInputError, NotPermittedError
from resources.mcp.configured import configured_servers
from resources.mcp.model import ServerConfig
from resources.mcp.postgres import PostgresServers
from resources.mcp.servers import McpServers, masked
from resources.tenants.vault import Vault, new_master_key

if TYPE_CHECKING:
    from pathlib import Path

    from resources.database.postgres import Database

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_the_file_is_what_other_clients_read(tmp_path: Path) -> None:
    file = tmp_path / "servers.json"
    servers = {
        "time": {"command": "mcp-server-time", "args": ["--local-timezone", "UTC"], "pure": ["convert_time"]},
        "docs": {
            "type": "http",
            "url": "https://example.org/mcp",
            "headers": {"Authorization": "Bearer ${DOCS_TOKEN}"},
        },
    }
    file.write_text(json.dumps({"mcpServers": servers}))
    docs, time = configured_servers(file, {"DOCS_TOKEN": "canary"})
    assert (time.transport, time.command, time.pure) == ("stdio", "mcp-server-time", ("convert_time",))
    assert docs.headers["Authorization"].get_secret_value() == "Bearer canary"
    assert "canary" not in repr(docs)
    assert "canary" not in str(masked(docs))


def test_the_environment_names_servers_one_by_one() -> None:
    environment = {
        "MCP_EXTERNAL_SERVER_1_NAME": "notion",
        "MCP_EXTERNAL_SERVER_1_TRANSPORT": "http",
        "MCP_EXTERNAL_SERVER_1_URI": "https://example.org/notion",
        "MCP_EXTERNAL_SERVER_1_TOKEN": "n",
        "MCP_EXTERNAL_SERVER_2_NAME": "helpscout",
        "MCP_EXTERNAL_SERVER_2_URI": "https://example.org/helpscout",
        "MCP_EXTERNAL_SERVER_2_TOKEN": "h",
        "MCP_EXTERNAL_SERVER_3_NAME": "slack",
        "MCP_EXTERNAL_SERVER_3_TRANSPORT": "websocket",
        "MCP_EXTERNAL_SERVER_3_URI": "wss://example.org/slack",
        "MCP_EXTERNAL_SERVER_3_TOKEN": "s",
        "MCP_EXTERNAL_SERVER_3_USER_TOKEN": "u",
        "MCP_EXTERNAL_SERVER_4_NAME": "files",
        "MCP_EXTERNAL_SERVER_4_COMMAND": "server",
        "MCP_EXTERNAL_SERVER_4_ARGS": "--root '/a folder'",
        "MCP_EXTERNAL_SERVER_4_ENABLED": "false",
    }
    found = {one.name: one for one in configured_servers(None, environment)}
    headers = {
        name: {key: value.get_secret_value() for key, value in one.headers.items()} for name, one in found.items()
    }
    assert headers["notion"] == {"Authorization": "Bearer n", "Notion-Version": "2022-06-28"}
    assert headers["helpscout"] == {"X-API-Key": "h"}
    assert headers["slack"] == {"Authorization": "Bearer s", "X-Slack-User-Token": "u"}
    assert (found["files"].args, found["files"].enabled) == (("--root", "/a folder"), False)
    assert found["slack"].transport == "websocket"


def test_every_problem_is_told_and_no_secret(tmp_path: Path) -> None:
    file = tmp_path / "servers.json"
    servers = {"one": {"url": "ftp://x", "headers": {"a": "canary"}}, "two": {"command": "x", "env": {"T": "${UNSET}"}}}
    file.write_text(json.dumps({"mcpServers": servers}))
    with pytest.raises(InvalidInputError) as caught:
        configured_servers(file, {})
    assert len(caught.value.problems) == 2
    assert "UNSET" in caught.value.message
    assert "canary" not in caught.value.message


def test_headers_of_a_tenant_are_sealed_and_seen_by_no_other(database: Database, tenant: str) -> None:
    store = PostgresServers(database)
    servers = McpServers(store=store, vault=Vault([new_master_key()]))
    config = ServerConfig.model_validate(
        {"name": "docs", "urls": ["https://example.org/mcp"], "headers": {"authorization": "canary-token"}}
    )
    assert servers.save(config, tenant=tenant, now=NOW)
    assert servers.get("docs", tenant=tenant).config == config
    (stored,) = store.all(tenant=tenant)
    assert b"canary" not in (stored.sealed or b"") + json.dumps(stored.config).encode()
    assert servers.list(tenant=f"{tenant}-other") == []
    assert not servers.save(config, tenant=tenant, now=NOW)
    servers.remove("docs", tenant=tenant)
    assert servers.list(tenant=tenant) == []


def test_a_tenant_cannot_reach_inside_start_programs_or_take_the_operators_name(
    database: Database, tenant: str
) -> None:
    operator = ServerConfig(name="tools", transport="stdio", command="x")
    servers = McpServers([operator], store=PostgresServers(database), vault=Vault([]))
    with pytest.raises(NotPermittedError):
        servers.save(ServerConfig(name="mine", urls=("http://127.0.0.1/mcp",)), tenant=tenant, now=NOW)
    with pytest.raises(InvalidInputError, match="operator"):
        servers.save(ServerConfig(name="mine", transport="stdio", command="sh"), tenant=tenant, now=NOW)
    with pytest.raises(ConflictError):
        servers.save(ServerConfig(name="tools", urls=("https://example.org/mcp",)), tenant=tenant, now=NOW)
