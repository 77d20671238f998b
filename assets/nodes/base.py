"""What every node type shares: the decorator that makes a row of the table, and the few rules that hold for all.

A node is a plain function `f(config, context)`. What it returns becomes JSON here, once, and no larger than a run can carry.
Nothing below this folder knows Dagster: the compile step wraps the functions.
"""

import difflib
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, Final, TypeVar, get_type_hints

import orjson
from pydantic import BaseModel, BeforeValidator, ValidationError

from resources.errors import (
    ConflictError,
    InvalidInputError,
    LimitExceededError,
    PlatformError,
    Problem,
    UpstreamError,
)
from resources.workflows.expressions import has_markers
from resources.workflows.node_type import NodeConfig, NodeContext, NodeKind, NodeType, Routed
from resources.workflows.spec import NodeSpec

MAX_OUTPUT_BYTES: Final = 64 * 1024 * 1024
MAX_TEXT: Final = 1_000_000
_OCCASIONS: Final = uuid.UUID("6c1f4a1e-6f39-5d0f-9a0e-8d9b1d5f0c77")

AnyConfig = TypeVar("AnyConfig", bound=NodeConfig)
Check = Callable[[NodeSpec], Sequence[Problem]]


def as_text(value: Any) -> Any:
    """A value that expressions have turned into JSON, as the text that it was written as."""
    if isinstance(value, str):
        return value
    return orjson.dumps(value).decode()


Text = Annotated[str, BeforeValidator(as_text)]
"""A text field: `{{ 1 + 1 }}` gives the number 2 elsewhere, and "2" here."""


def node(
    name: str,
    *,
    output: type[BaseModel] | Mapping[str, Any] | None,
    summary: str,
    kind: NodeKind = "step",
    resources: Iterable[str] = (),
    lazy: Iterable[str] = (),
    effects: bool = False,
    pool: str | None = None,
    compute_kind: str | None = None,
    branches: Callable[[NodeSpec], Sequence[str]] | None = None,
    exclusive: Callable[[NodeSpec], bool] | None = None,
    check: Check | None = None,
    examples: Sequence[Mapping[str, Any]] = (),
) -> Callable[[Callable[[AnyConfig, NodeContext], Any]], NodeType]:
    """Make a node type of a function. Its config is the type of the function's first parameter."""

    def register(run: Callable[[AnyConfig, NodeContext], Any]) -> NodeType:
        config: type[NodeConfig] = next(iter(get_type_hints(run).values()))

        def checked_run(config: AnyConfig, context: NodeContext) -> Any:
            check_deadline(context)
            return as_json(run(config, context), output, name)

        return NodeType(
            name=name,
            summary=summary,
            config=config,
            run=checked_run,
            output=output,
            kind=kind,
            resources=frozenset(resources),
            lazy=frozenset(lazy),
            effects=effects,
            pool=pool,
            compute_kind=compute_kind,
            branches=branches,
            exclusive=exclusive,
            check=check,
            examples=tuple(examples),
        )

    return register


def as_json(value: Any, output: type[BaseModel] | Mapping[str, Any] | None, name: str) -> Any:
    """What a node gave, as plain JSON values.

    Raises UpstreamError (`node_output_invalid`) for what is not JSON or not as the type promises, and LimitExceededError
    (`node_output_too_large`).
    """
    if isinstance(value, Routed):
        return Routed(value.branches, as_json(value.output, output, name))
    try:
        if isinstance(output, type) and not isinstance(value, output):
            value = output.model_validate(value)
        encoded = orjson.dumps(value, default=_dump)
    except (ValidationError, TypeError) as error:
        raise UpstreamError(
            f"The node type {name!r} gave what it must not give: {error}", code="node_output_invalid", type=name
        ) from error
    if len(encoded) > MAX_OUTPUT_BYTES:
        raise LimitExceededError(
            f"The output has {len(encoded):,} bytes; {MAX_OUTPUT_BYTES:,} are carried. "
            "Store the value elsewhere and pass on where it is.",
            code="node_output_too_large",
            size_bytes=len(encoded),
            max_bytes=MAX_OUTPUT_BYTES,
        )
    return orjson.loads(encoded)


def _dump(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    raise TypeError(f"{type(value).__name__} is not JSON")


def occasion(context: NodeContext, *what: Any) -> uuid.UUID:
    """An id of what a node does to the world: the same for every try, another for each pass of a loop and item of a map."""
    key = [context.tenant, context.run_id, context.node_id, dict(context.task.scope), *what]
    return uuid.uuid5(_OCCASIONS, orjson.dumps(key, option=orjson.OPT_SORT_KEYS).decode())


# --- time and cancellation -----------------------------------------------------------------------------------------


def remaining(context: NodeContext) -> float | None:
    """Seconds until the deadline; None when there is none. Raises when it has passed or the run was cancelled."""
    check_deadline(context)
    return None if context.deadline is None else context.deadline - time.monotonic()


def check_deadline(context: NodeContext) -> None:
    """Raises ConflictError when the run was cancelled, LimitExceededError when the node's time is up."""
    if context.cancel.is_set():
        raise ConflictError(f"The node {context.node_id!r} was cancelled.", code="node_cancelled")
    if context.deadline is not None and time.monotonic() >= context.deadline:
        raise timed_out(context)


def timed_out(context: NodeContext) -> PlatformError:
    """The error of a node whose time is up. Another try may be faster."""
    return LimitExceededError(
        f"The node {context.node_id!r} did not end within its timeout.", code="node_timeout", retry_after=0.0
    )


def pause(context: NodeContext, seconds: float) -> None:
    """Wait, but not beyond the deadline, and not when the run is cancelled. Raises as `check_deadline` does."""
    left = remaining(context)
    context.cancel.wait(seconds if left is None else min(seconds, left))
    check_deadline(context)


# --- expressions and checks ----------------------------------------------------------------------------------------


def is_expression(value: Any) -> bool:
    """Whether a value of a config is known only when the node runs."""
    return isinstance(value, str) and has_markers(value)


def has_expressions(value: Any) -> bool:
    """Whether there is an expression anywhere in a JSON value."""
    if isinstance(value, Mapping):
        return any(has_expressions(item) for item in value.values())
    if isinstance(value, list | tuple):
        return any(has_expressions(item) for item in value)
    return is_expression(value)


def near(name: str, known: Iterable[str]) -> str:
    """A hint that names what was probably meant."""
    known = sorted(known)
    found = difflib.get_close_matches(name, known, n=3)
    if found:
        return f"did you mean {' or '.join(map(repr, found))}?"
    return f"there are: {', '.join(known)}" if known else "there are none"


def check_condition(value: Any, path: str) -> Sequence[Problem]:
    """A condition is an expression or a boolean; any other text would always be true."""
    if isinstance(value, bool) or is_expression(value):
        return ()
    return (Problem(path, f"{value!r} is not an expression", "write it as {{ nodes.check.output.score > 0.5 }}"),)


def refuse(message: str, *problems: Problem, code: str = "node_config_invalid") -> InvalidInputError:
    """The error for a config that turned out wrong when its expressions were filled in."""
    return InvalidInputError(message, problems=problems, code=code)
