"""Whether arguments are what a tool of a server wants. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from referencing import Registry
from referencing.exceptions import Unresolvable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from resources.mcp.model import RemoteTool

_MOST: Final = 5


def problems_of(tool: RemoteTool, arguments: Mapping[str, Any]) -> list[str]:
    """What is wrong with them, at most five things. A schema that is none is the server's fault, and says nothing about them."""
    validator = Draft202012Validator(dict(tool.parameters), registry=Registry())  # which fetches no reference
    try:
        Draft202012Validator.check_schema(tool.parameters)
        found = list(validator.iter_errors(dict(arguments)))
    except (SchemaError, Unresolvable):
        return []
    return [f"{error.json_path}: {error.message[:300]}" for error in found[:_MOST]]
