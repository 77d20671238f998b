"""The event log on PostgreSQL: what it promises although it writes later."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import threading
import uuid
from typing import TYPE_CHECKING, Any

import psycopg
import psycopg2
import pytest
from dagster import AssetKey, AssetMaterialization, DagsterEventType, DagsterRunStatus
from dagster._core.events import DagsterEvent

from definitions.runtime.lean import compatibility
from definitions.runtime.lean import postgres as courier
from definitions.runtime.lean.event_log import WriteBehindEventLogStorage
from definitions.runtime.lean.outbox import OUTBOXES
from definitions.runtime.storage import PooledEventLogStorage
from resources.errors import UnavailableError
from tests.definitions.runtime.conftest import ROOT, dagster_url, variables

if TYPE_CHECKING:
    from dagster import DagsterRun

    from tests.definitions.runtime.conftest import Runtime


def storage_of(runtime: Runtime) -> WriteBehindEventLogStorage:
    storage = runtime.instance.event_log_storage
    assert isinstance(storage, WriteBehindEventLogStorage)
    return storage


def say(runtime: Runtime, run: DagsterRun, text: str) -> None:
    runtime.instance.report_engine_event(text, run)


def texts(runtime: Runtime, run: DagsterRun) -> list[str]:
    """What others see in the log."""
    statement = (
        "SELECT event::jsonb -> 'dagster_event' ->> 'message' FROM dagster.event_logs WHERE run_id = %s ORDER BY id"
    )
    with psycopg.connect(runtime.url) as connection:
        return [row[0] for row in connection.execute(statement, (run.run_id,))]


def start(runtime: Runtime, run: DagsterRun) -> None:
    runtime.instance.report_dagster_event(
        DagsterEvent(DagsterEventType.RUN_START.value, run.job_name, message="It has begun."), run.run_id
    )


def succeed(runtime: Runtime, run: DagsterRun) -> None:
    runtime.instance.report_dagster_event(
        DagsterEvent(DagsterEventType.RUN_SUCCESS.value, run.job_name, message="It has ended."), run.run_id
    )


@pytest.fixture
def run(lean_runtime: Runtime) -> DagsterRun:
    return lean_runtime.create("noting")


def test_whoever_writes_reads_it_at_once(lean_runtime: Runtime, run: DagsterRun) -> None:
    say(lean_runtime, run, "one")
    say(lean_runtime, run, "two")
    assert [entry.message for entry in lean_runtime.instance.all_logs(run.run_id)] == ["one", "two"]


def test_another_storage_of_the_process_reads_it_at_once(lean_runtime: Runtime, run: DagsterRun) -> None:
    say(lean_runtime, run, "one")
    other = WriteBehindEventLogStorage(dagster_url(lean_runtime.url))
    assert [entry.message for entry in other.get_logs_for_run(run.run_id)] == ["one"]


def test_awkward_characters_survive(lean_runtime: Runtime, run: DagsterRun) -> None:
    text = "a\ttab, a\nline, a \\ and \\N, 100 %, ünïcödé, \x00, 'quotes' \"more\" {braces}"
    say(lean_runtime, run, text)
    (entry,) = lean_runtime.instance.all_logs(run.run_id)
    assert entry.message == text


def test_the_start_of_a_run_is_seen_by_whoever_asks_in_this_process(lean_runtime: Runtime, run: DagsterRun) -> None:
    start(lean_runtime, run)
    assert lean_runtime.status(run.run_id) == DagsterRunStatus.STARTED
    record = lean_runtime.instance.get_run_record_by_id(run.run_id)
    assert record is not None
    assert record.start_time is not None
    assert record.dagster_run.status == DagsterRunStatus.STARTED


def test_a_run_that_is_being_cancelled_is_not_started(lean_runtime: Runtime, run: DagsterRun) -> None:
    lean_runtime.instance.report_run_canceling(run)
    start(lean_runtime, run)
    assert lean_runtime.status(run.run_id) == DagsterRunStatus.CANCELING


def test_a_run_that_has_failed_does_not_succeed_afterwards(lean_runtime: Runtime, run: DagsterRun) -> None:
    lean_runtime.instance.report_run_failed(run)
    succeed(lean_runtime, run)
    assert lean_runtime.status(run.run_id) == DagsterRunStatus.FAILURE


def test_success_is_seen_together_with_the_last_event(lean_runtime: Runtime, run: DagsterRun) -> None:
    say(lean_runtime, run, "working")
    start(lean_runtime, run)
    succeed(lean_runtime, run)
    assert texts(lean_runtime, run) == ["working", "It has begun.", "It has ended."]
    assert lean_runtime.status(run.run_id) == DagsterRunStatus.SUCCESS


def test_a_materialization_is_in_the_index_of_assets_at_once(lean_runtime: Runtime, run: DagsterRun) -> None:
    key = AssetKey(f"asset_{uuid.uuid4().hex}")
    say(lean_runtime, run, "before")
    lean_runtime.instance.report_runless_asset_event(AssetMaterialization(key))
    event = lean_runtime.instance.get_latest_materialization_event(key)
    assert event is not None
    assert lean_runtime.instance.has_asset_key(key)
    assert texts(lean_runtime, run) == ["before"]


def test_a_batch_is_announced_with_its_newest_id(lean_runtime: Runtime, run: DagsterRun) -> None:
    with psycopg.connect(lean_runtime.url, autocommit=True) as connection:
        connection.execute("LISTEN run_events")
        say(lean_runtime, run, "one")
        say(lean_runtime, run, "two")
        storage_of(lean_runtime).flush()
        newest = connection.execute(
            "SELECT max(id) FROM dagster.event_logs WHERE run_id = %s", (run.run_id,)
        ).fetchone()
        assert newest is not None
        assert select.select([connection], [], [], 10)[0] or True
        payloads = [note.payload for note in connection.notifies(timeout=1)]
    assert f"{run.run_id}_{newest[0]}" in payloads


# ---------------------------------------------------------------------- faults


def test_a_confirmation_that_is_lost_doubles_nothing(
    lean_runtime: Runtime, run: DagsterRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = courier.PostgresCourier._commit
    lost: list[int] = []

    def commit_and_lose(self: courier.PostgresCourier, cursor: Any) -> None:
        commit(self, cursor)
        if not lost:
            lost.append(1)
            raise psycopg2.OperationalError("server closed the connection unexpectedly")

    storage_of(lean_runtime).flush()
    monkeypatch.setattr(courier.PostgresCourier, "_commit", commit_and_lose)
    say(lean_runtime, run, "one")
    start(lean_runtime, run)
    storage_of(lean_runtime).flush()
    say(lean_runtime, run, "two")
    storage_of(lean_runtime).flush()
    assert lost
    assert texts(lean_runtime, run) == ["one", "It has begun.", "two"]


def test_a_connection_that_dies_in_the_middle_loses_nothing(
    lean_runtime: Runtime, run: DagsterRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    died: list[int] = []
    commit = courier.PostgresCourier._commit

    def die(self: courier.PostgresCourier, cursor: Any) -> None:
        if not died:
            died.append(1)
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        commit(self, cursor)

    monkeypatch.setattr(courier.PostgresCourier, "_commit", die)
    say(lean_runtime, run, "one")
    storage_of(lean_runtime).flush()
    assert died
    assert texts(lean_runtime, run) == ["one"]


def test_a_run_whose_log_was_given_up_cannot_succeed_but_fail(
    lean_runtime: Runtime, run: DagsterRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = storage_of(lean_runtime)
    storage.flush()
    outbox = OUTBOXES.get(storage.postgres_url, pytest.fail)
    monkeypatch.setattr(outbox, "patience", 0.0)

    def away(*_: object, **__: object) -> None:
        raise UnavailableError("away", dependency="database")

    with monkeypatch.context() as fault:
        fault.setattr(courier.PostgresCourier, "deliver", away)
        say(lean_runtime, run, "lost")
        with pytest.raises(UnavailableError):
            storage.flush()
    with pytest.raises(UnavailableError, match="ends early"):
        succeed(lean_runtime, run)
    lean_runtime.instance.report_run_failed(run, "It failed.")
    assert lean_runtime.status(run.run_id) == DagsterRunStatus.FAILURE
    assert texts(lean_runtime, run) == ["It failed."]


_WRITER = """
import sys
from dagster import DagsterEventType, DagsterInstance
from dagster._core.events import DagsterEvent
from dagster._core.utils import make_new_run_id

with DagsterInstance.get() as instance:
    for number in range(int(sys.argv[1])):
        run = instance.create_run_for_job(__import__("tests.definitions.runtime.location", fromlist=["x"]).noting)
        for _ in range(20):
            instance.report_engine_event("x" * 500, run)
        for kind in (DagsterEventType.RUN_START, DagsterEventType.RUN_SUCCESS):
            instance.report_dagster_event(DagsterEvent(kind.value, "noting", message="m"), run.run_id)
"""


def test_whoever_follows_the_ids_of_job_events_misses_none(runtime: Runtime) -> None:
    count = 15
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(count)],
            cwd=ROOT,
            env={**os.environ, **variables(runtime.url, runtime.home)},
        )
        for _ in range(2)
    ]
    seen: list[int] = []
    statement = "SELECT id FROM dagster.event_logs WHERE id > %s AND dagster_event_type LIKE 'PIPELINE_%%' ORDER BY id LIMIT 100"
    with psycopg.connect(runtime.url, autocommit=True) as connection:
        while any(writer.poll() is None for writer in writers):
            seen += [row[0] for row in connection.execute(statement, (seen[-1] if seen else 0,))]
        seen += [row[0] for row in connection.execute(statement, (seen[-1] if seen else 0,))]
        every = [row[0] for row in connection.execute(statement.replace(" LIMIT 100", ""), (0,))]
    assert [writer.returncode for writer in writers] == [0, 0]
    assert len(every) >= 2 * 2 * count
    assert seen == every


def test_threads_that_write_assets_and_events_at_once_do_not_block_each_other(lean_runtime: Runtime) -> None:
    runs = [lean_runtime.create("noting") for _ in range(4)]

    def work(run: DagsterRun) -> None:
        for number in range(10):
            say(lean_runtime, run, f"{number}")
            lean_runtime.instance.report_runless_asset_event(AssetMaterialization(f"shared_{number % 2}"))
        succeed(lean_runtime, run)

    threads = [threading.Thread(target=work, args=(run,)) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for run in runs:
        assert texts(lean_runtime, run)[:10] == [str(number) for number in range(10)]
        assert lean_runtime.status(run.run_id) == DagsterRunStatus.SUCCESS


# ---------------------------------------------------------------------- other releases, other tables


def test_with_another_dagster_events_are_stored_as_stock_does(
    lean_runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compatibility, "TESTED", {"dagster": ("0.0.1",)})
    compatibility.differs.cache_clear()
    try:
        storage = WriteBehindEventLogStorage.from_config_value(None, {"postgres_url": dagster_url(lean_runtime.url)})
        assert type(storage) is PooledEventLogStorage
    finally:
        compatibility.differs.cache_clear()


def test_a_missing_private_part_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compatibility, "PRIVATE_PARTS", {"dagster._core.events": {"DagsterEvent.gone": ()}})
    compatibility.differs.cache_clear()
    try:
        assert compatibility.differs() == "dagster._core.events has no DagsterEvent.gone"
    finally:
        compatibility.differs.cache_clear()


def test_without_the_platforms_tables_events_are_stored_as_stock_does(empty_database_url: str) -> None:
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA dagster")
    storage = WriteBehindEventLogStorage(dagster_url(empty_database_url))
    assert not storage.writes_behind
    assert not storage.handles_run_events_in_store_event
