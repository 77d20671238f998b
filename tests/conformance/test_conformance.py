"""Judged by programs that nobody here wrote, and the same fixtures over the transports that those do not know."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from mcp import Client, StdioServerParameters

from resources.ai.call import CallOptions
from resources.ai.errand import Errand, on_errand
from resources.ai.model import CallContext
from resources.mcp.model import ServerConfig
from resources.mcp.pool import Pool
from resources.mcp.websocket import websocket_client
from tests.conformance.node import NoNodeError, environment, installed, script
from tests.conformance.run import (
    CLIENT_SCENARIOS,
    CLIENT_SUITES,
    SUITES,
    Suite,
    fixture_server,
    judged,
    passes,
    warm_client,
)
from tests.resources.mcp.test_sampling import offline

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mcp.types import LoggingMessageNotificationParams

ROOT = Path(__file__).parents[2]
AIW = str(Path(sys.prefix) / "bin" / "aiw")
FIXTURES = ("mcp", "serve", "--profile", "conformance")
INSPECTOR = ("@modelcontextprotocol/inspector", "clients/launcher/build/index.js")

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with fixture_server() as found:
        yield found


@pytest.fixture(scope="module")
def client() -> Iterator[str]:
    with warm_client() as command:
        yield command


@pytest.fixture(scope="module")
def _judges() -> None:
    """The judges of the lock file, or why there are none."""
    try:
        installed(timeout=150)
    except NoNodeError as error:
        pytest.skip(str(error))


@pytest.mark.usefixtures("_judges")
@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_the_official_suite_finds_what_the_readme_says(url: str, suite: Suite) -> None:
    score = judged(suite, url)
    assert score.failures == ()
    assert (score.passed, score.failed) == (suite.least, suite.checks - suite.least)


@pytest.mark.usefixtures("_judges")
@pytest.mark.parametrize("scenario", CLIENT_SCENARIOS)
def test_the_official_suite_finds_no_fault_in_the_client(client: str, scenario: str) -> None:
    assert passes(scenario, client)


@pytest.mark.parametrize("suite", [*SUITES, *CLIENT_SUITES], ids=lambda suite: suite.name)
def test_the_readme_keeps_the_scores(suite: Suite) -> None:
    assert f"| {suite.name} | {suite.promise} |" in (ROOT / "README.md").read_text()


def inspected(*arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [*script(*INSPECTOR), "--cli", *arguments],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.usefixtures("_judges")
def test_the_inspector_lists_tools_over_stdio() -> None:
    found = inspected(AIW, *FIXTURES, "--method", "tools/list")
    assert "test_simple_text" in {tool["name"] for tool in found["tools"]}


async def told(client: Client) -> dict[str, Any]:
    """Everything that a client can find out, and what each simple fixture answers."""
    tools = (await client.list_tools()).tools
    calls = {
        name: (await client.call_tool(name, {})).model_dump(mode="json")
        for name in ("test_simple_text", "test_image_content", "test_multiple_content_types", "test_error_handling")
    }
    return {
        "tools": [tool.model_dump(mode="json") for tool in tools],
        "calls": calls,
        "resources": [one.model_dump(mode="json") for one in (await client.list_resources()).resources],
        "text": (await client.read_resource("test://static-text")).contents[0].model_dump(mode="json"),
        "filled": (await client.read_resource("test://template/7/data")).contents[0].model_dump(mode="json"),
        "prompts": [one.model_dump(mode="json") for one in (await client.list_prompts()).prompts],
        "prompt": (await client.get_prompt("test_prompt_with_image")).model_dump(mode="json")["messages"],
    }


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
async def test_all_transports_say_the_same(url: str, mode: Any) -> None:
    over_socket = websocket_client(f"{url.replace('http', 'ws', 1)}/mcp/ws")
    by_program = StdioServerParameters(command=AIW, args=list(FIXTURES))
    found = []
    for server in (f"{url}/mcp", over_socket, by_program):
        async with Client(server, mode=mode) as client:
            found.append(await told(client))
    assert found[0]["tools"]
    assert found[1] == found[0]
    assert found[2] == found[0]


@pytest.mark.parametrize(
    ("era", "tool"), [("legacy", "test_sampling"), ("2026-07-28", "test_input_required_result_sampling")]
)
async def test_a_server_that_asks_for_a_model_is_answered_in_either_era(url: str, era: str, tool: str) -> None:
    config = {"name": "asking", "urls": [f"{url}/mcp"], "era": era, "sampling": {}}
    pool = Pool(ServerConfig.model_validate(config))
    try:
        with on_errand(Errand(offline(), CallContext(tenant="t"), CallOptions())) as errand:
            found = await pool.call(tool, {"prompt": "Tea wants hot water."} if era == "legacy" else {})
    finally:
        await pool.close()
    assert re.match(r"(LLM response|Model said): \w+", found.text)
    assert errand.tokens > 0


async def test_progress_and_logs_arrive_over_a_socket(url: str) -> None:
    seen: list[float] = []
    lines: list[Any] = []

    async def progress(progress: float, total: float | None, message: str | None) -> None:
        del total, message
        seen.append(progress)

    async def log(params: LoggingMessageNotificationParams) -> None:
        lines.append(params.data["message"])

    transport = websocket_client(f"{url.replace('http', 'ws', 1)}/mcp/ws")
    async with Client(transport, mode="legacy", logging_callback=log) as client:
        await client.call_tool("test_tool_with_progress", {}, progress_callback=progress)
        await client.call_tool("test_tool_with_logging", {})
    assert seen == [0, 50, 100]
    assert lines == ["Tool execution started", "Tool processing data", "Tool execution completed"]
