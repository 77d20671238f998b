"""The suite's resources and prompts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import orjson
from mcp.types import (
    BlobResourceContents,
    ElicitResult,
    EmbeddedResource,
    GetPromptResult,
    ImageContent,
    InputRequiredResult,
    Prompt,
    PromptArgument,
    PromptMessage,
    ReadResourceResult,
    Resource,
    ResourceTemplate,
    TextContent,
    TextResourceContents,
)

from api.mcp.conformance.rounds import ask
from api.mcp.conformance.samples import CONTEXT_FORM, IMAGE
from resources.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from api.mcp.call import Call

_TEXTS = {
    "test://static-text": "This is the content of the static text resource.",
    "test://watched-resource": "Watched resource content",
}
_BINARY = "test://static-binary"
_TEMPLATE = "test://template/{id}/data"
_FILLED = re.compile(r"test://template/([^/]+)/data")


class FixtureResources:
    """Two texts, an image and a template."""

    def list(self, call: Call, cursor: str | None) -> tuple[Sequence[Resource], str | None]:
        del call, cursor
        texts = [Resource(uri=uri, name=uri.removeprefix("test://"), mime_type="text/plain") for uri in _TEXTS]
        return [*texts, Resource(uri=_BINARY, name="static-binary", mime_type="image/png")], None

    def templates(self, call: Call) -> Sequence[ResourceTemplate]:
        del call
        return [ResourceTemplate(uri_template=_TEMPLATE, name="template", mime_type="application/json")]

    def read(self, call: Call, uri: str) -> ReadResourceResult:
        del call
        if uri in _TEXTS:
            return ReadResourceResult(
                contents=[TextResourceContents(uri=uri, mime_type="text/plain", text=_TEXTS[uri])]
            )
        if uri == _BINARY:
            return ReadResourceResult(contents=[BlobResourceContents(uri=uri, mime_type="image/png", blob=IMAGE)])
        if found := _FILLED.fullmatch(uri):
            told = {"id": found[1], "templateTest": True, "data": f"Data for ID: {found[1]}"}
            text = orjson.dumps(told).decode()
            return ReadResourceResult(contents=[TextResourceContents(uri=uri, mime_type="application/json", text=text)])
        raise NotFoundError(f"There is no resource {uri!r}.", code="resource_not_found", uri=uri)

    def complete(self, call: Call, template: str, argument: str, value: str) -> Sequence[str]:
        del call, template, argument, value
        return ()


class FixturePrompts:
    """Texts, with arguments, an image, a resource, and a question of their own."""

    def list(self, call: Call) -> Sequence[Prompt]:
        del call

        def prompt(name: str, *arguments: str) -> Prompt:
            listed = [PromptArgument(name=one, description=f"Text for {one}", required=True) for one in arguments]
            return Prompt(name=name, description=name.replace("_", " "), arguments=listed)

        return [
            prompt("test_simple_prompt"),
            prompt("test_prompt_with_arguments", "arg1", "arg2"),
            prompt("test_prompt_with_embedded_resource", "resourceUri"),
            prompt("test_prompt_with_image"),
            prompt("test_input_required_result_prompt"),
        ]

    def get(self, call: Call, name: str, arguments: Mapping[str, str]) -> GetPromptResult | InputRequiredResult:
        match name:
            case "test_simple_prompt":
                return _said(_text("This is a simple prompt for testing."))
            case "test_prompt_with_arguments":
                return _said(
                    _text(f"Prompt with arguments: arg1='{arguments.get('arg1')}', arg2='{arguments.get('arg2')}'")
                )
            case "test_prompt_with_embedded_resource":
                told = TextResourceContents(
                    uri=arguments.get("resourceUri", ""),
                    mime_type="text/plain",
                    text="Embedded resource content for testing.",
                )
                return _said(
                    EmbeddedResource(type="resource", resource=told),
                    _text("Please process the embedded resource above."),
                )
            case "test_prompt_with_image":
                image = ImageContent(type="image", data=IMAGE, mime_type="image/png")
                return _said(image, _text("Please analyze the image above."))
            case "test_input_required_result_prompt":
                answer = call.answers.get("user_context")
                if answer is None:
                    question = ask("What context should the prompt use?", CONTEXT_FORM)
                    return InputRequiredResult(input_requests={"user_context": question})
                told_by = answer.content.get("context") if isinstance(answer, ElicitResult) and answer.content else "?"
                return _said(_text(f"Use the following context: {told_by}"))
        raise NotFoundError(f"There is no prompt {name!r}.", code="prompt_not_found")

    def complete(self, call: Call, name: str, argument: str, value: str) -> Sequence[str]:
        del call, name, argument, value
        return ()


def _text(text: str) -> TextContent:
    return TextContent(type="text", text=text)


def _said(*contents: TextContent | ImageContent | EmbeddedResource) -> GetPromptResult:
    return GetPromptResult(messages=[PromptMessage(role="user", content=content) for content in contents])
