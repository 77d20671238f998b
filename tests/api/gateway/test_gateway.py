"""One graph, two assemblies: the same answers, and what happens when a part of the second one dies."""

from __future__ import annotations

import os
import signal
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from api.gateway.registry import Subgraph
from api.gateway.subgraph import sdl_of
from api.graphql.export import typescript
from api.graphql.schema import unified
from tests.api.gateway.conftest import GHOST, MORTAL, NAMES

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.api.gateway.conftest import Graphs, Scripts

pytestmark = [pytest.mark.timeout(900), pytest.mark.xdist_group("gateway")]

WAIT = 120.0
PERIOD = {"since": "2020-01-01T00:00:00+00:00", "until": "2020-02-01T00:00:00+00:00"}
ACROSS = """{
  workflows(first: 2) { nodes { id name
    processedContent { id } collaborators { id }
    knowledgeGraph(first: 3) { nodes { id name } relationships { source target type } } } }
}"""
QUERIES: list[tuple[str, dict[str, Any]]] = [
    ("{ workflows(first: 3) { totalCount nodes { id name status tags nodeCount } pageInfo { hasNextPage } } }", {}),
    ('{ workflow(id: "nowhere") { id } }', {}),
    (ACROSS, {}),
    ("{ documents(first: 5) { totalCount nodes { id title status concepts(first: 5) { id name } } } }", {}),
    ("{ concepts(first: 5) { nodes { id name kind evidence { partition weight } } } }", {}),
    ('{ concept(id: "tea") { id name evidence { partition } } }', {}),
    ('{ learningPath(target: "tea") { minutes complete steps { order concept { id name } } } }', {}),
    ('{ search(query: "tea water", first: 2) { total hits { text document { id title } } } }', {}),
    (
        "query Spent($since: DateTime, $until: DateTime) { usageSummary(since: $since, until: $until) { since } }",
        PERIOD,
    ),
    ("{ prompts { id name version } budgets { __typename } }", {}),
    ("{ viewer { id } conversations { __typename } }", {}),
    ("query One($id: ID!) { document(id: $id) { id } workflow(id: $id) { id } }", {"id": "none"}),
    ("{ __typename }", {}),
    ("{ workflows { nonsense } }", {}),
]


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("number", range(len(QUERIES)))
def test_both_assemblies_answer_the_same(graphs: Graphs, number: int) -> None:
    query, variables = QUERIES[number]
    one, other = graphs.in_one(query, variables), graphs.through_gateway(query, variables)
    assert other.data == one.data
    assert bool(other.codes) == bool(one.codes)
    # Each writes in its own words that a query is not valid; what a field says of itself comes through as it is.
    assert {code for code, service in other.codes if service} <= {code for code, _ in one.codes}


def test_the_answers_are_not_empty(graphs: Graphs) -> None:
    data = graphs.through_gateway(ACROSS).data
    assert [node["name"] for node in data["workflows"]["nodes"]]
    named = graphs.through_gateway('{ concept(id: "tea") { name } }').data
    assert named == {"concept": {"name": "Tea"}}


def test_a_subgraph_that_is_killed_takes_exactly_its_fields(graphs: Graphs) -> None:
    query = """{ workflows(first: 1) { nodes { id name knowledgeGraph { nodes { id } } } }
        concept(id: "tea") { id } viewer { id } }"""
    before = graphs.through_gateway(query)
    service = graphs.federation.services[f"subgraph-{MORTAL}"]
    pid = service.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    until(lambda: service.pid is None)
    try:
        found = graphs.through_gateway(query)
    finally:
        service.start()
    (node,), (former,) = found.data["workflows"]["nodes"], before.data["workflows"]["nodes"]
    assert node == {**former, "knowledgeGraph": None}
    assert found.data["viewer"] == before.data["viewer"]
    assert found.data["concept"] is None
    assert found.codes == {("subgraph_unavailable", "knowledge")}
    paths = {tuple(it for it in error["path"] if isinstance(it, str)) for error in found.body["errors"]}
    assert paths == {("concept",), ("workflows", "nodes", "knowledgeGraph")}
    until(lambda: graphs.through_gateway(query).data == before.data)


def test_a_subgraph_that_was_dead_at_the_start_takes_exactly_its_fields(graphs: Graphs) -> None:
    found = graphs.through_gateway("{ archived workflows(first: 1) { nodes { id archive } } }")
    assert found.data["archived"] is None
    assert [node["archive"] for node in found.data["workflows"]["nodes"]] == [None]
    assert found.codes == {("subgraph_unavailable", GHOST)}


@pytest.mark.parametrize("token", [None, "nonsense", "forged"])
def test_nobody_asks_anything_without_a_good_token(graphs: Graphs, token: str | None) -> None:
    shown = f"{graphs.token[:-8]}AAAAAAAA" if token == "forged" else token
    found = graphs.ask(graphs.federation.url, '{ concept(id: "tea") { id } }', token=shown)
    assert found.status == 401
    assert not found.data


def test_a_subgraph_verifies_the_token_itself(graphs: Graphs) -> None:
    (content,) = [it for it in graphs.federation.subgraphs.all(now=datetime.now(UTC)) if it.name == "content"]
    assert graphs.ask(content.url, "{ documents { totalCount } }", token=None).status == 401
    assert graphs.ask(content.url, "{ documents { totalCount } }", token=graphs.token).data["documents"] is not None


def test_a_viewer_changes_nothing_and_does_not_see_the_schema(graphs: Graphs) -> None:
    mutation = 'mutation { sendMessage(topic: "topic:x", content: {text: "hello"}) { id } }'
    one = graphs.ask(graphs.unified, mutation, token=graphs.viewer)
    other = graphs.ask(graphs.federation.url, mutation, token=graphs.viewer)
    assert {code for code, _ in other.codes} == {code for code, _ in one.codes} == {"scope_missing"}
    schema = graphs.ask(graphs.federation.url, "{ __schema { queryType { name } } }", token=graphs.viewer)
    assert not schema.data
    assert schema.codes == {("scope_missing", "graph")}


def test_a_query_that_is_too_deep_is_refused_at_the_door(graphs: Graphs) -> None:
    deep = "{ concept(id: 1) " + "{ evidence { run { assets { concepts " * 5 + "{ id }" + " } } }" * 5 + "}"
    assert graphs.through_gateway(deep).codes != set()
    assert not graphs.through_gateway(deep).data


def test_the_gateway_tells_its_own_health(graphs: Graphs) -> None:
    base = graphs.federation.url.removesuffix("/graphql")
    for path in ("healthcheck", "readiness"):
        assert httpx.get(f"{base}/{path}", trust_env=False, timeout=30.0).status_code == 200


def test_the_registry_tells_who_serves(graphs: Graphs) -> None:
    health = graphs.federation.supergraph_url.replace("/_service/supergraph", "/health")
    found = httpx.get(health, trust_env=False, timeout=30.0).json()
    assert {it["name"] for it in found["subgraphs"]} >= {*NAMES, GHOST}
    assert found["supergraph"]


def test_a_schema_that_does_not_fit_leaves_the_gateway_as_it_is(graphs: Graphs) -> None:
    federation = graphs.federation
    good = httpx.get(federation.supergraph_url, trust_env=False, timeout=30.0).text
    broken = Subgraph("broken", "http://127.0.0.1:9/graphql", "type Query { broken: Nothing }")
    federation.subgraphs.register(broken, now=datetime.now(UTC))
    try:
        until(lambda: federation.supergraph.state.errors != ())
        assert "Nothing" in " ".join(federation.supergraph.state.errors)
        assert httpx.get(federation.supergraph_url, trust_env=False, timeout=30.0).text == good
        assert graphs.through_gateway('{ concept(id: "tea") { id } }').data == {"concept": {"id": "tea"}}
    finally:
        federation.subgraphs.remove("broken")
    until(lambda: federation.supergraph.state.errors == ())


def test_public_clients_read_the_same_from_both(graphs: Graphs, scripts: Scripts) -> None:
    query = "query List { documents(first: 3) { totalCount nodes { id title concepts(first: 2) { id name } } } }"
    urls = [graphs.unified, graphs.federation.url]
    one, other = scripts.run("clients.mjs", {"urls": urls, "query": query, "variables": {}, "token": graphs.token})
    assert one == other
    assert one["urql"]["data"] == graphs.in_one(query).data


def test_the_audit_of_graphql_over_http_finds_nothing_in_either(graphs: Graphs, scripts: Scripts) -> None:
    urls = [graphs.unified, graphs.federation.url]
    assert scripts.run("audit.mjs", {"urls": urls, "token": graphs.token}) == [{"count": 61, "found": []}] * 2


def test_the_types_for_typescript_compile(scripts: Scripts) -> None:
    source = typescript(unified().core)
    right, wrong = scripts.run("types.mjs", {"sources": [source, f"{source}\nexport const wrong: Workflow = {{}}"]})
    assert right == []
    assert wrong


def test_a_query_that_cannot_be_read_says_where(graphs: Graphs) -> None:
    found = graphs.through_gateway("{ concept(")
    assert found.codes == {("graphql_syntax", None)}
    assert found.body["errors"][0]["locations"]


def test_a_public_client_follows_events_over_a_socket_with_a_good_token_alone(graphs: Graphs, scripts: Scripts) -> None:
    sockets = [
        {"url": f"{graphs.unified}?token={graphs.token}", "token": graphs.token, "count": 2},
        {"url": graphs.federation.url, "token": graphs.token, "count": 2},
        {"url": graphs.federation.url, "token": "nonsense", "count": 1},
    ]
    asked = [{**one, "url": str(one["url"]).replace("http", "ws", 1)} for one in sockets]
    query = "subscription { events(after: 0) { position type } }"
    *followed, refused = scripts.run("follow.mjs", {"query": query, "sockets": asked})
    for came in followed:
        positions = [one["data"]["events"]["position"] for one in came]
        assert len(positions) == 2
        assert positions == sorted(positions)
    assert [one.get("data") for one in refused] == [None]


def test_a_second_composer_finds_no_fault(scripts: Scripts) -> None:
    asked = [{"name": name, "url": "http://127.0.0.1:9/graphql", "sdl": sdl_of(name)} for name in NAMES]
    assert scripts.run("judge.mjs", asked) == {"errors": [], "composed": True}
