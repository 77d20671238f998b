"""Answers that are given again: to the same principal, for the same operation, while nothing has happened in the tenant.

A module says of its fields for how long what they give may be kept (`Module.cache`); an operation is kept no longer than each of
its fields allows, and one field that nothing is said of keeps it out. Every event of the tenant ends all of its answers: one
is worth as much as the position that the tenant's events had before it was made, and is given only where they still stand there.
So what happens while an answer is made is never missed. The time bounds what no event tells of.

Only what is asked again is kept, so that an operation which is asked once costs nothing more.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import orjson
from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLObjectType,
    OperationDefinitionNode,
    OperationType,
    get_named_type,
    parse,
)

from api.graphql.guards import TOKENS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from graphql import GraphQLSchema, SelectionSetNode

    from api.graphql.schema import GraphSchema
    from resources.tenants.model import Principal

    Key = tuple[str, ...]

MOST: Final = 2_000
_LONGEST: Final = 20_000
_NEVER: Final = 0
_UNKNOWN: Final = "?"


@dataclass(frozen=True)
class Kept:
    """An answer, the position of the tenant's events before it was made, and when it is too old."""

    data: Any
    position: int
    until: float


class ResponseCache:
    """Of one process. For the event loop alone."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: OrderedDict[Key, Kept | None] = OrderedDict()

    def asked_before(self, key: Key) -> bool:
        """Whether it was asked, and remembered, before; from now on it was."""
        known = key in self._kept
        self._kept.setdefault(key, None)
        self._kept.move_to_end(key)
        while len(self._kept) > MOST:
            self._kept.popitem(last=False)
        return known

    def find(self, key: Key, position: int) -> Any | None:
        """The data of an answer that still holds at this position; None where there is none."""
        kept = self._kept.get(key)
        return None if kept is None or kept.position != position or kept.until <= self._clock() else kept.data

    def keep(self, key: Key, data: Any, *, position: int, seconds: int) -> None:
        """`position` is that of before the answer was made."""
        if key in self._kept:
            self._kept[key] = Kept(data, position, self._clock() + seconds)


def key_of(principal: Principal, query: str, name: str | None, variables: Mapping[str, Any] | None) -> Key | None:
    """What an answer is kept under: who asks, with which rights, and what. None for what is too long."""
    if len(query) > _LONGEST:
        return None
    try:
        values = orjson.dumps(variables or {}, option=orjson.OPT_SORT_KEYS).decode()
    except TypeError:  # a number that no JSON has
        return None
    if len(values) > _LONGEST:
        return None
    return principal.tenant, principal.subject, " ".join(sorted(principal.scopes)), query, name or "", values


@lru_cache(maxsize=1024)
def seconds_of(schema: GraphSchema, query: str, name: str | None) -> int:
    """For how long an answer may be kept; 0 = not at all."""
    try:
        document = parse(query, max_tokens=TOKENS)
    except GraphQLError:
        return _NEVER
    operations = [one for one in document.definitions if isinstance(one, OperationDefinitionNode)]
    chosen = [one for one in operations if name is None or (one.name is not None and one.name.value == name)]
    root = schema.core.query_type
    if len(chosen) != 1 or chosen[0].operation is not OperationType.QUERY or root is None:
        return _NEVER
    fragments = {one.name.value: one for one in document.definitions if isinstance(one, FragmentDefinitionNode)}
    places = _places(chosen[0].selection_set, root, schema.core, fragments)
    # What asks for no scope is a value that is there already.
    return min(
        (schema.hints.get(one, _NEVER) for one in places if one in schema.guards or one == _UNKNOWN), default=_NEVER
    )


def _places(
    chosen: SelectionSetNode,
    within: GraphQLObjectType,
    schema: GraphQLSchema,
    fragments: dict[str, FragmentDefinitionNode],
) -> Iterator[str]:
    """`Type.field` of all that is asked for. Each fragment is looked at once."""
    waiting: list[tuple[SelectionSetNode, Any]] = [(chosen, within)]
    seen: set[str] = set()
    while waiting:
        selections, type_ = waiting.pop()
        if not isinstance(type_, GraphQLObjectType):
            yield _UNKNOWN
            continue
        for node in selections.selections:
            if isinstance(node, FieldNode):
                yield from _of_field(node, type_, waiting)
            elif isinstance(node, FragmentSpreadNode):
                fragment = fragments.get(node.name.value)
                if fragment is not None and node.name.value not in seen:
                    seen.add(node.name.value)
                    waiting.append((fragment.selection_set, schema.get_type(fragment.type_condition.name.value)))
            else:
                condition = node.type_condition  # type: ignore[attr-defined]  # what is left is an inline fragment
                inside = type_ if condition is None else schema.get_type(condition.name.value)
                waiting.append((node.selection_set, inside))  # type: ignore[attr-defined]


def _of_field(node: FieldNode, type_: GraphQLObjectType, waiting: list[tuple[SelectionSetNode, Any]]) -> Iterator[str]:
    name = node.name.value
    if name == "__typename":
        return
    field = type_.fields.get(name)
    if field is None:
        yield _UNKNOWN
        return
    yield f"{type_.name}.{name}"
    if node.selection_set is not None:
        waiting.append((node.selection_set, get_named_type(field.type)))
