"""MCP servers that the tenant calls, over HTTP and at the shell."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from api.cli.app import app
from resources.mcp.model import ServerConfig
from resources.mcp.servers import Server
from tests.resources.mcp.test_chaos import by_program

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from api.dependencies import Services

PATH = "/api/v1/mcp-servers"


@pytest.fixture
def faulty(services: Services) -> Iterator[None]:
    """The operator has configured a program."""
    config = ServerConfig.model_validate({"name": "faulty", "era": "legacy", **by_program()})
    services.mcp_servers._operator["faulty"] = Server(config, "operator")
    yield
    del services.mcp_servers._operator["faulty"]


@pytest.mark.usefixtures("faulty")
def test_a_server_is_checked_and_its_tools_are_listed_and_called(http: httpx.Client) -> None:
    assert http.post(f"{PATH}/faulty/check").json()["connections"][0]["status"] == "healthy"
    tools = {tool["name"]: tool for tool in http.get(f"{PATH}/faulty/tools").json()["tools"]}
    assert tools["fine"]["repeatable"] is True
    called = http.post(f"{PATH}/faulty/tools/fine", json={}).json()
    assert called["text"].startswith("fine")
    assert called["memo"] == "off"
    refused = http.post(f"{PATH}/faulty/tools/wants_name", json={})
    assert (refused.status_code, refused.json()["code"]) == (400, "mcp_arguments_invalid")
    assert http.delete(f"{PATH}/faulty").json()["code"] == "mcp_server_of_operator"


@pytest.mark.usefixtures("faulty")
def test_the_shell_calls_a_tool(api_url: str) -> None:
    def run(*arguments: str) -> Any:
        done = CliRunner().invoke(app, ["--api-url", api_url, "mcp", *arguments, "--json"])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    assert "faulty" in {one["name"] for one in run("servers")}
    assert run("check", "faulty")["tools"] == len(run("tools", "faulty"))
    assert run("call", "faulty", "fine", '{"n": 1}')["text"].startswith("fine")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"urls": ["http://127.0.0.1:1/mcp"]}, "egress_refused"),
        ({"urls": ["http://169.254.169.254/mcp"]}, "egress_refused"),
        ({"transport": "websocket", "urls": ["ws://10.0.0.1/mcp"]}, "egress_refused"),
        ({"urls": ["https://user:secret@example.org/mcp"]}, "mcp_config_invalid"),
        ({"transport": "stdio", "urls": ["http://x"]}, "validation_failed"),
        ({"urls": ["https://example.org/mcp"], "weights": [1, 2]}, "mcp_config_invalid"),
    ],
)
def test_what_a_tenant_may_not_configure_is_refused(http: httpx.Client, body: dict[str, Any], code: str) -> None:
    answer = http.put(f"{PATH}/mine", json=body)
    assert answer.json()["code"] == code
    assert "secret" not in answer.text


def test_a_tenants_server_is_kept_and_its_address_shown(http: httpx.Client) -> None:
    body = {"urls": ["https://example.org/mcp"], "strategy": "round_robin"}
    assert [http.put(f"{PATH}/mine", json=body).status_code for _ in range(2)] == [201, 200]
    found = http.get(f"{PATH}/mine").json()
    assert (found["origin"], found["urls"], found["strategy"]) == ("tenant", body["urls"], "round_robin")
    assert http.delete(f"{PATH}/mine").status_code == 204
    assert http.get(f"{PATH}/mine").json()["code"] == "mcp_server_not_found"


def test_a_workflow_that_calls_a_server_that_there_is_not_is_not_published(http: httpx.Client) -> None:
    call = {"id": "ask", "type": "mcp_tool", "config": {"server": "tiem", "tool": "get_current_time"}}
    refused = http.post("/api/v1/workflows", json={"name": "asks", "version": "1.0", "nodes": [call]})
    assert refused.status_code in {400, 422}, refused.text
    (problem,) = refused.json()["errors"]
    assert (problem["path"], problem["code"]) == ("nodes.ask.config.server", "mcp_server_not_found")
    assert "time" in problem["hint"]
