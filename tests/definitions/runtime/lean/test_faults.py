"""What becomes of a run when a step takes too long, somebody cancels it, or something dies under it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import dagster as dg
import psycopg
import pytest
from dagster import DagsterRunStatus

from definitions.runtime.lean.threads import has_abandoned_threads
from definitions.runtime.outputs import NodeOutputs
from resources.database.migrations import migrate
from resources.database.postgres import Database
from resources.servers.postgres import EmbeddedPostgres
from tests.definitions.runtime.conftest import ROOT, new_runtime, variables, wait_until
from tests.definitions.runtime.lean.conftest import Finished
from tests.definitions.runtime.lean.location import THREADS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.definitions.runtime.conftest import Runtime
    from tests.definitions.runtime.lean.conftest import Lean

# ---------------------------------------------------------------------- time limits


@pytest.fixture
def released(flag: Path) -> Iterator[None]:
    """At the end, lets abandoned threads end."""
    yield
    flag.touch()
    wait_until(lambda: not has_abandoned_threads(), seconds=10)


@pytest.mark.usefixtures("released")
@pytest.mark.parametrize("job", ["timing_out", "timing_out_async", "timing_out_in_a_generator"])
def test_a_step_that_takes_too_long_fails_and_says_so(lean: Lean, job: str) -> None:
    finished = lean.run(job)
    assert finished.status == "FAILURE"
    ((step, (causes, _, _)),) = finished.failures.items()
    assert causes[-1][0] == "StepTimedOutError"
    assert f"Step '{step}' timed out after 0.2 s." in causes[-1][1]
    assert "add_one" not in finished.steps("STEP_START")


@pytest.mark.usefixtures("released")
def test_a_step_that_cannot_be_stopped_is_known_to_go_on(lean: Lean) -> None:
    assert not has_abandoned_threads()
    lean.run("timing_out")
    assert has_abandoned_threads()


def test_a_coroutine_that_takes_too_long_is_stopped(lean: Lean) -> None:
    lean.run("timing_out_async")
    wait_until(lambda: not has_abandoned_threads(), seconds=10)


@pytest.mark.usefixtures("released")
def test_a_step_that_takes_too_long_is_tried_again_if_its_policy_says_so(lean: Lean) -> None:
    finished = lean.run("timing_out_at_first")
    assert finished.status == "SUCCESS"
    assert finished.steps("STEP_UP_FOR_RETRY") == finished.steps("STEP_RESTARTED") == ["too_slow_at_first"]
    assert lean.outputs.read(finished.run_id, "add_one") == 2


def test_what_an_abandoned_step_does_later_is_not_recorded(lean: Lean, flag: Path) -> None:
    finished = lean.run("timing_out")
    before = finished.events
    flag.touch()
    wait_until(lambda: not has_abandoned_threads(), seconds=10)
    assert finished.events == before
    assert "too_slow" not in finished.steps("STEP_SUCCESS")


def test_independent_steps_are_executed_at_a_time(threads: Lean) -> None:
    finished = threads.run("napping")
    assert finished.status == "SUCCESS"
    starts = {step.step_key: step.start_time for step in finished.instance.get_run_step_stats(finished.run_id)}
    ends = {step.step_key: step.end_time for step in finished.instance.get_run_step_stats(finished.run_id)}
    naps = [key for key in starts if "nap_" in key]
    assert max(starts[key] or 0 for key in naps) < min(ends[key] or 0 for key in naps)


# ---------------------------------------------------------------------- storing fails


def test_a_value_that_cannot_be_stored_fails_its_step(lean: Lean) -> None:
    finished = lean.run("unstorable")
    assert finished.status == "FAILURE"
    (causes, _, _) = finished.failures["not_storable"]
    assert [name for name, _ in causes] == ["DagsterExecutionHandleOutputError", causes[1][0], causes[2][0]][
        : len(causes)
    ]
    assert "cannot be stored as the output of a step" in str(finished.instance.all_logs(finished.run_id))


def test_fifty_megabytes_are_a_value_like_any_other(lean: Lean) -> None:
    finished = lean.run("large")
    assert lean.outputs.read(finished.run_id, "size_of") == 50 * 1024 * 1024
    assert len(lean.outputs.read(finished.run_id, "big")) == 50 * 1024 * 1024


# ---------------------------------------------------------------------- processes


class Process:
    """A run in a process of its own."""

    def __init__(self, runtime: Runtime, lean: Lean, job: str, *, threads: int) -> None:
        self.runtime = runtime
        self.run = runtime.instance.create_run_for_job(lean.jobs[job])
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.definitions.runtime.lean.process", self.run.run_id],
            cwd=ROOT,
            env={**os.environ, **variables(runtime.url, runtime.home), THREADS: str(threads)},
        )

    @property
    def status(self) -> DagsterRunStatus:
        return self.runtime.status(self.run.run_id)

    @property
    def finished(self) -> Finished:
        return Finished(self.runtime.instance, self.run)


@contextmanager
def process(runtime: Runtime, lean: Lean, job: str, *, threads: int = 1) -> Iterator[Process]:
    started = Process(runtime, lean, job, threads=threads)
    try:
        yield started
    finally:
        started.process.kill()
        started.process.wait()


@pytest.mark.parametrize("threads", [1, 8])
@pytest.mark.parametrize("job", ["lingering", "lingering_with_policy"])
def test_a_run_is_cancelled_in_the_middle_of_a_step(
    lean_runtime: Runtime, serial: Lean, flag: Path, job: str, threads: int
) -> None:
    with process(lean_runtime, serial, job, threads=threads) as going:
        wait_until(lambda: flag.with_name("flag.begun").exists())
        lean_runtime.instance.report_run_canceling(going.run)
        going.process.send_signal(signal.SIGINT)
        assert going.process.wait(30) == 0
        assert going.status == DagsterRunStatus.CANCELED
        assert going.finished.steps("STEP_FAILURE") == ["linger" if job == "lingering" else "linger_with_policy"]
        assert "add_one" not in going.finished.steps("STEP_START")


def test_a_killed_run_leaves_a_clean_beginning_and_is_continued_from_there(
    lean_runtime: Runtime, serial: Lean, monkeypatch: pytest.MonkeyPatch
) -> None:
    with process(lean_runtime, serial, "long_chain") as going:
        wait_until(lambda: len(going.finished.steps("STEP_SUCCESS")) > 10)
        going.process.send_signal(signal.SIGKILL)
        going.process.wait()
    done = going.finished.steps("STEP_SUCCESS")
    assert going.status == DagsterRunStatus.STARTED
    assert done == ["one", *(f"short_{number}" for number in range(len(done) - 1))]
    for step in done:
        assert serial.outputs.read(going.run.run_id, step) == 1
    whole = ["STEP_START", "LOADED_INPUT", "STEP_INPUT", "STEP_OUTPUT", "HANDLED_OUTPUT", "STEP_SUCCESS"]
    for key, kinds in going.finished.order.items():
        if key is not None and key != "one":
            assert kinds == whole[: len(kinds)]

    lean_runtime.instance.report_run_failed(going.run)
    for name, value in variables(lean_runtime.url, lean_runtime.home).items():
        monkeypatch.setenv(name, value)
    again = reexecute(lean_runtime, "long_chain", going.run.run_id)
    assert again.status == "SUCCESS"
    assert again.steps("STEP_SUCCESS") == [f"short_{number}" for number in range(len(done) - 1, 100)]


def reexecute(runtime: Runtime, job: str, run_id: str) -> Finished:
    """As Dagster's Python API does it."""
    location = "tests.definitions.runtime.lean.location"
    reconstructable = dg.build_reconstructable_job(
        location, "job_named", (job,), {}, reconstructor_working_directory=str(ROOT)
    )
    options = dg.ReexecutionOptions.from_failure(run_id, runtime.instance)
    with dg.execute_job(reconstructable, runtime.instance, reexecution_options=options) as result:
        return Finished(runtime.instance, result.dagster_run)


def test_what_had_succeeded_is_loaded_and_not_executed_again(
    lean_runtime: Runtime, lean: Lean, flag: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = lean.run("failing")
    flag.touch()
    for name, value in variables(lean_runtime.url, lean_runtime.home).items():
        monkeypatch.setenv(name, value)
    again = reexecute(lean_runtime, "failing", failed.run_id)
    assert again.status == "SUCCESS"
    assert again.steps("STEP_SUCCESS") == ["broken", "after"]
    assert lean.outputs.read(again.run_id, "after") == 2


# ---------------------------------------------------------------------- the database


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(tmp_path / "postgres")
    server.start()
    try:
        yield server
    finally:
        server.stop()


class Address:
    """A server of the test's own, as `new_runtime` wants it."""

    def __init__(self, server: EmbeddedPostgres) -> None:
        self._server = server

    def create(self, database: str, **_: Any) -> str:
        with psycopg.connect(self._server.url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {database}".encode())
        url = self._server.url_of(database)
        migrated = Database(url)
        migrate(migrated)
        migrated.close()
        return url

    def drop(self, database: str) -> None:
        pass


@pytest.mark.timeout(180)
def test_a_restart_of_the_database_is_not_noticed_by_a_run(
    own_server: EmbeddedPostgres, tmp_path: Path, serial: Lean
) -> None:
    address: Any = Address(own_server)
    with new_runtime(address, tmp_path / "home") as runtime, process(runtime, serial, "long_chain") as going:
        wait_until(lambda: len(going.finished.steps("STEP_SUCCESS")) > 10)
        own_server.stop()
        restart = threading.Timer(1.0, own_server.start)
        restart.start()
        restart.join()
        assert going.process.wait(60) == 0
        wait_until(lambda: going.status == DagsterRunStatus.SUCCESS)
        steps = ["one", *(f"short_{number}" for number in range(100))]
        assert going.finished.steps("STEP_SUCCESS") == steps
        assert going.finished.steps("STEP_START") == steps
        outputs = NodeOutputs(runtime.database)
        assert {outputs.read(going.run.run_id, step) for step in steps} == {1}
