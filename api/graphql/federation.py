"""Entities by reference (Apollo Federation, subgraph specification): what a gateway asks when it holds only a key.

Representations of one type are loaded in one batch. One that is wrong, unknown or not permitted is an error in its own place, and
never takes the others with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from api.graphql import errors
from api.graphql.module import key_of, stub
from resources.errors import InvalidInputError, LimitExceededError, PlatformError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from graphql import GraphQLError

    from api.graphql.context import GraphContext
    from api.graphql.schema import GraphSchema

MAX_REPRESENTATIONS: Final = 1000
_LONGEST_KEY: Final = 500


def resolve(schema: GraphSchema, context: GraphContext, representations: Sequence[Any]) -> list[Any]:
    """An instance, something to wait for, or an error, for each representation in order."""
    if len(representations) > MAX_REPRESENTATIONS:
        raise LimitExceededError(
            f"{len(representations)} representations at once; {MAX_REPRESENTATIONS} are allowed.",
            code="too_many_representations",
        )
    return [_one(schema, context, representation) for representation in representations]


def _one(schema: GraphSchema, context: GraphContext, representation: Any) -> Any:
    name = representation.get("__typename") if isinstance(representation, dict) else None
    type_ = schema.entity_types.get(name) if isinstance(name, str) else None
    if type_ is None or name not in schema.core.type_map:
        unknown = InvalidInputError(f"{str(name)[:100]!r} is no entity of this graph.", code="entity_unknown")
        return errors.of(unknown, service="graph")
    asked = schema.guards[name]
    key = representation.get(key_of(type_))
    if isinstance(key, bool) or not isinstance(key, str | int) or not 0 < len(str(key)) <= _LONGEST_KEY:
        wrong = InvalidInputError(f"A {name} is named by its {key_of(type_)!r}.", code="entity_key")
        return errors.of(wrong, service=asked.service)
    try:
        context.check(asked.scope)
    except PlatformError as error:
        return errors.of(error, service=asked.service)
    if type_ not in schema.owned:
        return stub(type_, str(key))
    return _loaded(context.load(schema.owned[type_], str(key)), asked.service)


async def _loaded(found: Awaitable[Any], service: str) -> Any | GraphQLError:
    try:
        return await found
    except Exception as error:  # noqa: BLE001
        return errors.of(error, service=service)
