"""Whether arguments are what a tool of a server wants. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from referencing import Registry
from referencing.exceptions import Unresolvable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from resources.mcp.model import RemoteTool

_MOST: Final = 5


_OF_NAMES: Final = frozenset({"required", "additionalProperties", "dependentRequired", "propertyNames"})


def problems_of(tool: RemoteTool, arguments: Mapping[str, Any]) -> list[str]:
    """What is wrong with them, at most five things. A schema that is none is the server's fault, and says nothing about them."""
    return problems_without(tool, arguments, lambda _: False)


def problems_without(tool: RemoteTool, arguments: Mapping[str, Any], is_open: Callable[[Any], bool]) -> list[str]:
    """The same, but for values that are not known yet: of those, only whether they are there."""
    validator = Draft202012Validator(dict(tool.parameters), registry=Registry())  # which fetches no reference
    try:
        Draft202012Validator.check_schema(tool.parameters)
        found = list(validator.iter_errors(dict(arguments)))
    except (SchemaError, Unresolvable):
        return []
    known = [error for error in found if error.validator in _OF_NAMES or not is_open(error.instance)]
    return [f"{error.json_path}: {error.message[:300]}" for error in known[:_MOST]]
