"""Every field of the roots, read from the schema: asked by no one, by who has no scope for it, and by another tenant's admin.

A new field is asked like the others; one whose arguments are not known here fails.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLUnionType,
)

from api.auth.access import ANYONE
from api.auth.principal import local_principal
from api.graphql.context import GraphContext
from api.graphql.schema import unified
from resources.tenants.permissions import Role, allows, scopes_of
from tests.api.auth.conftest import guarded, guarded_app, guarded_settings, guarded_url
from tests.api.graphql.conftest import World, build_world

if TYPE_CHECKING:
    import httpx
    from graphql import ExecutionResult, GraphQLField

    from api.dependencies import Services
    from resources.database.postgres import Database

__all__ = ["guarded", "guarded_app", "guarded_settings", "guarded_url"]
DEPTH = 4
# What only the tenant of the world has, and nobody asks for by name.
TRACES = ("On tea", "upload:tea.md", "Makes tea", "Hello there", "gpt-4o")

SCHEMA = unified()._schema
FIELDS: dict[str, GraphQLField] = {
    f"{root.name}.{name}": field
    for root in (SCHEMA.query_type, SCHEMA.mutation_type, SCHEMA.subscription_type)
    if root is not None
    for name, field in root.fields.items()
}
ASKED = [place for place in FIELDS if not place.startswith("Subscription.")]


def value(type_: Any, name: str, place: str, world: World) -> Any:
    """Something good enough to get to where the tenant matters: what is the world's, where a name is asked for."""
    type_ = type_.of_type if isinstance(type_, GraphQLNonNull) else type_
    if isinstance(type_, GraphQLList):
        return [] if place == "Query._entities" else [value(type_.of_type, name, place, world)]
    if isinstance(type_, GraphQLInputObjectType):
        return {
            name: value(field.type, name, place, world)
            for name, field in type_.fields.items()
            if isinstance(field.type, GraphQLNonNull)
        }
    if isinstance(type_, GraphQLEnumType):
        return next(iter(type_.values))
    known = {"Int": 1, "Float": 1.0, "Boolean": True, "Decimal": "1", "DateTime": "2026-11-22T00:00:00Z", "JSON": {}}
    if type_.name in known:
        return known[type_.name]
    assert type_.name in {"ID", "String"}, f"{place}: no value is known for {name}: {type_}"
    names = {"document": world.document, "call": world.call, "run": world.run, "execution": world.run}
    names |= {"workflow": world.workflow, "concept": "tea", "asset": "content/analysis", "goal": "tea", "text": "tea"}
    found = [known for part, known in names.items() if part in f"{place}.{name}".lower()]
    return found[-1] if found else "greeting"


def selection(type_: Any, depth: int = DEPTH) -> str:
    """All that can be asked for without arguments."""
    while isinstance(type_, GraphQLNonNull | GraphQLList):
        type_ = type_.of_type
    if isinstance(type_, GraphQLScalarType | GraphQLEnumType):
        return ""
    if isinstance(type_, GraphQLUnionType) or not isinstance(type_, GraphQLObjectType):
        return " { __typename }"
    parts = ["__typename"]
    for name, field in type_.fields.items():
        inner = field.type.of_type if isinstance(field.type, GraphQLNonNull) else field.type
        leaf = isinstance(inner, GraphQLScalarType | GraphQLEnumType)
        if any(isinstance(argument.type, GraphQLNonNull) for argument in field.args.values()):
            continue
        if leaf or (
            depth > 1 and name in {"nodes", "edges", "node", "items", "concept", "document", "history", "steps"}
        ):
            parts.append(name + selection(inner, depth - 1))
    return f" {{ {' '.join(parts)} }}"


def operation(place: str, world: World) -> tuple[str, dict[str, Any]]:
    root, _, name = place.partition(".")
    wanted = {key: found.type for key, found in FIELDS[place].args.items() if isinstance(found.type, GraphQLNonNull)}
    declared = f"({', '.join(f'${key}: {type_}' for key, type_ in wanted.items())})" if wanted else ""
    given = f"({', '.join(f'{key}: ${key}' for key in wanted)})" if wanted else ""
    text = f"{root.lower()} Asked{declared} {{ {name}{given}{selection(FIELDS[place].type)} }}"
    return text, {key: value(type_, key, place, world) for key, type_ in wanted.items()}


async def ask(services: Services, principal: Any, place: str, world: World) -> ExecutionResult:
    text, variables = operation(place, world)
    context = GraphContext(services, principal)
    if place.startswith("Subscription."):
        stream = await unified().subscribe(text, variable_values=variables, context_value=context)
        async for result in stream:
            return result  # type: ignore[return-value]
    return await unified().execute(text, variable_values=variables, context_value=context)  # type: ignore[return-value]


@pytest.fixture(scope="module")
def world(services: Services, database: Database) -> World:
    import uuid

    return build_world(services, database, f"graph-{uuid.uuid4().hex[:12]}")


def test_no_field_of_a_root_is_without_a_scope() -> None:
    guards = unified().guards
    assert set(FIELDS) == {
        place for place in guards if place.partition(".")[0] in {"Query", "Mutation", "Subscription"}
    }


def test_nobody_asks_anything(guarded: httpx.Client) -> None:
    for place in ASKED:
        assert guarded.post("/graphql", json={"query": f"{{ {place.partition('.')[2]} }}"}).status_code == 401
    assert guarded.get("/graphql", params={"query": "{ viewer { id } }"}).status_code == 401


@pytest.mark.parametrize("place", list(FIELDS))
async def test_who_may_not_is_refused(services: Services, world: World, place: str) -> None:
    scope = unified().guards[place].scope
    if scope == ANYONE:
        return
    for role in Role:
        scopes = scopes_of(role, at_home=False)
        if allows(scopes, scope):
            scopes = frozenset(one for one in scopes if not allows(frozenset({one}), scope))
        result = await ask(services, replace(local_principal(world.tenant), role=role, scopes=scopes), place, world)
        assert result.errors, (place, role)
        assert {(error.extensions or {})["code"] for error in result.errors} == {"scope_missing"}, (place, role)
        assert not any(trace in str(result) for trace in TRACES)


@pytest.mark.parametrize("place", ASKED)
async def test_another_tenants_admin_sees_and_changes_nothing(services: Services, world: World, place: str) -> None:
    thief = replace(local_principal(f"{world.tenant}-thief"), role=Role.ADMIN)
    before = state_of(services, world.tenant)
    result = await ask(services, thief, place, world)
    assert not any(trace in str(result) for trace in TRACES), result
    assert state_of(services, world.tenant) == before


async def test_its_own_admin_sees_all_of_it(services: Services, world: World) -> None:
    """So the traces are what there is to be seen, and the questions lead there."""
    owner = replace(local_principal(world.tenant), role=Role.ADMIN)
    told = [str(await ask(services, owner, place, world)) for place in FIELDS if place.startswith("Query.")]
    assert {trace for trace in TRACES if not any(trace in one for one in told)} == set()


def state_of(services: Services, tenant: str) -> tuple[Any, ...]:
    return (
        services.events.head(tenant=tenant),
        list(services.documents.list(tenant=tenant)),
        services.graph.revision(tenant=tenant),
        services.ai.budgets.statuses(tenant=tenant),
    )
