"""The lean executor in warm workers: runs launched, cancelled and continued as users do it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from dagster import DagsterRunStatus
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import ModuleTarget
from dagster_graphql.test.utils import execute_dagster_graphql

from definitions.runtime.outputs import NodeOutputs
from tests.definitions.runtime.conftest import wait_until
from tests.definitions.runtime.lean.conftest import Finished
from tests.definitions.runtime.lean.location import THREADS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.definitions.runtime.conftest import Runtime
    from tests.definitions.runtime.lean.conftest import Lean

pytestmark = pytest.mark.timeout(180)

LOCATION = "tests.definitions.runtime.lean.location"

LAUNCH = """
mutation ($selector: JobOrPipelineSelector!) {
  launchRun(executionParams: {selector: $selector, runConfigData: {}}) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
  }
}
"""
AGAIN = """
mutation ($run: String!) {
  launchRunReexecution(reexecutionParams: {parentRunId: $run, strategy: FROM_FAILURE}) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
  }
}
"""


def finished(runtime: Runtime, run_id: str) -> Finished:
    run = runtime.instance.get_run_by_id(run_id)
    assert run is not None
    return Finished(runtime.instance, run)


def test_a_cancelled_worker_with_a_thread_that_goes_on_is_replaced(
    runtime: Runtime, serial: Lean, flag: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(THREADS, "4")
    pool = runtime.start_pool("--workers", "1", module=LOCATION)
    wait_until(lambda: pool.workers)
    first = pool.workers[0].pid
    run_id = runtime.launch_run(runtime.instance.create_run_for_job(serial.jobs["lingering"]))
    wait_until(lambda: flag.with_name("flag.begun").exists())
    asked = time.monotonic()
    assert runtime.launcher.terminate(run_id)
    assert runtime.end_of(run_id) == DagsterRunStatus.CANCELED
    assert time.monotonic() - asked < 8  # the worker was not killed for it
    wait_until(lambda: {worker.pid for worker in pool.workers} - {first})
    after = runtime.launch_run(runtime.instance.create_run_for_job(serial.jobs["chain"]))
    assert runtime.end_of(after) == DagsterRunStatus.SUCCESS


def test_graphql_continues_a_failed_run_from_the_step_that_failed(runtime: Runtime, flag: Path) -> None:
    runtime.start_pool("--workers", "1", module=LOCATION)
    with WorkspaceProcessContext(runtime.instance, ModuleTarget(LOCATION, None, None, "here")) as process:
        context = process.create_request_context()

        def ask(question: str, answer: str, **variables: Any) -> str:
            reply = execute_dagster_graphql(context, question, variables=variables).data[answer]
            assert reply["__typename"] == "LaunchRunSuccess", reply
            return str(reply["run"]["runId"])

        selector = {"repositoryLocationName": "here", "repositoryName": "__repository__", "jobName": "failing"}
        failed = ask(LAUNCH, "launchRun", selector=selector)
        assert runtime.end_of(failed) == DagsterRunStatus.FAILURE
        flag.touch()
        again = ask(AGAIN, "launchRunReexecution", run=failed)
        assert runtime.end_of(again) == DagsterRunStatus.SUCCESS
    assert finished(runtime, again).steps("STEP_SUCCESS") == ["broken", "after"]
    assert NodeOutputs(runtime.database).read(again, "after") == 2
