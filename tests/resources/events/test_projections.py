from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from resources.errors import ConflictError, NotFoundError, UpstreamError
from resources.events.memory import MemoryEventStore
from resources.events.model import NewEvent, StreamId
from resources.events.postgres import PostgresEventStore
from resources.events.projections import PROJECTIONS, sketch
from resources.events.projections.documents import DocumentCatalog
from resources.events.projections.memory import MemoryProjections
from resources.events.projections.model import Projection, Rows
from resources.events.projections.postgres import PostgresProjections
from resources.events.projections.projector import Projector
from resources.events.projections.services import ServiceHealth
from resources.events.projections.usage import AiUsage
from resources.events.projections.workflows import WorkflowExecutionHistory, WorkflowStats
from tests.contracts.event_store import A, received

if TYPE_CHECKING:
    from collections.abc import Iterator

    from resources.database.postgres import Database
    from resources.events.model import RecordedEvent
    from resources.events.projections.model import Progress
    from resources.events.projections.store import ProjectionStore
    from resources.events.store import EventStore

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


@pytest.fixture(params=["memory", "postgres"])
def store(request: pytest.FixtureRequest) -> Iterator[EventStore]:
    if request.param == "memory":
        yield MemoryEventStore()
        return
    store = PostgresEventStore(request.getfixturevalue("database"))
    yield store
    store.close()


@pytest.fixture
def projections(store: EventStore, request: pytest.FixtureRequest) -> ProjectionStore:
    if isinstance(store, MemoryEventStore):
        return MemoryProjections()
    return PostgresProjections(request.getfixturevalue("database"))


@pytest.fixture
def projector(store: EventStore, projections: ProjectionStore) -> Projector:
    return Projector(store, projections, batch=7)


class Counter(Projection):
    """Counts events per stream; any number of these can exist, under names of their own."""

    types = frozenset({"saga.step_failed", "saga.failed"})

    def __init__(self, tenant: str, *, version: int = 1, broken: int | None = None) -> None:
        self.name = f"counter-{tenant}"  # type: ignore[misc]  # one name a test
        self.version = version  # type: ignore[misc]  # releases of the same projection
        self.tenant, self.broken = tenant, broken

    def keys(self, event: RecordedEvent) -> tuple[str, ...]:
        return (event.stream.id,)

    def apply(self, event: RecordedEvent, rows: Rows) -> None:
        row = rows.row(event.tenant, event.stream.id)
        row["count"] = row.get("count", 0) + self.version
        row.setdefault("positions", []).append(event.position)
        if self.broken is not None and event.tenant == self.tenant and event.data.get("attempt") == self.broken:
            raise ZeroDivisionError("a bug")
        if event.type == "saga.failed":
            rows.remove(event.tenant, event.stream.id)


def append(store: EventStore, tenant: str, *numbers: int, stream: StreamId = A) -> None:
    data = {"saga_id": stream.id, "step": "s", "error_message": "no"}
    events = [NewEvent("saga.step_failed", data | {"attempt": number + 1}) for number in numbers]
    store.append(stream, events, tenant=tenant)


def test_each_event_is_counted_once(
    store: EventStore, projections: ProjectionStore, projector: Projector, tenant: str
) -> None:
    counter = Counter(tenant)
    append(store, tenant, *range(20))
    projector.update(counter)
    append(store, tenant, *range(3))
    projector.update(counter)
    projector.update(counter)
    row = projections.get(counter.name, "a", tenant=tenant)
    assert row is not None
    assert row["count"] == 23
    assert row["positions"] == sorted(set(row["positions"]))
    status = projections.status(counter.name)
    assert (status.state, status.position) == ("active", store.head(tenant=None))


def test_rows_are_listed_by_key_and_belong_to_one_tenant(
    store: EventStore, projections: ProjectionStore, projector: Projector, tenant: str
) -> None:
    counter = Counter(tenant)
    for name in ("x1", "x2", "x3", "y1"):
        append(store, tenant, 1, stream=StreamId("document", name))
    projector.update(counter)

    def keys(**options: Any) -> list[str]:
        return [key for key, _ in projections.rows(counter.name, **({"tenant": tenant} | options))]

    assert keys() == ["x1", "x2", "x3", "y1"]
    assert keys(prefix="x", after="x1") == ["x2", "x3"]
    assert keys(limit=1) == ["x1"]
    assert keys(tenant=f"{tenant}-other") == []
    assert projections.get(counter.name, "x1", tenant=f"{tenant}-other") is None


def test_a_removed_row_is_gone(
    store: EventStore, projections: ProjectionStore, projector: Projector, tenant: str
) -> None:
    counter = Counter(tenant)
    append(store, tenant, 1)
    projector.update(counter)
    store.append(
        A, [NewEvent("saga.failed", {"saga_id": "a", "error_message": "no", "compensated": True})], tenant=tenant
    )
    projector.update(counter)
    assert projections.get(counter.name, "a", tenant=tenant) is None


def test_a_bug_stops_the_projection_at_its_event_and_is_told(
    store: EventStore, projections: ProjectionStore, projector: Projector, tenant: str
) -> None:
    append(store, tenant, 0, 1, 2, 3)
    for _ in range(2):
        with pytest.raises(UpstreamError, match="a bug"):
            projector.update(Counter(tenant, broken=3))
    status = projections.status(Counter(tenant).name)
    assert status.state == "failed"
    assert "ZeroDivisionError" in str(status.error)
    row = projections.get(status.name, "a", tenant=tenant)
    assert row is not None
    assert row["count"] == 2


def test_a_fixed_projection_goes_on_without_loss(
    store: EventStore, projections: ProjectionStore, projector: Projector, tenant: str
) -> None:
    append(store, tenant, 0, 1, 2, 3)
    with pytest.raises(UpstreamError):
        projector.update(Counter(tenant, broken=3))
    projector.update(Counter(tenant))
    status = projections.status(Counter(tenant).name)
    assert (status.state, status.error) == ("active", None)
    row = projections.get(status.name, "a", tenant=tenant)
    assert row is not None
    assert row["count"] == 4


def test_a_new_version_is_built_beside_the_old_and_swapped_in(
    store: EventStore, projections: ProjectionStore, projector: Projector, tenant: str
) -> None:
    append(store, tenant, *range(30))
    projector.update(Counter(tenant))
    seen: list[int] = []

    def look(_: Progress) -> None:
        row = projections.get(Counter(tenant).name, "a", tenant=tenant)
        assert row is not None
        seen.append(row["count"])

    projector.update(Counter(tenant, version=2), progress=look)
    assert set(seen) == {30}
    row = projections.get(Counter(tenant).name, "a", tenant=tenant)
    assert row is not None
    assert row["count"] == 60
    assert projections.status(Counter(tenant).name).version == 2
    assert projections.status(Counter(tenant).name).rebuilding is None


def test_an_older_release_leaves_newer_rows_alone(
    store: EventStore, projections: ProjectionStore, projector: Projector, tenant: str
) -> None:
    append(store, tenant, 1)
    projector.update(Counter(tenant, version=2))
    append(store, tenant, 2)
    assert projector.update(Counter(tenant, version=1)) == 0
    assert projections.status(Counter(tenant).name).version == 2


def test_a_rebuild_can_be_cancelled(
    store: EventStore, projections: ProjectionStore, projector: Projector, tenant: str
) -> None:
    append(store, tenant, *range(30))
    counter = Counter(tenant)
    projector.update(counter)
    with pytest.raises(ConflictError) as caught:
        projector.rebuild(counter, progress=lambda _: projections.cancel_rebuild(counter.name))
    assert caught.value.code == "rebuild_cancelled"
    row = projections.get(counter.name, "a", tenant=tenant)
    assert row is not None
    assert row["count"] == 30
    assert projections.status(counter.name).rebuilding is None


class _Killed(BaseException):
    pass


def test_an_interrupted_rebuild_goes_on_where_it_stood(
    store: EventStore, projections: ProjectionStore, projector: Projector, tenant: str
) -> None:
    append(store, tenant, *range(30))
    counter = Counter(tenant)
    projector.update(counter)

    def die(progress: Progress) -> None:
        if progress.events >= 14:
            raise _Killed

    with pytest.raises(_Killed):
        projector.rebuild(counter, progress=die)
    half = projections.status(counter.name).rebuilding
    assert half is not None
    assert half.events >= 14
    projector.rebuild(counter)
    row = projections.get(counter.name, "a", tenant=tenant)
    assert row is not None
    assert row["count"] == 30


def test_a_stopped_projection_rests(
    store: EventStore, projections: ProjectionStore, projector: Projector, tenant: str
) -> None:
    counter = Counter(tenant)
    projector.update(counter)
    projections.stop(counter.name)
    append(store, tenant, 1)
    assert projector.update(counter) == 0
    projections.start(counter.name)
    assert projector.update(counter) == 1


def test_workers_that_race_count_nothing_twice(store: EventStore, projections: ProjectionStore, tenant: str) -> None:
    counter = Counter(tenant)
    append(store, tenant, *range(60))
    projections.define(counter.name, version=1)
    barrier = threading.Barrier(3)

    def work() -> None:
        projector = Projector(store, projections, batch=5)
        barrier.wait(60)
        while projections.status(counter.name).position < store.head(tenant=tenant):
            projector.update(counter)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    row = projections.get(counter.name, "a", tenant=tenant)
    assert row is not None
    assert row["count"] == 60


def test_a_running_projector_keeps_up_and_one_bug_does_not_hold_the_others_up(
    store: EventStore, projections: ProjectionStore, projector: Projector, tenant: str
) -> None:
    good, stop = Counter(tenant), threading.Event()
    bad = Counter(tenant, broken=2)
    bad.name = f"bad-{tenant}"  # type: ignore[misc]  # beside the good one
    thread = threading.Thread(target=projector.run, args=([bad, good], stop), kwargs={"poll": 0.05})
    thread.start()
    append(store, tenant, 1)
    waited = threading.Event()
    for _ in range(100):
        try:
            if projections.get(good.name, "a", tenant=tenant):
                break
        except NotFoundError:
            pass
        waited.wait(0.05)
    stop.set()
    thread.join(20)
    assert projections.get(good.name, "a", tenant=tenant)
    assert projections.status(bad.name).state == "failed"


def test_what_concerns_nobody_moves_those_on_that_stand_there_and_rest_not(
    projections: ProjectionStore, tenant: str
) -> None:
    names = [f"{kind}-{tenant}" for kind in ("there", "behind", "stopped", "busy")]
    for name in names:
        projections.define(name, version=1)
    there, behind, stopped, busy = names
    projections.advance([there, stopped, busy], after=0, to=5)
    projections.stop(stopped)
    with projections.batch(busy):
        projections.advance(names, after=5, to=9)
    assert {name: projections.status(name).position for name in names} == {there: 9, behind: 0, stopped: 5, busy: 5}
    assert projections.status(there).state == "active"


def test_projections_that_stand_together_each_get_their_own_events(
    store: EventStore, projections: ProjectionStore, projector: Projector, tenant: str
) -> None:
    class Failures(Counter):
        types = frozenset({"saga.failed"})

        def keys(self, event: RecordedEvent) -> tuple[str, ...]:
            return (event.tenant,)

        def apply(self, event: RecordedEvent, rows: Rows) -> None:
            row = rows.row(event.tenant, event.tenant)
            row["count"] = row.get("count", 0) + 1

    class Nothing(Counter):
        types = frozenset({"saga.completed"})

    each_of = counter, failures, nothing = (
        Counter(tenant),
        Failures(f"failures-{tenant}"),
        Nothing(f"nothing-{tenant}"),
    )
    stop = threading.Event()
    for each in each_of:
        projections.define(each.name, version=1)
    runner = threading.Thread(target=projector.run, args=(each_of, stop), kwargs={"poll": 0.01})
    runner.start()
    try:
        for number in range(20):
            append(store, tenant, *range(number + 1), stream=StreamId("saga", f"s{number}"))
            if number % 2:
                fact = NewEvent("saga.failed", {"saga_id": f"s{number}", "error_message": "no", "compensated": True})
                store.append(StreamId("saga", f"s{number}"), [fact], tenant=tenant)
        head, deadline = store.head(tenant=None), time.monotonic() + 30
        while any(projections.status(each.name).position < head for each in each_of):
            assert time.monotonic() < deadline
            stop.wait(0.01)
    finally:
        stop.set()
        runner.join()
    counted = {key: row["count"] for key, row in projections.rows(counter.name, tenant=tenant)}
    assert counted == {f"s{number}": number + 1 for number in range(0, 20, 2)}
    assert projections.get(failures.name, tenant, tenant=tenant) == {"count": 10}
    assert projections.size(nothing.name) == 0


def test_an_unknown_projection_is_not_found(projections: ProjectionStore) -> None:
    with pytest.raises(NotFoundError):
        projections.status("nothing")


def test_rows_and_checkpoint_are_one_transaction(database: Database, tenant: str) -> None:
    store, projections, counter = PostgresEventStore(database), PostgresProjections(database), Counter(tenant)
    append(store, tenant, 1, 2)
    Projector(store, projections).update(counter)
    before = projections.status(counter.name).position
    append(store, tenant, 3)

    def save_and_die() -> None:
        with projections.batch(counter.name) as batch:
            assert batch is not None
            rows = Rows(batch.load)
            rows.row(tenant, "a")["count"] = 99
            batch.save(rows, position=before + 1, events=1)
            raise _Killed

    with pytest.raises(_Killed):
        save_and_die()
    assert projections.status(counter.name).position == before
    Projector(store, projections).update(counter)
    row = projections.get(counter.name, "a", tenant=tenant)
    assert row is not None
    assert row["count"] == 3


@pytest.mark.parametrize("text", ["\x00", "a\\u0000", "\\\x00\x00", "x" * 5000, "é\x00" * 600])
def test_whatever_an_event_says_does_not_hold_a_projection_up(
    store: EventStore, projections: ProjectionStore, projector: Projector, tenant: str, text: str
) -> None:
    hostile = dict(received(1).data) | {"document_id": text, "name": text}
    store.append(A, [NewEvent("document.received", hostile)], tenant=tenant)
    projector.update(DocumentCatalog())
    ((_, row),) = projections.rows("document_catalog", tenant=tenant)
    assert row["name"].replace("\x00", "\ufffd") == text.replace("\x00", "\ufffd")
    assert projections.get("document_catalog", text, tenant=tenant) == row


def test_sums_beyond_64_bits_do_not_hold_a_projection_up(
    store: EventStore, projections: ProjectionStore, projector: Projector, tenant: str
) -> None:
    usage, most = AiUsage(), 2**63 - 1
    for version in range(3):
        data = {"request_id": "r", "provider": "scripted", "model": "small", "prompt_tokens": most, "cost_usd": "0"}
        store.append(StreamId("call", str(version)), [NewEvent("ai.tokens_used", data)], tenant=tenant)
        projector.update(usage)
    ((_, row),) = projections.rows("ai_usage", tenant=tenant)
    assert row["prompt_tokens"] == 3 * most


# What each shipped projection says


def project(projection: Projection, *events: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    store, projections = MemoryEventStore(), MemoryProjections()
    for type_, data in events:
        store.append(StreamId("s", "1"), [NewEvent(type_, data, occurred_at=NOON)])
    Projector(store, projections).update(projection)
    return dict(projections.rows(projection.name, tenant="default"))


WORKFLOW = {"workflow_id": "w1"}


def test_workflow_stats_count_ends_and_durations_per_type() -> None:
    events: list[tuple[str, dict[str, Any]]] = []
    for number in range(20):
        own = {"workflow_id": f"w{number}"}
        events.append(("workflow.started", own | {"workflow_type": "summary"}))
        if number < 19:
            done = {"duration_ms": 100 * (number + 1), "nodes_executed": 2}
            events.append(("workflow.completed", own | done))
        else:
            events.append(("workflow.failed", own | {"error_message": "no"}))
    rows = project(WorkflowStats(), *events)
    assert list(rows) == ["type/summary"]
    stats = rows["type/summary"]
    assert (stats["started"], stats["completed"], stats["failed"]) == (20, 19, 1)
    assert stats["success_rate"] == 0.95
    assert stats["p95_ms"] == pytest.approx(1800, rel=0.06)


def test_workflow_history_tells_the_story_of_one_execution() -> None:
    rows = project(
        WorkflowExecutionHistory(),
        ("workflow.created", WORKFLOW | {"workflow_type": "summary", "user_id": "ada"}),
        ("workflow.started", WORKFLOW | {"workflow_type": "summary", "user_id": "ada"}),
        ("workflow.node_started", WORKFLOW | {"node_id": "n1"}),
        ("workflow.node_failed", WORKFLOW | {"node_id": "n1", "error_message": "no"}),
        ("workflow.failed", WORKFLOW | {"error_message": "no", "failed_node": "n1", "duration_ms": 12}),
    )
    row = rows["w1"]
    assert (row["status"], row["user_id"], row["error"], row["failed_node"]) == ("failed", "ada", "no", "n1")
    assert (row["nodes_started"], row["nodes_completed"], row["nodes_failed"]) == (1, 0, 1)
    assert row["duration_ms"] == 12


def test_progress_is_what_counting_all_nodes_gives() -> None:
    nodes = [{"node_id": f"n{number}"} for number in range(9)]
    told: list[tuple[str, dict[str, Any]]] = [("workflow.node_started", WORKFLOW | node) for node in nodes[:2]]
    told.append(("workflow.started", WORKFLOW | {"workflow_type": "summary", "user_id": "ada", "nodes_total": 8}))
    told += [("workflow.node_started", WORKFLOW | node) for node in nodes[2:]]
    told += [("workflow.node_completed", WORKFLOW | node) for node in nodes[:4]]
    told += [
        ("workflow.node_retried", WORKFLOW | nodes[4] | {"attempt": 1, "error_message": "no", "delay_seconds": 0.0})
    ]
    told += [("workflow.node_failed", WORKFLOW | node | {"error_message": "no"}) for node in (nodes[3], nodes[5])]
    told += [("workflow.node_skipped", WORKFLOW | {"node_id": "beside"})]
    expected = {"total": 10, "completed": 3, "failed": 2, "skipped": 1, "running": 4, "percentage": 60.0}
    assert project(WorkflowExecutionHistory(), *told)["w1"]["progress"] == expected
    ended = {"duration_ms": 12, "workflow_type": "summary", "nodes_executed": 3}
    told.append(("workflow.completed", WORKFLOW | ended))
    told.append(("workflow.node_completed", WORKFLOW | nodes[8]))  # too late
    done = {"completed": 4, "running": 0, "percentage": 100.0}
    assert project(WorkflowExecutionHistory(), *told)["w1"]["progress"] == expected | done


def test_ai_usage_adds_up_a_day_exactly() -> None:
    call = {"request_id": "r", "provider": "scripted", "model": "small"}
    answer = call | {"response": "Yes.", "prompt_tokens": 10, "completion_tokens": 5, "duration_ms": 20}
    rows = project(
        AiUsage(),
        ("ai.prompt_sent", call | {"prompt": "?"}),
        ("ai.response_received", answer | {"cost_usd": "0.1"}),
        ("ai.response_received", answer | {"cost_usd": "0.2"}),
        ("ai.response_received", answer),
        ("ai.response_received", answer | {"cost_usd": "0", "quality_metrics": {"memo": "hit"}, "duration_ms": 1}),
        ("ai.tokens_used", call | {"prompt_tokens": 7, "cost_usd": "0.01"}),
        ("ai.call_failed", call | {"outcome": "failed", "cost_usd": "0"}),
        ("ai.call_failed", call | {"outcome": "lost", "cost_usd": "0.5"}),
        ("ai.rate_limit_hit", call | {"limit_type": "requests"}),
    )
    row = rows["2026-05-04/scripted/small"]
    assert row["cost_usd"] == "0.81"
    assert (row["requests"], row["responses"], row["hits"], row["unpriced"]) == (8, 4, 1, 1)
    assert (row["failures"], row["lost"], row["rate_limits"]) == (2, 1, 1)
    assert (row["prompt_tokens"], row["completion_tokens"]) == (47, 20)
    assert row["duration_ms"]["min"] == 20


def test_service_health_knows_availability_and_the_latest_errors() -> None:
    call = {"call_id": "c", "service": "files", "tool": "read"}
    rows = project(
        ServiceHealth(),
        ("service.registered", {"service": "files", "endpoint": "stdio:files", "capabilities": ["read"]}),
        *[("service.call_completed", call | {"duration_ms": 10})] * 3,
        ("service.call_failed", call | {"error_message": "gone", "duration_ms": 30}),
    )
    row = rows["files"]
    assert (row["availability"], row["consecutive_failures"], row["registered"]) == (0.75, 1, True)
    assert [error["error"] for error in row["errors"]] == ["gone"]
    assert (row["duration_ms"]["min"], row["duration_ms"]["max"]) == (10, 30)


def test_document_catalog_follows_a_document() -> None:
    first, second = received(1).data, dict(received(1).data) | {"sha256": "f" * 64}
    own = {"document_id": "doc-1", "sha256": "f" * 64}
    rows = project(
        DocumentCatalog(),
        ("document.received", dict(first)),
        ("document.received", dict(first)),
        ("document.received", second),
        ("document.ready", own | {"chunks": 3, "concepts": 2, "edges": 1}),
    )
    row = rows["doc-1"]
    assert (row["status"], row["revisions"], row["chunks"]) == ("ready", 2, 3)
    gone = project(
        DocumentCatalog(), ("document.received", dict(first)), ("document.removed", {"document_id": "doc-1"})
    )
    assert gone["doc-1"]["status"] == "removed"


def test_every_projection_listens_to_known_types() -> None:
    from resources.events.catalog import CATALOG

    for projection in PROJECTIONS:
        assert projection.types <= set(CATALOG.types)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.95, 0.99, 1.0])
def test_quantiles_are_right_within_five_percent(share: float) -> None:
    values = [0.0, *[1.017**number for number in range(700)]]
    counts: dict[str, Any] = {}
    for value in values:
        sketch.add(counts, value)
    exact = sorted(values)[round(share * (len(values) - 1))]
    assert sketch.quantile(counts, share) == pytest.approx(exact, rel=0.05)
    assert sketch.quantile({}, share) is None
    assert sketch.mean(counts) == pytest.approx(sum(values) / len(values))
