"""The port of tools: a name and a schema that the model sees, a function, and what may be done with it.

Functions, HTTP, search, workflows and tools of MCP servers all come as a `Tool`; the loop knows no other kind.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from threading import Event
from typing import TYPE_CHECKING, Any, Final

from jsonschema import Draft202012Validator
from referencing import Registry

from resources.ai.structured import check_schema
from resources.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from resources.ai.model import ToolSpec

TIMEOUT: Final = 30.0


@dataclass(slots=True)
class Spent:
    """What a tool has paid for models by itself. `cost` is in US dollars; None = nobody knows."""

    tokens: int = 0
    cost: Decimal | None = Decimal(0)


@dataclass(frozen=True, slots=True)
class ToolUse:
    """One use of a tool. `key` is the same each time a run is executed again: a tool with effects can pass it on, so that what
    was done is not done twice. `cancel` is set when nobody waits for the answer any more. A tool that calls models notes in
    `spent` what it took, which counts on the agent's limits.
    """

    tenant: str
    agent: str
    key: str
    cancel: Event = field(default_factory=Event)
    spent: Spent = field(default_factory=Spent)


@dataclass(frozen=True, slots=True)
class Tool:
    """`run` takes the arguments, checked against the schema, and gives text, or what becomes JSON; it may block or be async.

    `pure`: the same arguments always give the same, so an answer is recorded and taken again by other runs. `effects`: it changes
    something in the world. `trusted`: its answer holds no text of others. `approval`: a person approves each use. `max_output`:
    characters of its answer that are kept, if fewer than the agent's policy says. `service` is what the books call it.
    """

    spec: ToolSpec
    run: Callable[[Mapping[str, Any], ToolUse], Any]
    pure: bool = False
    effects: bool = False
    trusted: bool = False
    approval: bool = False
    timeout: float = TIMEOUT
    max_output: int | None = None
    service: str = "tool"

    def __post_init__(self) -> None:
        check_schema(self.spec.parameters)

    @property
    def name(self) -> str:
        return self.spec.name

    def problems(self, arguments: Mapping[str, Any]) -> list[str]:
        """What is wrong with arguments, in words that a model can mend them by."""
        validator = Draft202012Validator(self.spec.parameters, registry=Registry())  # which fetches no reference
        return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(dict(arguments))]


def chosen(tools: Iterable[Tool], names: Iterable[str]) -> dict[str, Tool]:
    """The tools of these names. Raises InvalidInputError for a name that none has, or two have."""
    known: dict[str, Tool] = {}
    for tool in tools:
        if tool.name in known:
            raise InvalidInputError(f"Two tools are called {tool.name!r}.", code="tool_name_taken")
        known[tool.name] = tool
    wanted = list(dict.fromkeys(names))
    if missing := [name for name in wanted if name not in known]:
        raise InvalidInputError(
            f"There is no tool {', '.join(map(repr, missing))}; there are: {', '.join(sorted(known)) or 'none'}.",
            code="tool_unknown",
        )
    return {name: known[name] for name in wanted}
