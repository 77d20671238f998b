"""The schema itself: what it promises, and that promises are kept from one release to the next."""

from __future__ import annotations

from pathlib import Path

import pytest
from graphql import (
    BreakingChangeType,
    GraphQLNonNull,
    GraphQLObjectType,
    build_schema,
    find_breaking_changes,
    parse,
    print_schema,
    validate,
)

from api.graphql.guards import Limits, measure
from api.graphql.schema import GraphSchema, subgraph, unified
from api.graphql.subgraphs import MODULES
from resources.errors import LimitExceededError

RELEASED = Path(__file__).parents[3] / "api" / "graphql" / "schema.graphql"
ROOTS = ("Query", "Mutation", "Subscription")


def test_nothing_that_was_promised_is_taken_away() -> None:
    breaking = find_breaking_changes(build_schema(RELEASED.read_text()), build_schema(print_schema(unified().core)))
    assert not breaking, "\n".join(change.description for change in breaking)


def test_a_field_that_is_taken_away_is_seen() -> None:
    former = build_schema("type Query { a: Int b: Int }")
    [change] = find_breaking_changes(former, build_schema("type Query { a: Int }"))
    assert change.type is BreakingChangeType.FIELD_REMOVED


def test_every_root_field_and_every_field_of_another_module_is_nullable() -> None:
    needed = []
    for place, found in unified().guards.items():
        type_name, _, field = place.partition(".")
        type_ = unified().core.type_map.get(type_name)
        if field and isinstance(type_, GraphQLObjectType) and found.service != "graph":
            needed += (
                [place] if isinstance(type_.fields[field].type, GraphQLNonNull) and type_name != "Subscription" else []
            )
    assert needed == []


def test_every_root_field_asks_for_a_scope() -> None:
    core = unified().core
    fields = {f"{root}.{name}" for root in ROOTS for name in core.type_map[root].fields}  # type: ignore[attr-defined]
    assert fields <= set(unified().guards)


def test_a_field_without_a_scope_stops_the_build() -> None:
    first = MODULES[0]
    bare = type(first)(name=first.name, query=first.query, access={}, entities=first.entities)
    with pytest.raises(ValueError, match=r"Query\.workflow"):
        GraphSchema([bare], whole=[bare])


@pytest.mark.parametrize("name", [module.name for module in MODULES])
def test_each_module_is_a_subgraph_with_its_own_fields_and_no_others(name: str) -> None:
    sdl = subgraph(name).as_str()
    assert "federation/v2.9" in sdl
    fields = subgraph(name).core.query_type.fields  # type: ignore[union-attr]
    own = {place for place, found in unified().guards.items() if place.startswith("Query.") and found.service == name}
    assert {f"Query.{field}" for field in fields if not field.startswith("_")} == own


def nested(depth: int) -> str:
    return '{ concept(id: "x") { ' + "prerequisites { " * depth + "name" + " }" * depth + " } }"


BROAD = Limits(complexity=10**30)


@pytest.mark.parametrize(
    ("query", "code", "limits"),
    [
        (nested(20), "graphql_depth", BROAD),
        (nested(6), "graphql_complexity", Limits()),
        ("{ " + " ".join(f"a{n}: __typename" for n in range(101)) + " }", "graphql_aliases", BROAD),
        ("{ viewer { " + "id " * 201 + "} }", "graphql_selections", BROAD),
        (
            "{ workflows(first: 100) { nodes { executions(first: 100) { nodes { id } } } } }",
            "graphql_complexity",
            Limits(),
        ),
    ],
)
def test_an_operation_that_asks_for_too_much_is_refused(query: str, code: str, limits: Limits) -> None:
    with pytest.raises(LimitExceededError) as refused:
        measure(parse(query), unified().core, None, {}, limits)
    assert refused.value.code == code


def test_fragments_that_hold_each_other_end_the_walk() -> None:
    query = "{ viewer { ...a } } fragment a on User { id ...b } fragment b on User { id ...a }"
    assert measure(parse(query), unified().core, None, {}, Limits()).depth == 2
    assert validate(unified().core, parse(query))
