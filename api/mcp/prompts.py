"""The prompt library as prompts of MCP: the newest version under `production`, else the newest one; variables are arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

import orjson
from mcp.types import GetPromptResult, Prompt, PromptArgument, PromptMessage, TextContent

from api.auth import access
from resources.errors import InvalidInputError, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from api.mcp.call import Call
    from resources.prompts.model import PromptSpec

SCOPE = "read:prompts"
_Boolean = Literal["true", "false"]


class LibraryPrompts:
    """The caller's tenant's prompts, and those that come with the platform."""

    def list(self, call: Call) -> Sequence[Prompt]:
        if not call.principal.allows(SCOPE):
            return []
        return [_told(found.spec) for found in call.services.prompts.list(tenant=call.tenant)]

    def get(self, call: Call, name: str, arguments: Mapping[str, str]) -> GetPromptResult:
        """The rendered texts: the instruction, then the user's message. Protocol and models know no system message here."""
        if not call.principal.allows(SCOPE):
            raise access.refused(SCOPE)
        spec = call.services.prompts.get(name, tenant=call.tenant).spec
        found = call.services.prompts.render(name, _typed(spec, arguments), tenant=call.tenant)
        texts = [text for text in (found.system, found.text) if text]
        messages = [PromptMessage(role="user", content=TextContent(type="text", text=text)) for text in texts]
        return GetPromptResult(description=spec.description or None, messages=messages)

    def complete(self, call: Call, name: str, argument: str, value: str) -> Sequence[str]:
        """Values of an argument, where they can be told: those of examples, and of truth."""
        if not call.principal.allows(SCOPE):
            return ()
        spec = call.services.prompts.get(name, tenant=call.tenant).spec
        variable = spec.variables.get(argument)
        if variable is None:
            return ()
        if variable.type == "boolean":
            known: list[Any] = list(get_args(_Boolean))
        else:
            known = [variable.default, *(example.variables.get(argument) for example in spec.examples)]
        texts = dict.fromkeys(one for one in known if isinstance(one, str))
        return [one for one in texts if one.startswith(value)]


def _told(spec: PromptSpec) -> Prompt:
    return Prompt(
        name=spec.id,
        title=spec.name or None,
        description=spec.description or None,
        arguments=[
            PromptArgument(
                name=name,
                description=f"{one.description} ({one.type}, as JSON)".strip()
                if one.type != "string"
                else one.description or None,
                required=one.required and one.default is None,
            )
            for name, one in spec.variables.items()
        ],
    )


def _typed(spec: PromptSpec, arguments: Mapping[str, str]) -> dict[str, Any]:
    """Arguments are texts; those of other types come as JSON. Raises InvalidInputError."""
    values: dict[str, Any] = {}
    wrong: list[Problem] = []
    for name, text in arguments.items():
        variable = spec.variables.get(name)
        if variable is None or variable.type in {"string", "any"}:
            values[name] = text
            continue
        try:
            values[name] = orjson.loads(text)
        except orjson.JSONDecodeError:
            wrong.append(Problem(name, f"is no {variable.type} in JSON"))
    if wrong:
        raise InvalidInputError(
            f"The arguments are not valid: {wrong[0]}.", code="validation_failed", problems=tuple(wrong)
        )
    return values
