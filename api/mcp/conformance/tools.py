"""The suite's tools: every kind of content, logs, progress, questions to the client, changes of lists."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Annotated, Any

import orjson
from anyio import sleep
from mcp.shared.exceptions import MCPError
from mcp.shared.subscriptions import PromptsListChanged, ToolsListChanged
from mcp.types import (
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    AudioContent,
    CallToolResult,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    EmbeddedResource,
    ImageContent,
    InputRequiredResult,
    SamplingMessage,
    TextContent,
    TextResourceContents,
    Tool,
)
from mcp.types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import Field

from api.mcp.call import Call
from api.mcp.conformance.samples import AUDIO, DEFAULTS_FORM, ENUMS_FORM, IMAGE, SCHEMA_2020_12, WORD_FORM
from api.mcp.tool import BoundTool, Tools
from resources.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from api.mcp.changes import Changes

SCOPE = "read:conformance"
_STEP = 0.05


def text(value: str) -> CallToolResult:
    """A result of one text."""
    return CallToolResult(content=[TextContent(type="text", text=value)])


def build(changes: Changes) -> dict[str, BoundTool]:
    """All but those that ask in rounds."""
    tools = Tools()
    _content(tools)
    _talking(tools)
    _asking(tools)

    @tools.tool(SCOPE, title="Change of tools")
    async def test_trigger_tool_change(call: Call) -> str:
        """Tell that the list of tools has changed."""
        await changes.tell(call.tenant, ToolsListChanged())
        return "tool list changed"

    @tools.tool(SCOPE, title="Change of prompts")
    async def test_trigger_prompt_change(call: Call) -> str:
        """Tell that the list of prompts has changed."""
        await changes.tell(call.tenant, PromptsListChanged())
        return "prompt list changed"

    declared = Tool(name="json_schema_2020_12_tool", description="Has a schema of 2020-12", input_schema=SCHEMA_2020_12)
    return {**tools.bound, declared.name: BoundTool(SCOPE, declared, _schema_2020_12)}


async def _schema_2020_12(call: Call, given: Mapping[str, Any]) -> CallToolResult:
    del call
    return text(orjson.dumps(given).decode())


def _content(tools: Tools) -> None:
    @tools.tool(SCOPE, title="Text", read_only=True)
    def test_simple_text(call: Call) -> str:
        """Give a text."""
        del call
        return "This is a simple text response for testing."

    @tools.tool(SCOPE, title="Image", read_only=True)
    def test_image_content(call: Call) -> CallToolResult:
        """Give an image."""
        del call
        return CallToolResult(content=[ImageContent(type="image", data=IMAGE, mime_type="image/png")])

    @tools.tool(SCOPE, title="Audio", read_only=True)
    def test_audio_content(call: Call) -> CallToolResult:
        """Give a sound."""
        del call
        return CallToolResult(content=[AudioContent(type="audio", data=AUDIO, mime_type="audio/wav")])

    @tools.tool(SCOPE, title="Resource", read_only=True)
    def test_embedded_resource(call: Call) -> CallToolResult:
        """Give a resource."""
        del call
        return CallToolResult(
            content=[_embedded("test://embedded-resource", "text/plain", "This is an embedded resource content.")]
        )

    @tools.tool(SCOPE, title="All of them", read_only=True)
    def test_multiple_content_types(call: Call) -> CallToolResult:
        """Give a text, an image and a resource."""
        del call
        return CallToolResult(
            content=[
                TextContent(type="text", text="Multiple content types test:"),
                ImageContent(type="image", data=IMAGE, mime_type="image/png"),
                _embedded("test://mixed-content-resource", "application/json", '{"test": "data", "value": 123}'),
            ]
        )

    @tools.tool(SCOPE, title="Error", read_only=True)
    def test_error_handling(call: Call) -> str:
        """Fail."""
        del call
        raise InvalidInputError("This tool intentionally returns an error for testing")

    @tools.tool(SCOPE, title="Header", read_only=True)
    def test_x_mcp_header(
        call: Call,
        region: Annotated[
            str, Field(description="Repeated in Mcp-Param-Region", json_schema_extra={"x-mcp-header": "Region"})
        ] = "<none>",
    ) -> str:
        """Give an argument that a header repeats."""
        del call
        return f"region={region}"


def _talking(tools: Tools) -> None:
    @tools.tool(SCOPE, title="Logging", read_only=True)
    async def test_tool_with_logging(call: Call) -> str:
        """Log three lines."""
        for line in ("Tool execution started", "Tool processing data", "Tool execution completed"):
            await call.log("info", line)
            await sleep(_STEP)
        return "Tool with logging executed successfully"

    @tools.tool(SCOPE, title="Logging once", read_only=True)
    async def test_logging_tool(call: Call) -> str:
        """Log a line, if the request wants it."""
        await call.log("info", "test_logging_tool ran")
        return "logged"

    @tools.tool(SCOPE, title="Progress", read_only=True)
    async def test_tool_with_progress(call: Call) -> str:
        """Tell of progress three times."""
        for done in (0, 50, 100):
            await call.progress(done, 100, f"Completed step {done} of 100")
            await sleep(_STEP)
        return str((call.context.meta or {}).get("progress_token", 0))

    @tools.tool(SCOPE, title="Reconnection", read_only=True)
    async def test_reconnection(call: Call) -> str:
        """Close the stream in the middle; the client comes back for the rest."""
        await call.log("info", "Before disconnect")
        if call.context.close_sse_stream is not None:
            await call.context.close_sse_stream()
        await sleep(4 * _STEP)
        await call.log("info", "After reconnect")
        return "Reconnection test completed"


def _asking(tools: Tools) -> None:
    @tools.tool(SCOPE, title="Sampling")
    async def test_sampling(call: Call, prompt: str) -> str:
        """Ask the client's model."""
        message = SamplingMessage(role="user", content=TextContent(type="text", text=prompt))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecated in the newest protocol
            found = await call.context.session.create_message(
                messages=[message], max_tokens=100, related_request_id=call.context.request_id
            )
        told = found.content.text if isinstance(found.content, TextContent) else "No response"
        return f"LLM response: {told}"

    @tools.tool(SCOPE, title="Elicitation")
    async def test_elicitation(call: Call, message: str) -> str:
        """Ask the user."""
        return await _elicited(call, "User response", message, WORD_FORM)

    @tools.tool(SCOPE, title="Elicitation with defaults")
    async def test_elicitation_sep1034_defaults(call: Call) -> str:
        """Ask the user, with defaults of all types."""
        return await _elicited(call, "Elicitation result", "Please provide user information", DEFAULTS_FORM)

    @tools.tool(SCOPE, title="Elicitation with choices")
    async def test_elicitation_sep1330_enums(call: Call) -> str:
        """Ask the user to choose, in all ways that there are."""
        return await _elicited(call, "Elicitation completed", "Please select values", ENUMS_FORM)

    @tools.tool(SCOPE, title="Elicitation in either era")
    async def test_streaming_elicitation(call: Call) -> CallToolResult | InputRequiredResult:
        """Ask the user: in the older era at once, in the newer one in another round."""
        if call.context.protocol_version not in MODERN_PROTOCOL_VERSIONS:
            return text(await _elicited(call, "elicitation", "A word, please", WORD_FORM))
        answer = call.answers.get("word")
        if isinstance(answer, ElicitResult):
            return text(f"elicitation {answer.action}")
        asked = ElicitRequest(params=ElicitRequestFormParams(message="A word, please", requested_schema=WORD_FORM))
        return InputRequiredResult(input_requests={"word": asked})

    @tools.tool(SCOPE, title="Capability")
    def test_missing_capability(call: Call) -> str:
        """Refuse clients that cannot sample."""
        capabilities = call.context.session.client_capabilities
        if capabilities is None or capabilities.sampling is None:
            raise MCPError(
                MISSING_REQUIRED_CLIENT_CAPABILITY,
                "This tool requires the client 'sampling' capability",
                {"requiredCapabilities": {"sampling": {}}},
            )
        return "Client declared sampling capability; proceeding."


def _embedded(uri: str, media_type: str, content: str) -> EmbeddedResource:
    return EmbeddedResource(type="resource", resource=TextResourceContents(uri=uri, mime_type=media_type, text=content))


async def _elicited(call: Call, title: str, message: str, form: dict[str, Any]) -> str:
    found = await call.context.session.elicit_form(message, form, related_request_id=call.context.request_id)
    content = orjson.dumps(found.content or {}).decode() if found.action == "accept" else "{}"
    return f"{title}: action={found.action}, content={content}"
