"""A tool: a typed function, told to models as JSON Schema and called with what they send.

    @tools.tool("read:knowledge", title="Search", read_only=True)
    def search(call: Call, query: Annotated[str, Field(description="What to look for")], limit: int = 10) -> SearchOut:
        return knowledge.search(call.services, call.tenant, query, limit)

The signature is the input schema, the return type the output schema, the docstring what a model reads. A plain function runs in a
thread; a coroutine function may tell its progress through `call`.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_type_hints

import orjson
from anyio import to_thread
from mcp.types import CallToolResult, InputRequiredResult, TextContent, Tool, ToolAnnotations
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, create_model

from api import problems
from resources.errors import InvalidInputError, PlatformError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from typing import TypeVar

    from api.mcp.call import Call

    Function = TypeVar("Function", bound=Callable[..., Any])

WRAPPED = "result"
"""The member that holds a result which is no object by itself."""
_RAW = (CallToolResult, CallToolResult | InputRequiredResult)
"""What a function returns that makes its result itself."""

_WRAPPERS = frozenset({"context_data", "metadata"})


@dataclass(frozen=True, slots=True)
class BoundTool:
    """A tool that can be listed and called. `scope` is what its caller has to be permitted."""

    scope: str
    declaration: Tool
    invoke: Callable[[Call, Mapping[str, Any]], Awaitable[CallToolResult | InputRequiredResult]]

    @property
    def name(self) -> str:
        return self.declaration.name


class Tools:
    """The tools of one family, in the order of their definition."""

    def __init__(self, *, in_context: bool = False) -> None:
        """`in_context`: arguments may also come within `context_data`, as older callers send them."""
        self._in_context = in_context
        self.bound: dict[str, BoundTool] = {}

    def tool(
        self,
        scope: str,
        *,
        title: str,
        read_only: bool = False,
        destructive: bool = False,
        idempotent: bool = False,
        open_world: bool = False,
    ) -> Callable[[Function], Function]:
        """Make a tool of the function. Its hints tell clients what a call changes; `scope` is what is enforced."""
        annotations = ToolAnnotations(
            title=title,
            read_only_hint=read_only,
            destructive_hint=destructive,
            idempotent_hint=idempotent or read_only,
            open_world_hint=open_world,
        )

        def register(function: Function) -> Function:
            tool = bind(function, scope=scope, annotations=annotations, in_context=self._in_context)
            self.bound[tool.name] = tool
            return function

        return register


def bind(
    function: Callable[..., Any], *, scope: str, annotations: ToolAnnotations, in_context: bool = False
) -> BoundTool:
    """The tool that a function is. Raises TypeError for one whose signature cannot be told."""
    hints = get_type_hints(function, include_extras=True)
    kind = hints.pop("return")
    returned: TypeAdapter[Any] = TypeAdapter(kind if kind not in _RAW else str)
    arguments = _arguments(function, hints)
    names = tuple(arguments.model_fields)
    output, wrapped = _output_schema(returned)
    is_async = inspect.iscoroutinefunction(function)
    text_only = output is None

    async def invoke(call: Call, given: Mapping[str, Any]) -> CallToolResult | InputRequiredResult:
        if in_context and given.keys() <= _WRAPPERS and isinstance(given.get("context_data"), dict):
            given = given["context_data"]
        try:
            found = arguments.model_validate(given)
        except ValidationError as error:
            raise problems.validation_error(error.errors()) from error
        values = {name: getattr(found, name) for name in names}
        result = (
            await function(call, **values) if is_async else await to_thread.run_sync(lambda: function(call, **values))
        )
        if isinstance(result, CallToolResult | InputRequiredResult):
            return result
        if text_only:
            return CallToolResult(content=[TextContent(type="text", text=str(result))])
        told = returned.dump_python(result, mode="json", by_alias=True)
        return structured({WRAPPED: told} if wrapped else told)

    declaration = Tool(
        name=function.__name__,
        title=annotations.title,
        description=inspect.getdoc(function),
        input_schema=_plain(arguments.model_json_schema()),
        output_schema=output,
        annotations=annotations,
    )
    return BoundTool(scope, declaration, invoke)


def structured(content: Mapping[str, Any]) -> CallToolResult:
    """A result that programs read as an object, and models as the same in JSON."""
    text = orjson.dumps(content).decode()
    return CallToolResult(content=[TextContent(type="text", text=text)], structured_content=dict(content))


def failed(error: PlatformError) -> CallToolResult:
    """What a model is told of an error: the category's code, what to do, and everything that is wrong with the arguments."""
    listed = [str(one) for one in error.problems] if isinstance(error, InvalidInputError) else []
    lines = [f"{error.code}: {error.message}", *(one for one in listed if one not in error.message)]
    return CallToolResult(content=[TextContent(type="text", text="\n".join(lines))], is_error=True)


def _arguments(function: Callable[..., Any], hints: dict[str, Any]) -> type[BaseModel]:
    parameters = list(inspect.signature(function).parameters.values())[1:]
    fields: dict[str, Any] = {
        one.name: (hints[one.name], ... if one.default is inspect.Parameter.empty else one.default)
        for one in parameters
    }
    made: type[BaseModel] = create_model(function.__name__, __config__=ConfigDict(extra="forbid"), **fields)
    return made


def _output_schema(returned: TypeAdapter[Any]) -> tuple[dict[str, Any] | None, bool]:
    """The schema of results, and whether they have to be wrapped into an object. None = a result is text."""
    schema = _plain(returned.json_schema(mode="serialization"))
    if schema == {"type": "string"}:
        return None, False
    if schema.get("type") == "object":
        return schema, False
    definitions = schema.pop("$defs", None)
    whole: dict[str, Any] = {"type": "object", "properties": {WRAPPED: schema}, "required": [WRAPPED]}
    if definitions:
        whole["$defs"] = definitions
    return whole, True


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    """Without the titles that pydantic makes of names: they tell a model nothing, and cost it tokens."""
    return {key: _untitled(value) for key, value in schema.items() if key not in {"title", "description"}}


def _untitled(value: Any) -> Any:
    if isinstance(value, list):
        return [_untitled(one) for one in value]
    if not isinstance(value, dict):
        return value
    kept = {}
    for key, one in value.items():
        if key == "title" and isinstance(one, str):
            continue
        kept[key] = {name: _untitled(field) for name, field in one.items()} if key == "properties" else _untitled(one)
    return kept
