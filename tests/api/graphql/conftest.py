"""A tenant with something of everything, and the graph over HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
import uuid_utils.compat as uuid_utils

from resources.ai.ledger.model import CallRecord
from resources.ai.ledger.postgres import PostgresCallBooks
from resources.ai.model import CallContext, Usage
from resources.content.model import DocumentSource
from resources.events.model import NewEvent, StreamId
from resources.events.projections.projector import Projector
from resources.events.projections.workflows import WorkflowExecutionHistory, WorkflowExecutions
from resources.knowledge.model import Concept, Edge, EdgeType, Evidence, Extraction, Origin
from resources.prompts.model import PromptSpec
from resources.telemetry import correlation
from resources.workflows.loading import load

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    from api.dependencies import Services
    from resources.database.postgres import Database


@pytest.fixture
def asked_as(tenant: str) -> str:
    """The correlation id of all that `ask` asks: what others do meanwhile is under another, or under none."""
    return f"ask-{tenant}"


@pytest.fixture
def ask(http: httpx.Client, asked_as: str) -> Callable[..., dict[str, Any]]:
    """The answer to an operation, which has to succeed unless `errors` are expected."""

    def ask(query: str, *, errors: bool = False, **variables: Any) -> dict[str, Any]:
        answer = http.post(
            "/graphql", json={"query": query, "variables": variables}, headers={correlation.HEADER: asked_as}
        )
        body: dict[str, Any] = answer.json()
        assert errors or "errors" not in body, body
        return body if errors else body["data"]

    return ask


@dataclass(frozen=True)
class World:
    """What the tenant has."""

    tenant: str
    document: str
    run: str
    call: str
    workflow: str


def build_world(services: Services, database: Database, tenant: str) -> World:
    """A document about tea, which a model has read; a workflow `brew`, and a run of it that names the document."""
    source = DocumentSource(uri="upload:tea.md", name="tea.md", title="On tea", tags=("drinks",))
    document = services.intake.receive(source, b"# Tea\n\nBoil water.", tenant=tenant).document
    run, call = f"run-{tenant}", uuid_utils.uuid7()
    record = CallRecord(
        call_id=call,
        kind="chat",
        outcome="answered",
        memo="miss",
        fingerprint="f",
        provider="openai",
        model="gpt-4o",
        context=CallContext(tenant=tenant, run_id=run, asset="content/analysis", partition=document.id),
        usage=Usage(input=900, output=100),
        cost=Decimal("0.25"),
        prompt_version="greeting@1",
    )
    PostgresCallBooks(database).settle(record)
    services.prompts.publish(PromptSpec(id="greeting", content="Hello there"), tenant=tenant)
    names = ("Tea", "Water", "Fire", "Coffee")
    evidence = {name.lower(): Evidence(origin=Origin.MODEL, calls=(str(call),)) for name in names}
    services.graph.weave(
        Extraction(
            document_id=document.id,
            sha256=document.sha256,
            title="On tea",
            concepts=tuple(Concept(id=name.lower(), name=name, kind="subject") for name in names),
            mentions={"tea": 0.9, "water": 0.5, "fire": 0.3, "coffee": 0.1},
            edges=(
                Edge(source="tea", target="water", type=EdgeType.REQUIRES),
                Edge(source="water", target="fire", type=EdgeType.REQUIRES),
            ),
            evidence=evidence,
            run_id=run,
        ),
        tenant=tenant,
    )
    spec = load("name: brew\ndescription: Makes tea\nnodes:\n  - {id: wait, type: delay, config: {seconds: 0}}\n")
    services.workflows.publish(spec, tenant=tenant, user="ada")
    world = World(tenant, document.id, run, str(call), "brew")
    tell_run(services, world, run)
    project(services)
    return world


def tell_run(services: Services, world: World, run: str) -> None:
    """The story of a run of `brew`, from its beginning to its end."""
    story = [
        NewEvent("workflow.created", {"workflow_id": run, "workflow_type": "brew", "user_id": "ada"}),
        NewEvent(
            "workflow.started",
            {
                "workflow_id": run,
                "workflow_type": "brew",
                "user_id": "ada",
                "input_data": {"document_id": world.document},
            },
        ),
        NewEvent(
            "workflow.completed",
            {"workflow_id": run, "output_data": {"documents": [world.document]}, "duration_ms": 5, "nodes_executed": 1},
        ),
    ]
    services.events.append(StreamId("workflow", run), story, tenant=world.tenant)


def project(services: Services) -> None:
    """Bring the read models of runs up to date."""
    projector = Projector(services.events, services.projections, batch=2000)
    for projection in (WorkflowExecutionHistory(), WorkflowExecutions()):
        projector.update(projection)


@pytest.fixture
def world(services: Services, database: Database, tenant: str) -> World:
    return build_world(services, database, tenant)
