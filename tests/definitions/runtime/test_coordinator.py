"""Who may begin at once, who waits, and that tenants get their share."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from dagster import DagsterRunStatus, RunsFilter
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import EmptyWorkspaceTarget
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon

from definitions.runtime.coordinator import FastLaneCoordinator
from tests.definitions.runtime.conftest import new_runtime, wait_until
from tests.definitions.runtime.workflows import Engine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.definitions.runtime.conftest import Runtime
    from tests.fixtures.servers import PostgresAddress

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def limited(postgres_server: PostgresAddress, tmp_path: Path) -> Iterator[Runtime]:
    """A runtime without a pool, with four runs at a time for a tenant and ten in all."""
    with new_runtime(postgres_server, tmp_path / "home", max_runs=10, max_runs_per_tenant=4) as runtime:
        yield runtime


@contextmanager
def _daemon(runtime: Runtime) -> Iterator[Callable[[], None]]:
    """One look of Dagster's daemon at its queue."""
    with WorkspaceProcessContext(runtime.instance, EmptyWorkspaceTarget()) as workspace:
        daemon = QueuedRunCoordinatorDaemon(interval_seconds=1)

        def look() -> None:
            list(daemon.run_iteration(workspace))

        yield look


def _statuses(runtime: Runtime, ids: list[str]) -> list[str]:
    return [runtime.status(run_id).value for run_id in ids]


def test_the_instance_uses_it_with_the_limits_of_the_settings(limited: Runtime) -> None:
    coordinator = limited.instance.run_coordinator
    assert isinstance(coordinator, FastLaneCoordinator)
    assert coordinator.dequeue_interval_seconds == 0.2
    assert coordinator.get_run_queue_config().max_concurrent_runs == 10


def test_runs_begin_at_once_up_to_the_tenants_limit_and_wait_beyond(limited: Runtime) -> None:
    engine, other = Engine(limited), Engine(limited)
    mine = [engine.launch("hello") for _ in range(6)]
    theirs = [other.launch("hello") for _ in range(2)]
    assert _statuses(limited, mine) == ["STARTING"] * 4 + ["QUEUED"] * 2
    assert _statuses(limited, theirs) == ["STARTING"] * 2


def test_nobody_overtakes_the_own_queue(limited: Runtime) -> None:
    engine = Engine(limited)
    ids = [engine.launch("hello") for _ in range(5)]
    assert engine.launcher.cancel(ids[0], tenant=engine.tenant)
    latest = engine.launch("hello")
    assert limited.status(latest) is DagsterRunStatus.QUEUED
    with _daemon(limited) as look:
        look()
    assert _statuses(limited, [ids[4], latest]) == ["STARTING", "QUEUED"]


def test_all_tenants_together_have_a_limit(limited: Runtime) -> None:
    ids = [engine.launch("hello") for engine in (Engine(limited), Engine(limited), Engine(limited)) for _ in range(4)]
    assert _statuses(limited, ids) == ["STARTING"] * 10 + ["QUEUED"] * 2


def test_a_workflow_runs_as_often_at_a_time_as_it_says(limited: Runtime) -> None:
    engine = Engine(limited)
    engine.publish("name: narrow\nconfig: {concurrency: 2}\nnodes:\n  one: {type: template, config: {template: x}}\n")
    ids = [engine.launch("narrow") for _ in range(3)]
    assert _statuses(limited, ids) == ["STARTING", "STARTING", "QUEUED"]
    with _daemon(limited) as look:
        look()
        assert limited.status(ids[2]) is DagsterRunStatus.QUEUED
        engine.launcher.cancel(ids[0], tenant=engine.tenant)
        look()
    assert limited.status(ids[2]) is DagsterRunStatus.STARTING


def test_a_queued_run_is_cancelled(limited: Runtime) -> None:
    engine = Engine(limited)
    ids = [engine.launch("hello") for _ in range(5)]
    assert engine.launcher.cancel(ids[4], tenant=engine.tenant)
    assert limited.status(ids[4]) is DagsterRunStatus.CANCELED


def test_two_hundred_runs_of_two_tenants_at_once_end_side_by_side(limited: Runtime) -> None:
    one, other = Engine(limited), Engine(limited)
    text = "name: tiny\nnodes:\n  one: {type: template, config: {template: x}}\n"
    for engine in (one, other):
        engine.publish(text)
    for engine in (one, other):
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(lambda _, engine=engine: engine.launch("tiny"), range(100)))
    limited.start_pool("--workers", "2")
    with _daemon(limited) as look:

        def all_ended() -> bool:
            look()
            return limited.instance.get_runs_count(RunsFilter(statuses=[DagsterRunStatus.SUCCESS])) == 200

        wait_until(all_ended, seconds=120)
    records = sorted(limited.instance.get_run_records(), key=lambda record: record.end_time or 0.0)
    first_half = [record.dagster_run.tags["aiw/tenant"] for record in records[:100]]
    # The one was there first with all of its runs; the other does not wait for them.
    assert 25 <= first_half.count(other.tenant) <= 75
