"""Who may ask what of the graph, how it is asked over HTTP, and how much."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from api.auth.access import ANYONE
from api.auth.principal import local_principal
from api.graphql.context import GraphContext
from api.graphql.schema import unified
from resources.tenants.permissions import Role, allows, scopes_of

if TYPE_CHECKING:
    import httpx

    from api.dependencies import Services
    from resources.tenants.model import Principal

RESPONSE = "application/graphql-response+json"


def somebody(tenant: str, role: Role) -> Principal:
    return replace(local_principal(tenant), role=role, scopes=scopes_of(role, at_home=False))


@pytest.mark.parametrize("role", list(Role))
def test_each_role_passes_the_fields_that_its_scopes_allow_and_no_others(
    services: Services, tenant: str, role: Role
) -> None:
    from resources.errors import NotPermittedError

    principal = somebody(tenant, role)
    context = GraphContext(services, principal)
    passed = set()
    for place, asked in unified().guards.items():
        try:
            context.check(asked.scope)
            passed.add(place)
        except NotPermittedError:
            continue
    assert passed == {
        place
        for place, asked in unified().guards.items()
        if asked.scope == ANYONE or allows(principal.scopes, asked.scope)
    }
    assert "Query.workflows" in passed
    assert ("Mutation.setBudget" in passed) is (role is Role.ADMIN)


async def test_a_field_that_is_not_permitted_is_null_and_the_rest_stands(services: Services, tenant: str) -> None:
    principal = replace(local_principal(tenant), scopes=frozenset({"read:workflows"}))
    context = GraphContext(services, principal)
    result = await unified().execute("{ workflows { totalCount } documents { totalCount } }", context_value=context)
    assert result.data is not None
    assert result.data["workflows"] is not None
    assert result.data["documents"] is None
    assert result.errors is not None
    assert result.errors[0].extensions == {
        "code": "scope_missing",
        "service": "content",
        "scope": "read:documents",
        "retryable": False,
    } | {name: value for name, value in (result.errors[0].extensions or {}).items() if name == "correlationId"}


async def test_only_who_operates_the_platform_sees_the_schema(services: Services, tenant: str) -> None:
    for role, allowed in ((Role.VIEWER, False), (Role.OPERATOR, True)):
        context = GraphContext(services, somebody(tenant, role))
        result = await unified().execute("{ __schema { queryType { name } } }", context_value=context)
        assert (result.errors is None) is allowed


def test_whoever_accepts_the_new_media_type_gets_a_status(http: httpx.Client) -> None:
    def post(query: str, accept: str) -> httpx.Response:
        return http.post("/graphql", json={"query": query}, headers={"Accept": accept})

    good, bad = post("{ viewer { id } }", RESPONSE), post("{ nonsense }", RESPONSE)
    assert (good.status_code, good.headers["content-type"].partition(";")[0]) == (200, RESPONSE)
    assert bad.status_code == 400
    assert "data" not in bad.json()
    assert bad.json()["errors"][0]["extensions"]["code"] == "graphql_invalid"
    assert post("{ nonsense }", "application/json").status_code == 200
    assert http.post("/graphql", content=b"{", headers={"Content-Type": "application/json"}).status_code == 400
    assert post("{ viewer ", RESPONSE).json()["errors"][0]["extensions"]["code"] == "graphql_syntax"


def test_an_operation_is_sent_again_by_its_hash(http: httpx.Client) -> None:
    query = "query Who { viewer { id } }"
    said = {"persistedQuery": {"version": 1, "sha256Hash": hashlib.sha256(query.encode()).hexdigest()}}

    def send(**body: Any) -> dict[str, Any]:
        answer: dict[str, Any] = http.post("/graphql", json={"extensions": said, **body}).json()
        return answer

    assert send()["errors"][0]["message"] == "PersistedQueryNotFound"
    assert send(query=query)["data"] == {"viewer": {"id": "local"}}
    assert send()["data"] == {"viewer": {"id": "local"}}
    assert send(query="{ viewer { id } }")["errors"][0]["extensions"]["code"] == "persisted_query_hash"


def test_graphiql_fetches_nothing_from_elsewhere(http: httpx.Client) -> None:
    page = http.get("/graphql", headers={"Accept": "text/html"})
    assert page.status_code == 200
    assert "//unpkg" not in page.text
    assert "//cdn" not in page.text
    assert http.get("/graphql/assets/graphiql.min.js").status_code == 200
    sdl = http.get("/_service/schema")
    assert (sdl.status_code, "type Workflow" in sdl.text) == (200, True)


def test_too_much_is_refused_before_it_is_executed(http: httpx.Client) -> None:
    query = "{ workflows(first: 100) { nodes { executions(first: 100) { nodes { id } } } } }"
    answer = http.post("/graphql", json={"query": query}).json()
    assert "data" not in answer
    assert answer["errors"][0]["extensions"]["code"] == "graphql_complexity"
