"""Call a registered Python function."""

import asyncio
import inspect
from collections.abc import Awaitable, Sequence
from typing import Any

from pydantic import Field

from assets.nodes.base import has_expressions, is_expression, near, node, remaining, timed_out
from assets.nodes.functions import FUNCTIONS
from resources.errors import InvalidInputError, NotFoundError, PlatformError, Problem, UpstreamError
from resources.workflows.node_type import NodeConfig, NodeContext
from resources.workflows.spec import NodeSpec
from resources.workflows.waiting import unless_cancelled


class Config(NodeConfig):
    """Which function, and what it is given."""

    function: str = Field(
        min_length=1,
        max_length=200,
        description="Name under which the function is registered, such as json.merge_patch",
    )
    args: dict[str, Any] = Field(default_factory=dict, description="Its arguments by name, with expressions")


def _check(spec: NodeSpec) -> Sequence[Problem]:
    """The function is there, and its arguments are right as far as they can be seen."""
    name, args = spec.config.get("function"), spec.config.get("args", {})
    if not isinstance(name, str) or is_expression(name):
        return ()
    try:
        function = FUNCTIONS.get(name)
    except NotFoundError:
        return (Problem("config.function", f"unknown function {name!r}", near(name, FUNCTIONS.names())),)
    if not isinstance(args, dict):
        return ()
    if problems := function.unfitting(args):
        return problems
    if has_expressions(args):
        return ()
    try:
        function.arguments(args)
    except InvalidInputError as error:
        return error.problems
    return ()


@node(
    "python",
    output=None,
    summary="Call a registered Python function; the output is what it returns",
    effects=True,
    compute_kind="python",
    check=_check,
    examples=[
        {
            "id": "patched",
            "type": "python",
            "config": {
                "function": "json.merge_patch",
                "args": {"target": {"name": "tea", "price": 3}, "patch": {"price": 4}},
            },
        }
    ],
)
def python(config: Config, context: NodeContext) -> Any:
    """Raises NotFoundError, InvalidInputError for wrong arguments, and UpstreamError (`function_failed`) for what it raised."""
    function = FUNCTIONS.get(config.function)
    arguments = function.arguments(config.args)
    if function.context is not None:
        arguments[function.context] = context
    try:
        result = function.call(**arguments)
        return asyncio.run(_awaited(result, context)) if inspect.isawaitable(result) else result
    except PlatformError:
        raise
    except Exception as error:
        raise UpstreamError(
            f"The function {config.function!r} raised {type(error).__name__}: {str(error)[:1000]}",
            code="function_failed",
            function=config.function,
        ) from error


async def _awaited(result: Awaitable[Any], context: NodeContext) -> Any:
    limit = asyncio.timeout(remaining(context))
    try:
        async with limit:
            return await unless_cancelled(_own(result), context.cancel)
    except TimeoutError as error:
        if limit.expired():
            raise timed_out(context) from error
        raise


async def _own(result: Awaitable[Any]) -> Any:
    return await result
