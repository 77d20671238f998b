"""Who may see which field: the scopes that modules state, put before the resolvers.

A field that is refused is null with an error; the rest of the answer stands. A field that calls a service and asks for no scope
is a mistake of ours, and the schema is not built.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, Final

from graphql import GraphQLObjectType

from api.auth import access
from api.graphql import errors
from api.graphql.allowances import Followed
from resources.errors import LimitExceededError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from graphql import GraphQLField, GraphQLSchema

    from api.graphql.module import Module

INTROSPECTION: Final = "operate:graphql"
"""To see the schema itself, and to fetch its text."""

_ROOTS: Final = frozenset({"Query", "Mutation", "Subscription"})
_OWN: Final = {"Query._service": (INTROSPECTION, "graph"), "Query._entities": (access.ANYONE, "graph")}


@dataclass(frozen=True)
class Guarded:
    """A field, the scope that it asks for, and the module that answers for it."""

    scope: str
    service: str


def guard(schema: GraphQLSchema, modules: Sequence[Module]) -> dict[str, Guarded]:
    """Put the checks before the resolvers of the schema. Raises ValueError for fields without a scope."""
    stated = {name: Guarded(scope, module.name) for module in modules for name, scope in module.access.items()}
    stated |= {name: Guarded(*found) for name, found in _OWN.items()}
    guarded: dict[str, Guarded] = {}
    forgotten = []
    for type_ in schema.type_map.values():
        if not isinstance(type_, GraphQLObjectType) or type_.name.startswith("__"):
            continue
        for name, field in type_.fields.items():
            place = f"{type_.name}.{name}"
            if place in stated:
                guarded[place] = stated[place]
                _put_before(field, stated[place])
            elif type_.name in _ROOTS or _calls(field):
                forgotten.append(place)
    if forgotten:
        raise ValueError(f"No scope is stated for {', '.join(sorted(forgotten))}: add it to `access` of the module.")
    guarded |= {name: found for name, found in stated.items() if "." not in name}
    return guarded


def _calls(field: GraphQLField) -> bool:
    definition = field.extensions.get("strawberry-definition")
    resolver = getattr(definition, "base_resolver", None)
    return resolver is not None and inspect.iscoroutinefunction(resolver.wrapped_func)


def _put_before(field: GraphQLField, asked: Guarded) -> None:
    if field.subscribe is not None:
        field.subscribe = _followed(_checked(field.subscribe, asked), asked)
    elif field.resolve is not None:
        field.resolve = _checked(field.resolve, asked)


def _checked(resolve: Any, asked: Guarded) -> Any:
    @wraps(resolve)
    def checked(source: Any, info: Any, /, **arguments: Any) -> Any:
        try:
            info.context.check(asked.scope)
            found = resolve(source, info, **arguments)
        except Exception as error:  # all are told, one way or another
            raise errors.of(error, service=asked.service) from error
        return _awaited(found, asked.service) if inspect.isawaitable(found) else found

    return checked


def _followed(subscribe: Any, asked: Guarded) -> Any:
    @wraps(subscribe)
    async def followed(source: Any, info: Any, /, **arguments: Any) -> Any:
        found = subscribe(source, info, **arguments)
        if inspect.isawaitable(found):
            found = await found
        context = info.context
        if context.allowances is None:
            return found
        try:
            end = context.allowances.follow(context.principal)
        except LimitExceededError as error:
            raise errors.of(error, service=asked.service) from error
        return Followed(found, end, seconds=context.limits.subscription_seconds)

    return followed


async def _awaited(found: Any, service: str) -> Any:
    try:
        return await found
    except Exception as error:
        raise errors.of(error, service=service) from error
