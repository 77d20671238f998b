"""The servers as clients meet them: over each transport, in both eras of the protocol."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from mcp.types import ResourceTemplateReference, TextContent, TextResourceContents

if TYPE_CHECKING:
    import httpx

    from api.dependencies import Services
    from tests.api.mcp.conftest import Connect

ERAS = pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
TRANSPORTS = pytest.mark.parametrize("websocket", [False, True], ids=["http", "websocket"])


def text_of(result: Any) -> str:
    (content,) = result.content
    assert isinstance(content, TextContent)
    return content.text


@ERAS
@TRANSPORTS
@pytest.mark.parametrize("path", ["/mcp", "/mcp/platform", "/mcp/customer-support", "/mcp/knowledge-base"])
async def test_tools_are_listed_with_schemas_and_hints(connect: Connect, mode: str, websocket: bool, path: str) -> None:
    async with connect(path=path, mode=mode, websocket=websocket) as client:
        tools = (await client.list_tools()).tools
    assert len(tools) >= 10
    assert all(tool.input_schema["type"] == "object" and tool.description and tool.annotations for tool in tools)


@ERAS
@TRANSPORTS
@pytest.mark.usefixtures("taught")
async def test_a_search_gives_structured_passages(connect: Connect, mode: str, websocket: bool) -> None:
    async with connect(mode=mode, websocket=websocket) as client:
        found = await client.call_tool("search", {"query": "how to make tea", "limit": 1})
    assert not found.is_error
    assert found.structured_content is not None
    assert "Boil fresh water" in found.structured_content["hits"][0]["text"]
    assert "Boil fresh water" in text_of(found)


@ERAS
async def test_a_wrong_argument_is_told_with_its_path(connect: Connect, mode: str) -> None:
    async with connect(mode=mode) as client:
        found = await client.call_tool("search", {"query": "tea", "limit": 0, "more": 1})
    assert found.is_error
    assert "limit" in text_of(found)
    assert "more" in text_of(found)


async def test_what_was_published_is_a_tool_with_its_inputs_as_schema(connect: Connect) -> None:
    spec = {
        "name": "greeting",
        "description": "Greets somebody.",
        "expose": ["mcp"],
        "inputs": {"who": {"type": "string", "description": "Whom to greet"}},
        "nodes": {"greet": {"type": "template", "config": {"template": "Hello, {{ inputs.who }}!"}}},
        "outputs": {"text": "{{ nodes.greet.output.text }}"},
    }
    async with connect() as client:
        published = await client.call_tool("publish_workflow", {"spec": spec})
        assert not published.is_error, text_of(published)
        tools = {tool.name: tool for tool in (await client.list_tools(cache_mode="bypass")).tools}
        hidden = await client.call_tool("publish_workflow", {"spec": {**spec, "expose": []}})
        assert not hidden.is_error
        later = {tool.name for tool in (await client.list_tools(cache_mode="bypass")).tools}
    assert tools["workflow_greeting"].input_schema["required"] == ["who"]
    assert tools["workflow_greeting"].description == "Greets somebody."
    assert "workflow_greeting" not in later


async def test_a_broken_workflow_is_told_with_all_its_problems(connect: Connect) -> None:
    async with connect() as client:
        found = await client.call_tool("validate_workflow", {"spec": "name: x\nnodes: {a: {type: nonsense}}"})
    assert found.is_error
    assert "nonsense" in text_of(found)


@ERAS
@pytest.mark.usefixtures("taught")
async def test_documents_can_be_read_and_their_ids_completed(
    connect: Connect, services: Services, tenant: str, mode: str
) -> None:
    (document,) = services.documents.list(tenant=tenant)
    async with connect(mode=mode, path="/mcp/knowledge-base") as client:
        first = await client.list_resources()
        assert first.next_cursor is not None
        listed = await client.list_resources(cursor=first.next_cursor)
        (contents,) = (await client.read_resource(f"aiw://documents/{document.id}")).contents
        templates = (await client.list_resource_templates()).resource_templates
        completed = await client.complete(
            ResourceTemplateReference(uri="aiw://documents/{id}"),
            {"name": "id", "value": document.id[:4]},
        )
    assert [one.name for one in listed.resources] == [document.id]
    assert isinstance(contents, TextResourceContents)
    assert '"notes.md"' in contents.text
    assert "aiw://concepts/{id}" in {one.uri_template for one in templates}
    assert completed.completion.values == [document.id]


async def test_prompts_of_the_library_are_rendered(connect: Connect) -> None:
    async with connect() as client:
        prompts = {one.name: one for one in (await client.list_prompts()).prompts}
        wanted = {
            one.name: "[]" if "JSON" in (one.description or "") else "tea"
            for one in prompts["research_summary"].arguments or ()
        }
        found = await client.get_prompt("research_summary", wanted)
    assert "tea" in str(found.messages[-1].content)


async def test_a_client_of_the_newer_era_hears_of_changed_tools(connect: Connect, http: httpx.Client) -> None:
    spec = {"name": "heard", "tags": ["mcp"], "nodes": {"a": {"type": "template", "config": {"template": "x"}}}}
    async with connect(mode="2026-07-28") as client, client.listen(tools_list_changed=True) as stream:
        published = await asyncio.to_thread(lambda: http.post("/api/v1/workflows", json=spec))
        assert published.status_code == 201, published.text
        async with asyncio.timeout(30):
            async for event in stream:
                assert type(event).__name__ == "ToolsListChanged"
                break


async def test_every_call_of_a_tool_leaves_an_event(connect: Connect, services: Services, tenant: str) -> None:
    async with connect() as client:
        await client.call_tool("list_workflows", {})
        await client.call_tool("search", {"query": ""})
    async with asyncio.timeout(30):
        while len(found := services.events.read_all(types=["mcp.tool_called"], tenant=tenant)) < 2:  # noqa: ASYNC110  # in another process, perhaps
            await asyncio.sleep(0.05)
    assert [(one.data["tool"], one.data["outcome"]) for one in found] == [
        ("list_workflows", "answered"),
        ("search", "validation_failed"),
    ]
    assert found[0].metadata.user_id == "local"


async def test_an_unknown_tool_is_an_error_of_the_protocol(connect: Connect) -> None:
    async with connect() as client:
        with pytest.raises(Exception, match="Unknown tool"):
            await client.call_tool("nonsense", {})
