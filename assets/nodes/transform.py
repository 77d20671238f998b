"""Shape JSON: a value of expressions, and steps over lists (pick, rename, each, filter, sort, group, flatten, merge)."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

import orjson
from pydantic import Field

from assets.nodes.base import check_condition, check_deadline, node
from resources.errors import InvalidInputError, Problem
from resources.workflows.node_type import NodeConfig, NodeContext
from resources.workflows.spec import NodeSpec

MAX_DEPTH = 100


class Pick(NodeConfig):
    """Keep some fields of an object, or of each object in a list."""

    op: Literal["pick"]
    fields: tuple[str, ...] = Field(
        min_length=1, max_length=200, description="Names of the fields; missing ones are left out"
    )


class Rename(NodeConfig):
    """Give fields of an object, or of each object in a list, other names."""

    op: Literal["rename"]
    fields: dict[str, str] = Field(min_length=1, max_length=200, description="Old name → new name")


class Each(NodeConfig):
    """Make something else of each item."""

    op: Literal["each"]
    to: Any = Field(description="A value with expressions over `item` and `index`")


class Filter(NodeConfig):
    """Keep the items for which a condition holds."""

    op: Literal["filter"]
    where: bool | str = Field(description="Expression over `item` and `index`")


class Sort(NodeConfig):
    """Order the items as JSON values: null, false, true, numbers, texts, lists, objects. Equal ones stay in order."""

    op: Literal["sort"]
    by: str | None = Field(
        default=None, description="Path within the item, such as price.amount; unset: the item itself"
    )
    descending: bool = Field(default=False, description="Greatest first")


class Group(NodeConfig):
    """Put items with an equal value together, as {key, items}, in the order in which the keys first appear."""

    op: Literal["group"]
    by: str = Field(description="Path within the item")


class Flatten(NodeConfig):
    """Put the items of inner lists in the place of these lists."""

    op: Literal["flatten"]
    depth: int = Field(default=1, ge=1, le=MAX_DEPTH, description="How many levels of lists")


class Merge(NodeConfig):
    """Make one object of a list of objects: of two values for one field the later counts."""

    op: Literal["merge"]
    deep: bool = Field(default=False, description="Merge objects within the objects too")


Step = Annotated[Pick | Rename | Each | Filter | Sort | Group | Flatten | Merge, Field(discriminator="op")]


class Config(NodeConfig):
    """The value, and what is done to it."""

    value: Any = Field(description="Any JSON value with expressions")
    steps: tuple[Step, ...] = Field(default=(), max_length=50, description="What is done to it, in order")


def _check(spec: NodeSpec) -> list[Problem]:
    steps = spec.config.get("steps")
    return [
        problem
        for number, step in enumerate(steps if isinstance(steps, list | tuple) else ())
        if isinstance(step, dict) and "where" in step
        for problem in check_condition(step["where"], f"config.steps[{number}].where")
    ]


@node(
    "transform",
    output=None,
    summary="Shape JSON: the output is the value, after all steps",
    lazy={"steps"},
    compute_kind="json",
    check=_check,
    examples=[
        {
            "id": "cheapest",
            "type": "transform",
            "config": {
                "value": [
                    {"name": "tea", "price": 3, "stock": 4},
                    {"name": "jam", "price": 5, "stock": 0},
                    {"name": "oil", "price": 2, "stock": 7},
                ],
                "steps": [
                    {"op": "filter", "where": "{{ item.stock > 0 }}"},
                    {"op": "sort", "by": "price"},
                    {"op": "pick", "fields": ["name", "price"]},
                ],
            },
        }
    ],
)
def transform(config: Config, context: NodeContext) -> Any:
    """Raises InvalidInputError (`transform_shape`) when a step gets something else than it is for."""
    value = config.value
    for number, step in enumerate(config.steps):
        try:
            value = _applied(step, value, context)
        except _ShapeError as error:
            problem = Problem(f"config.steps[{number}]", f"{step.op} {error}")
            raise InvalidInputError(
                f"The transform {context.node_id!r} cannot go on: {problem}.",
                code="transform_shape",
                problems=(problem,),
            ) from error
    return value


class _ShapeError(Exception):
    """A value is not of the shape that a step is for."""


def _applied(step: Step, value: Any, context: NodeContext) -> Any:
    match step:
        case Pick():
            return _on_objects(value, lambda fields: {name: fields[name] for name in step.fields if name in fields})
        case Rename():
            return _on_objects(value, lambda fields: _renamed(fields, step.fields))
        case Each():
            return [_rendered(step.to, item, index, context) for index, item in enumerate(_list(value))]
        case Filter():
            return [item for index, item in enumerate(_list(value)) if _rendered(step.where, item, index, context)]
        case Sort():
            return sorted(_list(value), key=lambda item: json_order(at(item, step.by)), reverse=step.descending)
        case Group():
            return _grouped(_list(value), step.by)
        case Flatten():
            return _flattened(_list(value), step.depth)
        case Merge():
            return _merged(value, deep=step.deep)


def _rendered(value: Any, item: Any, index: int, context: NodeContext) -> Any:
    check_deadline(context)
    return context.render(value, item=item, index=index)


def at(value: Any, path: str | None) -> Any:
    """What stands at `a.b.0` within a value; None where there is no such thing."""
    for part in path.split(".") if path else ():
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def json_order(value: Any) -> tuple[Any, ...]:
    """A key that orders all JSON values: null, false, true, numbers, texts, lists, objects (as jq does)."""
    if value is None:
        return (0,)
    if isinstance(value, bool):
        return (1, value)
    if isinstance(value, int | float):
        return (2, value)
    if isinstance(value, str):
        return (3, value)
    if isinstance(value, list):
        return (4, tuple(json_order(item) for item in value))
    return (5, tuple((name, json_order(value[name])) for name in sorted(value)))


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise _ShapeError(f"is for a list, not for {_name_of(value)}")
    return value


def _on_objects(value: Any, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
    if isinstance(value, dict):
        return change(value)
    return [change(_object(item, index)) for index, item in enumerate(_list(value))]


def _object(item: Any, index: int) -> dict[str, Any]:
    if not isinstance(item, dict):
        raise _ShapeError(f"is for objects, and item {index} is {_name_of(item)}")
    return item


def _renamed(fields: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    kept = {names.get(name, name) for name in fields}
    if len(kept) < len(fields):
        raise _ShapeError("would give two fields one name")
    return {names.get(name, name): value for name, value in fields.items()}


def _grouped(items: list[Any], by: str) -> list[dict[str, Any]]:
    groups: dict[bytes, dict[str, Any]] = {}
    for item in items:
        key = at(item, by)
        found = groups.setdefault(orjson.dumps(key, option=orjson.OPT_SORT_KEYS), {"key": key, "items": []})
        found["items"].append(item)
    return list(groups.values())


def _flattened(items: list[Any], depth: int) -> list[Any]:
    for _ in range(depth):
        if not any(isinstance(item, list) for item in items):
            break
        items = [inner for item in items for inner in (item if isinstance(item, list) else [item])]
    return items


def _merged(value: Any, *, deep: bool) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for index, item in enumerate(_list(value)):
        fields = _object(item, index)
        result = _deep_merged(result, fields) if deep else {**result, **fields}
    return result


def _deep_merged(left: dict[str, Any], right: dict[str, Any]) -> dict[str, Any]:
    both = {
        name: _deep_merged(left[name], value)
        for name, value in right.items()
        if isinstance(value, dict) and isinstance(left.get(name), dict)
    }
    return {**left, **right, **both}


def _name_of(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
