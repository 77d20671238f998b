"""The graph over real servers: what a front end asks in one go."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from api.auth.principal import local_principal
from api.graphql.context import GraphContext
from api.graphql.schema import unified
from resources.telemetry import correlation
from tests.api.graphql.conftest import project, tell_run

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    from api.dependencies import Services
    from tests.api.graphql.conftest import World

    Ask = Callable[..., dict[str, Any]]

ROOT = Path(__file__).parents[3]


def shown(document: str, name: str) -> str:
    """A query as a document shows it."""
    blocks: list[str] = re.findall(r"```graphql\n(.*?)```", (ROOT / document).read_text(), re.DOTALL)
    return next(block for block in blocks if f"query {name}" in block)


EVIDENCE = shown("docs/graphql.md", "Evidence")
ENTITIES = (
    "query($all: [_Any!]!) { _entities(representations: $all) { ... on Document { title } ... on Concept { name } } }"
)


@pytest.mark.parametrize("document", ["README.md", "docs/graphql.md"])
def test_the_query_that_is_shown_leads_from_a_workflow_to_what_it_read_and_who_works_on_it(
    ask: Ask, world: World, document: str
) -> None:
    workflow = ask(shown(document, "Example"), id=world.workflow)["workflow"]
    assert workflow["name"] == "brew"
    [run] = workflow["executions"]["nodes"]
    assert (run["id"], run["status"], float(run["costUsd"])) == (world.run, "COMPLETED", 0.25)
    [processed] = workflow["processedContent"]
    assert processed["title"] == "On tea"
    assert processed["concepts"][0] == {"name": "Tea", "prerequisites": [{"name": "Water"}]}
    assert {node["name"] for node in workflow["knowledgeGraph"]["nodes"]} == {"Tea", "Water", "Fire", "Coffee"}
    assert {"source": "tea", "target": "water", "type": "REQUIRES"} in workflow["knowledgeGraph"]["relationships"]
    assert workflow["collaborators"] == [{"id": "ada", "presence": {"status": "OFFLINE"}}]


def test_a_concept_tells_what_it_rests_on_and_what_that_cost(ask: Ask, world: World) -> None:
    [said] = ask(EVIDENCE, id="tea")["concept"]["evidence"]
    assert said["asset"] == {"id": "knowledge/concepts"}
    assert (said["partition"], said["document"]) == (world.document, {"title": "On tea"})
    assert said["calls"] == [{"model": "gpt-4o"}]
    assert said["promptVersion"] == {"version": 1}
    assert float(said["costUsd"]) == 0.25


def test_entities_are_loaded_by_key_and_a_bad_one_spoils_nothing_else(ask: Ask, world: World) -> None:
    wanted = [
        {"__typename": "Document", "id": world.document},
        {"__typename": "Nonsense", "id": "x"},
        {"__typename": "Concept"},
        {"__typename": "Document", "id": "not-there"},
        {"__typename": "Concept", "id": "tea"},
    ]
    answer = ask(ENTITIES, errors=True, all=wanted)
    assert answer["data"]["_entities"] == [{"title": "On tea"}, None, None, None, {"name": "Tea"}]
    assert {error["extensions"]["code"] for error in answer["errors"]} == {"entity_unknown", "entity_key"}


def test_a_hundred_entities_are_read_in_one_statement(
    ask: Ask, world: World, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    read = services.documents.get_many

    def counted(_: Any, ids: list[str], *, tenant: str) -> Any:
        if tenant == world.tenant:
            asked.append(len(ids))
        return read(ids, tenant=tenant)

    monkeypatch.setattr(type(services.documents), "get_many", counted)
    wanted = [{"__typename": "Document", "id": f"{world.document}-{number}"} for number in range(99)]
    answer = ask(ENTITIES, all=[*wanted, {"__typename": "Document", "id": world.document}])
    assert answer["_entities"][-1] == {"title": "On tea"}
    assert asked == [100]


@dataclass
class Statements:
    """What was asked of PostgreSQL and of the graph."""

    sql: list[str] = field(default_factory=list)
    cypher: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.sql) + len(self.cypher)

    def forget(self) -> None:
        self.sql.clear()
        self.cypher.clear()


@pytest.fixture
def statements(ask: Ask, asked_as: str, world: World, monkeypatch: pytest.MonkeyPatch) -> Statements:
    """All statements that `ask` leads to from here on; the graph is in memory. Others may work in this process, too."""
    import psycopg

    from resources.knowledge.neo4j import BoltGraphStore

    found = Statements()
    execute, read = psycopg.Cursor.execute, BoltGraphStore._read

    def counted(self: Any, query: Any, *arguments: Any, **named: Any) -> Any:
        text = query.decode() if isinstance(query, bytes) else str(query)
        if "aiw." in text and "set_config" not in text and correlation.current() == asked_as:
            found.sql.append(text)
        return execute(self, query, *arguments, **named)

    def looked(self: Any, query: str, **parameters: Any) -> Any:
        if correlation.current() == asked_as:
            found.cypher.append(query)
        return read(self, query, **parameters)

    ask(EVIDENCE, id="tea")
    ask(shown("README.md", "Example"), id=world.workflow)
    monkeypatch.setattr(psycopg.Cursor, "execute", counted)
    monkeypatch.setattr(BoltGraphStore, "_read", looked)
    return found


def test_a_nested_query_makes_few_statements(ask: Ask, statements: Statements) -> None:
    ask(
        "{ concepts(first: 4) { nodes { name prerequisites { name } resources { document { title analysis { summary } } } } } }"
    )
    assert len(statements.sql) == 2, statements  # documents, and their analyses
    assert len(statements.cypher) == 2, statements  # the revision of the graph, for both questions
    statements.forget()
    ask("{ concepts(first: 2) { nodes { evidence { partition calls { model promptVersion { version } } } } } }")
    assert len(statements) <= 6, statements


def test_a_query_through_three_modules_makes_six_statements_at_most(
    ask: Ask, world: World, statements: Statements
) -> None:
    ask(
        """query($id: ID!) { workflow(id: $id) { name collaborators { id presence { status } }
            processedContent { title concepts { name prerequisites { name } } } } }""",
        id=world.workflow,
    )
    assert len(statements) <= 6, statements


def test_the_query_that_is_shown_makes_ten_statements_at_most(ask: Ask, world: World, statements: Statements) -> None:
    ask(shown("README.md", "Example"), id=world.workflow)
    assert len(statements) <= 10, statements


def test_more_runs_make_no_more_statements(ask: Ask, world: World, services: Services, statements: Statements) -> None:
    query = "{ workflowExecutions(first: 20) { nodes { user { id } documents { title } calls { model } costUsd } } }"
    ask(query)
    few = len(statements)
    for number in range(5):
        tell_run(services, world, f"more-{number}-{world.tenant}")
    project(services)
    statements.forget()
    found = ask(query)["workflowExecutions"]["nodes"]
    assert [node["user"] for node in found] == [{"id": "ada"}] * 6
    assert len(statements) == few


@pytest.mark.usefixtures("world")
def test_a_page_is_continued_behind_its_cursor(ask: Ask) -> None:
    fields = "totalCount pageInfo { hasNextPage endCursor } nodes { name }"
    query = f"query($after: String) {{ concepts(first: 3, after: $after) {{ {fields} }} }}"
    first = ask(query)["concepts"]
    assert (first["totalCount"], first["pageInfo"]["hasNextPage"], len(first["nodes"])) == (4, True, 3)
    second = ask(query, after=first["pageInfo"]["endCursor"])["concepts"]
    assert (second["pageInfo"]["hasNextPage"], len(second["nodes"])) == (False, 1)
    assert len({node["name"] for node in first["nodes"] + second["nodes"]}) == 4
    answer = ask(query, errors=True, after="nonsense")
    assert answer["data"] == {"concepts": None}
    assert answer["errors"][0]["extensions"]["code"] == "cursor_invalid"
    assert answer["errors"][0]["extensions"]["service"] == "knowledge"


@pytest.mark.usefixtures("world")
def test_one_part_that_fails_leaves_the_others(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    from resources.errors import UnavailableError
    from resources.realtime.presence.postgres import PostgresPresence

    def fail(*_: Any, **__: Any) -> None:
        raise UnavailableError("Nobody knows who is there.", dependency="database")

    monkeypatch.setattr(PostgresPresence, "find", fail)
    answer = ask('{ workflow(id: "brew") { name collaborators { id presence { status } } } }', errors=True)
    assert answer["data"]["workflow"] == {"name": "brew", "collaborators": [{"id": "ada", "presence": None}]}
    [error] = answer["errors"]
    assert error["path"] == ["workflow", "collaborators", 0, "presence"]
    assert error["extensions"]["code"] == "dependency_unavailable"
    assert error["extensions"]["service"] == "realtime"


@pytest.mark.usefixtures("world")
def test_mutations_do_what_the_rest_of_the_api_does(ask: Ask) -> None:
    spec = "name: stew\nnodes:\n  - {id: wait, type: delay, config: {seconds: 0}}\n"
    assert ask("mutation($s: JSON!) { createWorkflow(spec: $s) { id revision } }", s=spec)["createWorkflow"] == {
        "id": "stew",
        "revision": 1,
    }
    assert ask('mutation { archiveWorkflow(id: "stew") { status } }')["archiveWorkflow"] == {"status": "ARCHIVED"}
    told = ask(
        'mutation { updateLearningProgress(conceptId: "Water", status: COMPLETED)'
        " { completedConcepts concepts { concept { name } } } }"
    )
    assert told["updateLearningProgress"] == {"completedConcepts": 1, "concepts": [{"concept": {"name": "Water"}}]}
    handed = ask('mutation { handInDocument(name: "n.md", text: "# N") { outcome document { status } } }')
    assert handed["handInDocument"] == {"outcome": "received", "document": {"status": "RECEIVED"}}
    budget = ask('mutation { setBudget(budget: {limit: "5", scope: "tenant"}) { id limit } }')["setBudget"]
    assert float(budget["limit"]) == 5
    assert ask("mutation($id: ID!) { removeBudget(id: $id) }", id=budget["id"]) == {"removeBudget": True}
    prompt = ask('mutation { publishPrompt(prompt: {id: "farewell", content: "Bye"}) { id } }')["publishPrompt"]
    assert prompt == {"id": "farewell@1"}
    sent = ask('mutation { sendMessage(topic: "tea.room", content: {hello: "you"}) { id topic position } }')[
        "sendMessage"
    ]
    assert ask("query($id: ID!) { message(id: $id) { topic content } }", id=sent["id"])["message"] == {
        "topic": "tea.room",
        "content": {"hello": "you"},
    }


def test_an_invalid_workflow_is_refused_with_all_its_problems(ask: Ask) -> None:
    answer = ask('mutation { createWorkflow(spec: "name: x") { id } }', errors=True)
    assert answer["data"] == {"createWorkflow": None}
    assert answer["errors"][0]["extensions"]["problems"]


async def test_a_batch_never_crosses_tenants(services: Services, world: World) -> None:
    async def title(tenant: str) -> Any:
        context = GraphContext(services, local_principal(tenant))
        query = 'query($id: ID!) { document(id: $id) { title } concept(id: "tea") { name } }'
        result = await unified().execute(query, {"id": world.document}, context_value=context)
        assert result.errors is None
        return result.data

    import asyncio

    own, other = await asyncio.gather(title(world.tenant), title(f"other-{uuid.uuid4().hex}"))
    assert own == {"document": {"title": "On tea"}, "concept": {"name": "Tea"}}
    assert other == {"document": None, "concept": None}


def test_events_are_followed_from_a_position_over_sse(http: httpx.Client, world: World) -> None:
    query = 'subscription { events(after: 0, types: ["workflow.completed"]) { type data } }'
    seen = ""
    with http.stream("POST", "/graphql", json={"query": query}, headers={"Accept": "text/event-stream"}) as answer:
        assert answer.status_code == 200
        for text in answer.iter_text():
            seen += text
            if world.run in seen:
                break
    assert "event: next" in seen


def test_a_run_is_followed_to_its_end_over_a_socket(api_url: str, world: World) -> None:
    import json

    from websockets.sync.client import connect

    url = api_url.replace("http", "ws", 1) + "/graphql"
    query = "subscription($id: ID!) { runProgress(runId: $id) { id status } }"
    with connect(url, subprotocols=["graphql-transport-ws"], proxy=None) as socket:  # type: ignore[list-item]  # a NewType
        socket.send(json.dumps({"type": "connection_init"}))
        assert json.loads(socket.recv(30))["type"] == "connection_ack"
        payload = {"query": query, "variables": {"id": world.run}}
        socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
        told = json.loads(socket.recv(30))
        assert told["payload"]["data"] == {"runProgress": {"id": world.run, "status": "COMPLETED"}}
        assert json.loads(socket.recv(30))["type"] == "complete"
