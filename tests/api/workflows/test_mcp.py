"""A client of MCP with an address alone: finds a workflow, runs it, follows it, ends it; also through the program for stdio."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcp import Client, StdioServerParameters

from tests.api.mcp.conftest import connected
from tests.api.workflows.conftest import wait_for

if TYPE_CHECKING:
    from tests.api.workflows.conftest import Platform

AIW = str(Path(sys.prefix) / "bin" / "aiw")
GREETING = """
name: greet_by_mcp
tags: [mcp]
inputs: {who: {type: string}}
nodes:
  greet: {type: template, config: {template: "Hello, {{ inputs.who }}!"}}
outputs: {text: "{{ nodes.greet.output.text }}"}
"""
SLOW = """
name: slow_by_mcp
nodes:
  wait: {type: delay, config: {seconds: 60}}
outputs: {}
"""


def text_of(result: Any) -> str:
    return str(result.content[0].text)


async def test_a_workflow_is_run_and_followed(platform: Platform) -> None:
    platform.publish(GREETING)
    told: list[tuple[float, float | None]] = []

    async def progress(progress: float, total: float | None, message: str | None) -> None:
        del message
        told.append((progress, total))

    async with connected(platform.url) as client:
        ran = await client.call_tool(
            "run_workflow", {"name": "greet_by_mcp", "inputs": {"who": "Ada"}, "wait": 90}, progress_callback=progress
        )
        assert ran.structured_content is not None, text_of(ran)
        assert ran.structured_content["status"] == "completed", text_of(ran)
        assert ran.structured_content["outputs"] == {"text": "Hello, Ada!"}
        story = await client.read_resource(ran.structured_content["resource"])
        status = await client.call_tool("run_status", {"run_id": ran.structured_content["run_id"]})
        exposed = await client.call_tool("workflow_greet_by_mcp", {"who": "Grace"})
        wrong = await client.call_tool("workflow_greet_by_mcp", {"whom": "Grace"})
    assert told
    assert told == sorted(told)
    assert '"greet"' in story.contents[0].text  # type: ignore[union-attr]
    assert status.structured_content is not None
    assert exposed.structured_content is not None, text_of(exposed)
    assert exposed.structured_content["outputs"] == {"text": "Hello, Grace!"}
    assert wrong.is_error


async def test_giving_up_a_call_ends_its_run(platform: Platform) -> None:
    platform.publish(SLOW)
    async with connected(platform.url, mode="2026-07-28") as client:
        waiting = asyncio.create_task(client.call_tool("run_workflow", {"name": "slow_by_mcp", "wait": 200}))
        await asyncio.to_thread(
            wait_for, lambda: [one for one in platform.runs_of("slow_by_mcp") if one.status == "running"], "the run"
        )
        (run,) = platform.runs_of("slow_by_mcp")
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        ended = await asyncio.to_thread(platform.end_of, run.run_id)
    assert ended.status == "cancelled"


async def test_the_program_for_stdio_speaks_to_the_running_platform(platform: Platform) -> None:
    program = StdioServerParameters(
        command=AIW, args=["mcp", "serve", "--server", "knowledge-base"], env={"AIW_API_URL": platform.url}
    )
    async with Client(program) as client:
        tools = {tool.name for tool in (await client.list_tools()).tools}
        found = await client.call_tool("query_router", {"query": "How do I brew green tea?"})
    assert {"search_knowledge", "create_page", "send_message"} <= tools
    assert json.loads(text_of(found))["keywords"] == ["brew", "green", "tea"]
