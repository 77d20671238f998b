"""The graph, put together from its modules: whole in one schema (`unified`), or one module alone (`subgraph`).

Both are made from the same types. A subgraph keeps the fields of its module, of each entity the key, and whatever can be reached
from there. The unified graph is itself a valid subgraph of Apollo Federation 2.9.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

import strawberry
from graphql import GraphQLObjectType, GraphQLSchema, GraphQLUnionType, get_named_type
from strawberry.extensions import MaxTokensLimiter
from strawberry.federation import Schema
from strawberry.federation.schema import FederationAny  # the library reads it from the annotation
from strawberry.schema.config import StrawberryConfig
from strawberry.tools import merge_types

from api.graphql import errors
from api.graphql.access import Guarded, guard
from api.graphql.federation import resolve
from api.graphql.guards import TOKENS, GuardExtension
from api.graphql.subgraphs import MODULES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from graphql import GraphQLError
    from strawberry.types import ExecutionContext

    from api.graphql.module import Module

FEDERATION: Final = "2.9"
"""The newest version that both composers of supergraphs know."""

_SERVICE: Final = frozenset({"_service", "_entities"})


class GraphSchema(Schema):
    """A schema of some modules. `modules` are those whose entities it loads; `guards` say what fields ask for."""

    def __init__(self, modules: Sequence[Module], *, whole: Sequence[Module]) -> None:
        self.modules = tuple(modules)
        self.owned = {type_: load for module in modules for type_, load in module.entities.items()}
        self.entity_types = {
            type_.__strawberry_definition__.name: type_  # type: ignore[attr-defined]
            for module in whole
            for type_ in module.entities
        }
        super().__init__(
            query=merge_types("Query", tuple(module.query for module in modules)),
            mutation=_merged("Mutation", [module.mutation for module in modules]),
            subscription=_merged("Subscription", [module.subscription for module in modules]),
            types=list(self.entity_types.values()),
            extensions=[GuardExtension, lambda: MaxTokensLimiter(max_token_count=TOKENS)],
            config=StrawberryConfig(disable_field_suggestions=True),
            federation_version=FEDERATION,
        )
        if len(modules) < len(whole):
            self._schema = _part(self._schema, {module.query.__module__ for module in modules})
            self._schema._strawberry_schema = self  # type: ignore[attr-defined]  # noqa: SLF001  # as the library itself does
        self.hints = {place: seconds for module in whole for place, seconds in module.cache.items()}
        self.guards: dict[str, Guarded] = guard(self._schema, whole)

    def entities_resolver(  # the library's is synchronous, and one bad one fails all
        self, info: strawberry.Info, representations: list[FederationAny]
    ) -> list[FederationAny]:
        """Instances for keys that a gateway holds; what is wrong with one of them is told of that one alone."""
        return resolve(self, info.context, representations)

    def process_errors(
        self, errors_found: list[GraphQLError], execution_context: ExecutionContext | None = None
    ) -> None:
        """Tell each in our words."""
        del execution_context
        errors.told(errors_found)

    @property
    def core(self) -> GraphQLSchema:
        """As the library below knows it."""
        return self._schema


@cache
def unified() -> GraphSchema:
    """All modules in one."""
    return GraphSchema(MODULES, whole=MODULES)


@cache
def subgraph(name: str) -> GraphSchema:
    """One module alone. Raises KeyError for a name that no module has."""
    return GraphSchema([{module.name: module for module in MODULES}[name]], whole=MODULES)


def _merged(name: str, parts: list[type | None]) -> type | None:
    given = tuple(part for part in parts if part is not None)
    return merge_types(name, given) if given else None


def _part(schema: GraphQLSchema, homes: set[str]) -> GraphQLSchema:
    """The schema without the fields of other modules, and without the types that only they lead to."""
    for type_ in schema.type_map.values():
        if not isinstance(type_, GraphQLObjectType) or not _is_entity(type_):
            continue
        keys = _keys(type_)
        for name, field in tuple(type_.fields.items()):
            if name not in keys and _home(field) not in homes:
                del type_.fields[name]
    reached = _reached(schema)
    for type_ in schema.type_map.values():
        if isinstance(type_, GraphQLUnionType) and type_.name == "_Entity":
            kept = [one for one in type_.types if one.name in reached or set(one.fields) - _keys(one)]
            type_.types = tuple(kept)
            if not kept and schema.query_type is not None:
                schema.query_type.fields.pop("_entities", None)
    return GraphQLSchema(
        query=schema.query_type,
        mutation=schema.mutation_type,
        subscription=schema.subscription_type,
        directives=schema.directives,
        extensions=schema.extensions,
    )


def _reached(schema: GraphQLSchema) -> set[str]:
    """The types that the roots lead to, other than as entities."""
    found: set[str] = set()
    waiting: list[GraphQLObjectType] = []
    for root in (schema.query_type, schema.mutation_type, schema.subscription_type):
        if root is not None:
            waiting += _ends(root, without=_SERVICE)
    while waiting:
        type_ = waiting.pop()
        if type_.name not in found:
            found.add(type_.name)
            waiting += _ends(type_)
    return found


def _ends(type_: GraphQLObjectType, *, without: frozenset[str] = frozenset()) -> list[GraphQLObjectType]:
    ends = (get_named_type(field.type) for name, field in type_.fields.items() if name not in without)
    return [end for end in ends if isinstance(end, GraphQLObjectType)]


def _definition(thing: Any) -> Any:
    return thing.extensions.get("strawberry-definition")


def _is_entity(type_: GraphQLObjectType) -> bool:
    return bool(_keys(type_))


def _keys(type_: GraphQLObjectType) -> set[str]:
    from strawberry.federation.schema_directives import Key

    definition = _definition(type_)
    directives = () if definition is None else definition.directives or ()
    return {str(one.fields) for one in directives if isinstance(one, Key)}


def _home(field: Any) -> str:
    return str(_definition(field).origin.__module__)
