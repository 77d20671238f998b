"""MCP's own inspector, which nobody here wrote: an address, and a token or somebody with a browser, are all that it is given."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from api.app import create_app
from resources.ai.minilm import MiniLmEmbedder
from resources.content.postgres import PostgresChunkIndex
from tests.api.auth.people import PASSWORD, People
from tests.api.harness import serving
from tests.api.knowledge import PASSAGES, teach
from tests.conformance.node import NoNodeError, environment, installed, script
from tests.fixtures.chromium import chromium

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.api.workflows.conftest import Platform

INSPECTOR = ("@modelcontextprotocol/inspector", "clients/launcher/build/index.js")
PATIENCE = 120
GREETING = """
name: greet_by_inspector
expose: [mcp]
inputs: {who: {type: string}}
nodes:
  greet: {type: template, config: {template: "Hello, {{ inputs.who }}!"}}
outputs: {text: "{{ nodes.greet.output.text }}"}
"""

pytestmark = [pytest.mark.timeout(400), pytest.mark.usefixtures("_inspector")]


@pytest.fixture(scope="module")
def _inspector() -> None:
    """The inspector of the lock file, or why there is none."""
    try:
        installed(timeout=150)
    except NoNodeError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def door(whole: Platform) -> Iterator[str]:
    """Where the platform is for those who have to log in."""
    auth = whole.settings.auth.model_copy(update={"mode": "required"})
    with serving(create_app(whole.services, whole.settings.model_copy(update={"auth": auth}))) as url:
        yield url


def command(url: str, method: str, *arguments: str) -> list[str]:
    return [
        *script(*INSPECTOR),
        "--cli",
        url,
        "--transport",
        "http",
        "--format",
        "json",
        "--method",
        method,
        *arguments,
    ]


class Inspector:
    """It has a token."""

    def __init__(self, door: str, token: str) -> None:
        self._door = door
        self._token = token

    def __call__(self, method: str, *arguments: str, path: str = "/mcp") -> Any:
        asked = command(self._door + path, method, *arguments, "--header", f"Authorization: Bearer {self._token}")
        done = subprocess.run(asked, env=environment(), capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert done.stdout, done.stderr
        return json.loads(done.stdout)["result"]

    def tools(self) -> set[str]:
        return {tool["name"] for tool in self("tools/list")["tools"]}

    def call(self, tool: str, *, path: str = "/mcp", **arguments: Any) -> Any:
        return self("tools/call", "--tool-name", tool, "--tool-args-json", json.dumps(arguments), path=path)


def test_a_token_runs_and_follows_a_workflow_and_searches_as_its_tenant_and_as_no_other(
    platform: Platform, door: str
) -> None:
    owners, strangers = (People(platform.services.identity, f"{platform.tenant}{end}") for end in ("", "-other"))
    owner, stranger = (Inspector(door, people.pair("member").access_token) for people in (owners, strangers))
    platform.publish(GREETING)
    index = PostgresChunkIndex(platform.runtime.database)
    teach(platform.services, index, MiniLmEmbedder(), tenant=platform.tenant)

    assert {"workflow_greet_by_inspector", "run_workflow", "run_status", "search"} <= owner.tools()
    run = owner.call("run_workflow", name="greet_by_inspector", inputs={"who": "Ada"}, wait=0)["structuredContent"]
    platform.end_of(run["run_id"])
    followed = owner.call("run_status", run_id=run["run_id"])["structuredContent"]
    story = followed["execution"]
    assert (story["status"], story["outputs"]) == ("completed", {"text": "Hello, Ada!"})
    asked = {"query": "How is tea made?", "path": "/mcp/knowledge-base"}
    assert PASSAGES[0] in str(owner.call("search_knowledge", **asked)["structuredContent"]["results"])

    assert "workflow_greet_by_inspector" not in stranger.tools()
    refused = stranger.call("run_status", run_id=run["run_id"])
    assert refused["isError"]
    assert "Hello" not in str(refused)
    assert stranger.call("search_knowledge", **asked)["structuredContent"]["results"] == []


def test_somebody_lets_the_inspector_in_with_a_browser(platform: Platform, door: str, tmp_path: Path) -> None:
    people = People(platform.services.identity, platform.tenant)
    person = {"tenant": people.tenant, "username": f"{people.tenant}-person", "password": PASSWORD}
    people.user("member", username=person["username"], password=PASSWORD)
    platform.publish(GREETING)
    asked = command(f"{door}/mcp", "tools/list", "--callback-url", "http://127.0.0.1:0/oauth/callback")
    given = {**environment(), "MCP_STORAGE_DIR": str(tmp_path), "MCP_INSPECTOR_SECRET_STORE": "memory"}
    # It tells where to go only where a person could be; the browser that it opens itself opens nothing.
    given |= {"MCP_AUTO_OPEN_ENABLED": "true", "BROWSER": "true"}
    pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with chromium() as page, subprocess.Popen(asked, env=given, text=True, **pipes) as inspector:
        try:
            assert inspector.stderr is not None
            said = [next((line for line in inspector.stderr if "/oauth/authorize" in line), "")]
            page.go(next(word for word in said[0].split() if word.startswith("http")))
            page.until("document.querySelector('[name=password]') !== null")
            assert "MCP Inspector asks for access" in page.evaluate("document.body.innerText")
            assert page.errors == []
            for name, value in person.items():
                page.evaluate(f"document.querySelector('[name={name}]').value = {json.dumps(value)}")
            page.evaluate("document.querySelector('[value=agree]').click()")
            listed, _ = inspector.communicate(timeout=PATIENCE)
        finally:
            inspector.kill()
    assert "workflow_greet_by_inspector" in {tool["name"] for tool in json.loads(listed)["result"]["tools"]}
