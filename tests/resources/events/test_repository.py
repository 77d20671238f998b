from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
import pytest

from resources.errors import ConcurrencyError, ConflictError
from resources.events.catalog import NodeCompleted
from resources.events.memory import MemoryEventStore
from resources.events.postgres import PostgresEventStore
from resources.events.repository import AggregateRepository
from resources.events.snapshots.memory import MemorySnapshots
from resources.events.snapshots.model import SnapshotPolicy, pack
from resources.events.snapshots.postgres import PostgresSnapshots
from resources.events.workflow import WorkflowAggregate, WorkflowStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from resources.database.postgres import Database
    from resources.events.snapshots.store import SnapshotStore
    from resources.events.store import EventStore

T0 = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(params=["memory", "postgres"])
def store(request: pytest.FixtureRequest) -> EventStore:
    return MemoryEventStore() if request.param == "memory" else PostgresEventStore(request.getfixturevalue("database"))


@pytest.fixture
def snapshots(store: EventStore, request: pytest.FixtureRequest) -> SnapshotStore:
    if isinstance(store, MemoryEventStore):
        return MemorySnapshots()
    return PostgresSnapshots(request.getfixturevalue("database"))


@pytest.fixture
def repository(store: EventStore, snapshots: SnapshotStore) -> AggregateRepository:
    return AggregateRepository(store, snapshots=snapshots, policy=SnapshotPolicy(events=10, keep=2))


def running(id: str = "w1", nodes: int = 0) -> WorkflowAggregate:
    workflow = WorkflowAggregate(id)
    workflow.create("summary", input_data={"text": "x" * 2000}, now=T0)
    workflow.start(now=T0 + timedelta(seconds=1))
    for number in range(nodes):
        workflow.node(NodeCompleted(workflow_id=id, node_id=str(number)))
    return workflow


def test_a_workflow_goes_from_created_to_completed(repository: AggregateRepository, tenant: str) -> None:
    workflow = running()
    workflow.complete({"answer": 42}, duration_ms=2000, now=T0 + timedelta(seconds=3))
    assert workflow.version == 3
    repository.save(workflow, tenant=tenant)
    loaded = repository.load(WorkflowAggregate, "w1", tenant=tenant)
    assert loaded is not None
    assert loaded.version == 3
    assert loaded.state == workflow.state
    assert loaded.state.status is WorkflowStatus.COMPLETED
    assert loaded.state.completed_at == T0 + timedelta(seconds=3)
    assert loaded.state.output_data == {"answer": 42}


@pytest.mark.parametrize("command", ["create", "start", "complete", "fail", "cancel"])
@pytest.mark.parametrize("status", [None, "created", "running", "completed", "failed", "cancelled"])
def test_only_the_drawn_transitions_are_allowed(status: str | None, command: str) -> None:
    allowed = {
        ("create", None),
        ("start", "created"),
        ("complete", "running"),
        ("fail", "running"),
        ("cancel", "created"),
        ("cancel", "running"),
    }
    workflow = WorkflowAggregate("w")
    steps = {
        None: [],
        "created": ["create"],
        "running": ["create", "start"],
        "completed": ["create", "start", "complete"],
        "failed": ["create", "start", "fail"],
        "cancelled": ["create", "cancel"],
    }[status]
    commands: dict[str, Callable[[], None]] = {
        "create": lambda: workflow.create("t"),
        "start": workflow.start,
        "complete": lambda: workflow.complete(duration_ms=1),
        "fail": lambda: workflow.fail("it broke"),
        "cancel": workflow.cancel,
    }
    for step in steps:
        commands[step]()
    version = workflow.version
    if (command, status) in allowed:
        commands[command]()
        assert workflow.version == version + 1
    else:
        with pytest.raises(ConflictError) as caught:
            commands[command]()
        assert caught.value.code == "workflow_transition"
        assert workflow.version == version


def test_what_was_never_there_is_none(repository: AggregateRepository, tenant: str) -> None:
    assert repository.load(WorkflowAggregate, "nobody", tenant=tenant) is None


def test_the_second_of_two_savers_is_told(repository: AggregateRepository, tenant: str) -> None:
    repository.save(running(), tenant=tenant)
    first = repository.load(WorkflowAggregate, "w1", tenant=tenant)
    second = repository.load(WorkflowAggregate, "w1", tenant=tenant)
    assert first is not None
    assert second is not None
    first.complete(duration_ms=1)
    second.cancel()
    repository.save(first, tenant=tenant)
    with pytest.raises(ConcurrencyError):
        repository.save(second, tenant=tenant)


def test_state_is_what_it_was_at_a_version_a_position_and_a_time(
    repository: AggregateRepository, store: EventStore, tenant: str
) -> None:
    workflow = running(nodes=30)
    repository.save(workflow, tenant=tenant)
    workflow.complete(duration_ms=1)
    repository.save(workflow, tenant=tenant)
    events = store.read_stream(workflow.stream, tenant=tenant)

    def at(**bounds: object) -> WorkflowAggregate | None:
        return repository.load(WorkflowAggregate, "w1", tenant=tenant, **bounds)  # type: ignore[arg-type]  # one of three

    first = at(up_to_version=1)
    assert first is not None
    assert (first.version, first.state.status) == (1, WorkflowStatus.CREATED)
    middle = at(up_to_position=events[11].position)
    assert middle is not None
    assert (middle.version, middle.state.nodes_executed) == (12, 10)
    before_the_end = at(up_to_time=events[31].recorded_at)
    assert before_the_end is not None
    assert before_the_end.state.nodes_executed == 30
    assert at(up_to_time=events[0].recorded_at - timedelta(days=1)) is None


def test_snapshots_are_taken_as_events_gather_and_old_ones_go(
    repository: AggregateRepository, snapshots: SnapshotStore, tenant: str
) -> None:
    workflow = running()
    for _ in range(5):
        for number in range(8):
            workflow.node(NodeCompleted(workflow_id="w1", node_id=str(number)))
        repository.save(workflow, tenant=tenant)
    kept = snapshots.newest(workflow.stream, tenant=tenant)
    assert [snapshot.version for snapshot in kept] == [42, 34]
    assert kept[0].encoding == "zstd"


def test_loading_begins_at_the_newest_snapshot(
    repository: AggregateRepository, snapshots: SnapshotStore, tenant: str
) -> None:
    workflow = running(nodes=20)
    repository.save(workflow, tenant=tenant)
    snapshot = snapshots.newest(workflow.stream, tenant=tenant)[0]
    marked = workflow.state.model_copy(update={"error_message": "from the snapshot"})
    encoding, content, checksum = pack(marked.model_dump_json().encode())
    snapshots.save(msgspec.structs.replace(snapshot, encoding=encoding, state=content, checksum=checksum), keep=5)
    loaded = repository.load(WorkflowAggregate, "w1", tenant=tenant)
    assert loaded is not None
    assert loaded.state.error_message == "from the snapshot"
    assert loaded.version == 22


@pytest.mark.parametrize("damage", ["content", "checksum", "form"])
def test_a_corrupt_snapshot_is_skipped_and_replaced(
    repository: AggregateRepository, snapshots: SnapshotStore, tenant: str, damage: str
) -> None:
    workflow = running(nodes=20)
    repository.save(workflow, tenant=tenant)
    good = snapshots.newest(workflow.stream, tenant=tenant)[0]
    bad = {
        "content": msgspec.structs.replace(good, state=b"\x00" + good.state[1:]),
        "checksum": msgspec.structs.replace(good, checksum=bytes(32)),
        "form": msgspec.structs.replace(good, state_version=99),
    }[damage]
    snapshots.save(bad, keep=5)
    loaded = repository.load(WorkflowAggregate, "w1", tenant=tenant)
    assert loaded is not None
    assert loaded.state == workflow.state
    assert snapshots.newest(workflow.stream, tenant=tenant)[0].open() == good.open()


def test_a_snapshot_is_taken_by_hand(repository: AggregateRepository, snapshots: SnapshotStore, tenant: str) -> None:
    workflow = running()
    repository.save(workflow, tenant=tenant)
    assert repository.snapshot(WorkflowAggregate, "w1", tenant=tenant)
    assert [snapshot.version for snapshot in snapshots.newest(workflow.stream, tenant=tenant)] == [2]
    assert not repository.snapshot(WorkflowAggregate, "nobody", tenant=tenant)


def test_a_snapshot_is_due_by_count_size_or_age_but_not_for_the_idle() -> None:
    policy = SnapshotPolicy()
    hour, day = timedelta(hours=1), timedelta(hours=24)
    assert policy.is_due(events=100, age=hour, event_bytes=0)
    assert policy.is_due(events=1, age=hour, event_bytes=2**20)
    assert policy.is_due(events=1, age=day, event_bytes=0)
    assert not policy.is_due(events=99, age=None, event_bytes=0)
    assert not policy.is_due(events=0, age=day, event_bytes=0)


def test_tenants_have_their_own_snapshots(database: Database, tenant: str) -> None:
    store, snapshots = PostgresEventStore(database), PostgresSnapshots(database)
    repository = AggregateRepository(store, snapshots=snapshots, policy=SnapshotPolicy(events=1))
    workflow = running()
    repository.save(workflow, tenant=tenant)
    assert snapshots.newest(workflow.stream, tenant=f"{tenant}-other") == []


def test_ten_thousand_events_of_one_stream_load(database: Database, tenant: str) -> None:
    repository = AggregateRepository(PostgresEventStore(database), snapshots=PostgresSnapshots(database))
    workflow = running(nodes=9_998)
    repository.save(workflow, tenant=tenant)
    bare = AggregateRepository(PostgresEventStore(database)).load(WorkflowAggregate, "w1", tenant=tenant)
    loaded = repository.load(WorkflowAggregate, "w1", tenant=tenant)
    assert bare is not None
    assert loaded is not None
    assert (bare.version, bare.state.nodes_executed) == (10_000, 9_998)
    assert loaded.state == bare.state
