from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from resources.errors import InvalidInputError, NotFoundError
from resources.events.memory import MemoryEventStore
from resources.events.model import EventMetadata, NewEvent, StreamId
from resources.events.postgres import PostgresEventStore
from resources.events.projections.memory import MemoryProjections
from resources.events.projections.postgres import PostgresProjections
from resources.events.projections.projector import Projector
from resources.events.projections.workflows import MOST_NODES, WorkflowExecutionHistory, WorkflowExecutions
from resources.workflows.executions import Executions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from resources.events.projections.store import ProjectionStore
    from resources.events.store import EventStore

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


class World:
    """A store of events, and the read models of what it holds."""

    def __init__(self, store: EventStore, projections: ProjectionStore, tenant: str) -> None:
        self.store, self.projections, self.tenant = store, projections, tenant
        self.projector = Projector(store, projections)
        self.executions = Executions(projections)

    def tell(self, run: str, *events: tuple[str, dict[str, Any]]) -> None:
        new = [
            NewEvent(
                f"workflow.{name}",
                {"workflow_id": run, **data},
                occurred_at=NOON + timedelta(seconds=second),
                metadata=EventMetadata(correlation_id="story"),
            )
            for second, (name, data) in enumerate(events)
        ]
        self.store.append(StreamId("workflow", run), new, tenant=self.tenant)

    def update(self) -> None:
        for projection in (WorkflowExecutionHistory(), WorkflowExecutions()):
            self.projector.update(projection)


@pytest.fixture(params=["memory", "postgres"])
def world(request: pytest.FixtureRequest, tenant: str) -> Iterator[World]:
    if request.param == "memory":
        yield World(MemoryEventStore(), MemoryProjections(), tenant)
        return
    database = request.getfixturevalue("database")
    store = PostgresEventStore(database)
    yield World(store, PostgresProjections(database), tenant)
    store.close()


def started(workflow: str = "summary", **fields: Any) -> tuple[str, dict[str, Any]]:
    return "started", {"workflow_type": workflow, **fields}


def node(event: str, id: str, **fields: Any) -> tuple[str, dict[str, Any]]:
    return f"node_{event}", {"node_id": id, "node_type": "say", **fields}


DONE = "completed", {"output_data": {"text": "y"}, "duration_ms": 900, "nodes_executed": 2}


def test_one_row_tells_the_whole_run(world: World) -> None:
    trigger = {"type": "event", "id": "e-1"}
    world.tell(
        "r1",
        ("created", {"workflow_type": "summary", "user_id": "ada", "input_data": {"x": 1}}),
        started(user_id="ada", input_data={"x": 1}, revision=3, nodes_total=4, parent_run_id="r0", trigger=trigger),
        node("started", "a"),
        node("retried", "a", attempt=1, error_message="busy", delay_seconds=1),
        node("started", "a", attempt=2),
        node("completed", "a", attempt=2, output_data="hello", duration_ms=20),
        node("skipped", "b", reason="the router went another way"),
        node("started", "c"),
        node("failed", "c", error_message="no", duration_ms=5),
        ("failed", {"error_message": "c failed: no", "failed_node": "c", "duration_ms": 900}),
    )
    world.update()
    run = world.executions.get("r1", world.tenant)
    assert (run.workflow, run.status, run.revision, run.user_id) == ("summary", "failed", 3, "ada")
    assert (run.inputs, run.parent_run_id, run.trigger, run.correlation_id) == ({"x": 1}, "r0", trigger, "story")
    assert (run.error, run.failed_node, run.duration_ms) == ("c failed: no", "c", 900)
    assert (run.created_at, run.started_at, run.ended_at) == (
        NOON,
        NOON + timedelta(seconds=1),
        NOON + timedelta(seconds=9),
    )
    a, b, c = run.nodes
    assert (a.id, a.type, a.status, a.attempt, a.output, a.duration_ms, a.error) == (
        "a",
        "say",
        "completed",
        2,
        "hello",
        20,
        None,
    )
    assert (a.started_at, a.ended_at) == (NOON + timedelta(seconds=2), NOON + timedelta(seconds=5))
    assert (b.status, b.error) == ("skipped", "the router went another way")
    assert (c.status, c.error) == ("failed", "no")
    progress = run.progress
    assert (progress.total, progress.completed, progress.failed, progress.skipped, progress.running) == (4, 1, 1, 1, 0)
    assert progress.percentage == 75.0


@pytest.mark.parametrize(
    ("events", "status", "running", "percentage"),
    [
        ([], "running", 0, 0.0),
        ([node("started", "a")], "running", 1, 0.0),
        ([node("started", "a"), node("retried", "a", attempt=1, error_message="x")], "running", 1, 0.0),
        ([node("started", "a"), node("completed", "a")], "running", 0, 50.0),
        ([node("started", "a"), node("completed", "a"), DONE], "completed", 0, 100.0),
        ([node("started", "a"), ("cancelled", {"reason": "enough"})], "cancelled", 0, 0.0),
    ],
)
def test_progress_is_told_at_every_moment(
    world: World, events: list[tuple[str, dict[str, Any]]], status: str, running: int, percentage: float
) -> None:
    world.tell("r", started(nodes_total=2), *events)
    world.update()
    run = world.executions.get("r", world.tenant)
    assert (run.status, run.progress.running, run.progress.percentage) == (status, running, percentage)


def test_large_values_are_told_by_their_beginning(world: World) -> None:
    world.tell("r", started(input_data="y" * 50_000), node("completed", "a", output_data=["x" * 5000]))
    world.update()
    run = world.executions.get("r", world.tenant)
    assert run.inputs["bytes"] == 50_002
    assert run.nodes[0].output["bytes"] == 5004
    assert run.nodes[0].output["truncated"].startswith('["xxx')
    assert len(run.nodes[0].output["truncated"]) == 400


def test_a_row_tells_of_so_many_nodes_and_no_more(world: World) -> None:
    world.tell("r", started(), *(node("started", f"n{number}") for number in range(MOST_NODES + 5)))
    world.update()
    assert len(world.executions.get("r", world.tenant).nodes) == MOST_NODES


def test_runs_are_listed_newest_first_by_workflow_and_status(world: World) -> None:
    for number in range(6):
        workflow = "summary" if number % 2 else "other"
        world.tell(
            f"r{number}", ("created", {"workflow_type": workflow}), started(workflow), *([DONE] if number < 3 else [])
        )
    world.update()

    def runs(**filters: Any) -> list[str]:
        return [run.run_id for run in world.executions.list(world.tenant, **filters).executions]

    assert runs() == ["r5", "r4", "r3", "r2", "r1", "r0"]
    assert runs(workflow="summary") == ["r5", "r3", "r1"]
    assert runs(status="completed") == ["r2", "r1", "r0"]
    assert runs(workflow="other", status="running") == ["r4"]
    assert runs(workflow="gone") == []
    assert world.executions.list(f"{world.tenant}-b").executions == ()


def test_pages_follow_each_other_without_gap_or_double(world: World) -> None:
    for number in range(7):
        world.tell(f"r{number}", started())
    world.update()
    seen, cursor = [], None
    while True:
        page = world.executions.list(world.tenant, limit=3, cursor=cursor)
        seen += [run.run_id for run in page.executions]
        if page.cursor is None:
            break
        cursor = page.cursor
    assert seen == [f"r{number}" for number in reversed(range(7))]


def test_a_run_that_no_read_model_knows_yet_is_read_from_its_events(world: World) -> None:
    world.tell("r", started(), node("started", "a"))
    at_once = Executions(world.projections, events=world.store)
    for projection in (WorkflowExecutionHistory(), WorkflowExecutions()):
        world.projections.define(projection.name, version=projection.version)
    assert at_once.get("r", world.tenant).nodes[0].status == "running"
    world.update()
    world.tell("r", DONE)
    assert at_once.get("r", world.tenant).status == "completed"


def test_what_does_not_exist_is_not_found(world: World) -> None:
    world.update()
    with pytest.raises(NotFoundError):
        Executions(world.projections, events=world.store).get("gone", world.tenant)


@pytest.mark.parametrize("options", [{"limit": 0}, {"limit": 201}, {"cursor": "../all"}, {"cursor": "²"}])
def test_odd_pages_are_refused(world: World, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        world.executions.list(world.tenant, **options)
