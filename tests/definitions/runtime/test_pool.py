"""Runs through the launcher and a pool of real processes, and what happens when parts of it die."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import psutil
import pytest
from dagster import AssetKey, DagsterEventType, DagsterRunStatus
from dagster._core.launcher.base import WorkerStatus

from definitions.runtime.processes import host_id
from tests.definitions.runtime.conftest import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.definitions.runtime.conftest import Runtime

pytestmark = pytest.mark.timeout(180)


def _note(path: Path, *ops: str) -> dict[str, object]:
    return {"ops": {op: {"config": {"path": str(path)}} for op in ops or ("note",)}}


def _linger(path: Path) -> dict[str, object]:
    return {"ops": {"linger": {"config": {"path": str(path)}}}}


def _lingering(runtime: Runtime, path: Path) -> tuple[str, int]:
    """A run that is under way, and the process that executes it."""
    run_id = runtime.launch("lingering", config=_linger(path))
    wait_until(lambda: path.exists() and path.read_text())
    return run_id, int(path.read_text())


# ---------------------------------------------------------------------- ordinary runs


def test_a_run_succeeds_in_a_warm_worker(warm: Runtime, tmp_path: Path) -> None:
    run_id = warm.launch("noting", config=_note(tmp_path / "notes"))
    assert warm.end_of(run_id) == DagsterRunStatus.SUCCESS
    _, pid = (tmp_path / "notes").read_text().split()
    assert int(pid) in [worker.pid for worker in warm.pools[0].workers]


def test_a_run_that_has_ended_leaves_the_queue(warm: Runtime, tmp_path: Path) -> None:
    run_id = warm.launch("noting", config=_note(tmp_path / "notes"))
    wait_until(lambda: warm.queue.find(run_id) is None)
    assert warm.status(run_id) == DagsterRunStatus.SUCCESS


def test_a_run_that_fails_says_why(warm: Runtime) -> None:
    run_id = warm.launch("failing")
    assert warm.end_of(run_id) == DagsterRunStatus.FAILURE
    (event,) = warm.instance.all_logs(run_id, of_type=DagsterEventType.STEP_FAILURE)
    assert "this op always fails" in str(event.get_dagster_event().step_failure_data.error)


def test_a_run_of_an_unknown_job_fails_with_a_reason(warm: Runtime) -> None:
    run = warm.create("failing")._replace(job_name="gone", run_id="00000000-0000-4000-8000-000000000001")
    warm.instance.add_run(run)
    assert warm.end_of(warm.launch_run(run)) == DagsterRunStatus.FAILURE
    assert "Could not load job definition" in warm.messages(run.run_id)


def test_selected_ops_alone_are_executed(warm: Runtime, tmp_path: Path) -> None:
    from tests.definitions.runtime import location

    job = location.defs.resolve_job_def("two_notes").get_subset(op_selection=["second"])
    run = warm.instance.create_run_for_job(
        job, run_config=_note(tmp_path / "notes", "second"), op_selection=["second"], resolved_op_selection={"second"}
    )
    assert warm.end_of(warm.launch_run(run)) == DagsterRunStatus.SUCCESS
    assert len((tmp_path / "notes").read_text().splitlines()) == 1


def test_selected_assets_of_a_partition_are_materialised(warm: Runtime) -> None:
    warm.instance.add_dynamic_partitions("documents", ["guide", "manual"])
    first = warm.launch_assets("document", "chunks", partition="guide")
    second = warm.launch_assets("chunks", partition="manual")
    assert warm.end_of(first) == warm.end_of(second) == DagsterRunStatus.SUCCESS

    def materialised(run_id: str) -> set[tuple[str | None, str | None]]:
        records = warm.instance.all_logs(run_id, of_type=DagsterEventType.ASSET_MATERIALIZATION)
        events = [record.get_dagster_event() for record in records]
        return {(event.asset_key.to_user_string() if event.asset_key else None, event.partition) for event in events}

    assert materialised(first) == {("document", "guide"), ("chunks", "guide")}
    assert materialised(second) == {("chunks", "manual")}
    assert warm.instance.get_materialized_partitions(AssetKey("chunks")) >= {"guide", "manual"}


def test_a_partition_that_was_added_after_the_workers_began_is_known(warm: Runtime) -> None:
    warm.instance.add_dynamic_partitions("documents", ["latecomer"])
    run_id = warm.launch("everything", tags={"dagster/partition": "latecomer"})
    assert warm.end_of(run_id) == DagsterRunStatus.SUCCESS


def test_what_a_step_prints_is_kept_for_the_ui(warm: Runtime) -> None:
    run_id = warm.launch("speaking")
    warm.end_of(run_id)
    (event,) = warm.instance.all_logs(run_id, of_type=DagsterEventType.LOGS_CAPTURED)
    manager = warm.instance.compute_log_manager
    log_key = manager.build_log_key_for_run(run_id, event.get_dagster_event().logs_captured_data.file_key)
    wait_until(lambda: manager.is_capture_complete(log_key))
    captured = manager.get_log_data(log_key)
    assert captured.stdout == b"said on standard output\n"


def test_many_runs_at_once_are_all_executed_once(warm: Runtime, tmp_path: Path) -> None:
    ids = [warm.launch("noting", config=_note(tmp_path / "notes")) for _ in range(20)]
    assert {warm.end_of(run_id) for run_id in ids} == {DagsterRunStatus.SUCCESS}
    executed = [line.split()[0] for line in (tmp_path / "notes").read_text().splitlines()]
    assert sorted(executed) == sorted(ids)


# ---------------------------------------------------------------------- cancelling


def test_a_running_run_is_cancelled(warm: Runtime, tmp_path: Path) -> None:
    run_id, pid = _lingering(warm, tmp_path / "pid")
    assert warm.launcher.terminate(run_id)
    assert warm.end_of(run_id) == DagsterRunStatus.CANCELED
    assert psutil.pid_exists(pid)


def test_a_waiting_run_is_cancelled_without_a_pool(runtime: Runtime, tmp_path: Path) -> None:
    run_id = runtime.launch("noting", config=_note(tmp_path / "notes"))
    assert runtime.launcher.terminate(run_id)
    assert runtime.status(run_id) == DagsterRunStatus.CANCELED
    assert runtime.queue.find(run_id) is None


def test_a_run_that_has_ended_cannot_be_cancelled(warm: Runtime, tmp_path: Path) -> None:
    run_id = warm.launch("noting", config=_note(tmp_path / "notes"))
    assert warm.end_of(run_id) == DagsterRunStatus.SUCCESS
    assert not warm.launcher.terminate(run_id)
    assert warm.status(run_id) == DagsterRunStatus.SUCCESS


def test_a_run_that_no_worker_has_any_more_is_cancelled(runtime: Runtime) -> None:
    run = runtime.create("failing")
    runtime.instance.run_storage.add_run(run._replace(run_id="00000000-0000-4000-8000-000000000002"))
    assert runtime.launcher.terminate("00000000-0000-4000-8000-000000000002")
    assert runtime.status("00000000-0000-4000-8000-000000000002") == DagsterRunStatus.CANCELED


# ---------------------------------------------------------------------- health


def test_health_tells_a_run_with_a_worker_from_one_without(runtime: Runtime) -> None:
    run = runtime.create("failing")
    assert runtime.launcher.check_run_worker_health(run).status == WorkerStatus.NOT_FOUND
    runtime.launch_run(run)
    assert runtime.launcher.check_run_worker_health(run).status == WorkerStatus.RUNNING
    assert "0 runs are ahead" in (runtime.launcher.get_run_worker_debug_info(run) or "")
    runtime.queue.claim("some-pool", limit=1)
    assert runtime.launcher.check_run_worker_health(run).run_worker_id == "some-pool"
    runtime.queue.renew("some-pool", lease=-100)
    assert runtime.launcher.check_run_worker_health(run).status == WorkerStatus.FAILED


# ---------------------------------------------------------------------- deaths


def test_a_worker_that_exits_fails_its_run_at_once_and_is_replaced(warm: Runtime, tmp_path: Path) -> None:
    run_id = warm.launch("crashing")
    assert warm.end_of(run_id) == DagsterRunStatus.FAILURE
    assert "exited with code 7" in warm.messages(run_id)
    after = warm.launch("noting", config=_note(tmp_path / "notes"))
    assert warm.end_of(after) == DagsterRunStatus.SUCCESS
    wait_until(lambda: len(warm.pools[0].workers) == 2)


def test_a_killed_worker_fails_its_run_without_waiting_for_its_lease(warm: Runtime, tmp_path: Path) -> None:
    run_id, pid = _lingering(warm, tmp_path / "pid")
    killed_at = time.time()
    os.kill(pid, signal.SIGKILL)
    assert warm.end_of(run_id) == DagsterRunStatus.FAILURE
    assert "killed by SIGKILL" in warm.messages(run_id)
    record = warm.instance.get_run_record_by_id(run_id)
    assert record is not None
    assert record.end_time is not None
    assert record.end_time - killed_at < 5  # long before a lease would end, or the monitor look


def test_a_killed_zygote_fails_the_runs_of_its_workers_and_is_replaced(runtime: Runtime, tmp_path: Path) -> None:
    pool = runtime.start_pool("--workers", "1")
    run_id, _ = _lingering(runtime, tmp_path / "pid")
    (zygote,) = psutil.Process(pool.process.pid).children()
    zygote.kill()
    assert runtime.end_of(run_id) == DagsterRunStatus.FAILURE
    after = runtime.launch("noting", config=_note(tmp_path / "notes"))
    assert runtime.end_of(after) == DagsterRunStatus.SUCCESS


def test_a_killed_pool_takes_its_workers_along_and_the_next_one_settles(runtime: Runtime, tmp_path: Path) -> None:
    pool = runtime.start_pool("--workers", "1")
    begun, pid = _lingering(runtime, tmp_path / "pid")
    waiting = runtime.launch("noting", config=_note(tmp_path / "notes"))
    pool.process.kill()
    pool.process.wait()
    wait_until(lambda: not psutil.pid_exists(pid))
    assert runtime.status(begun) == DagsterRunStatus.STARTED

    runtime.start_pool("--workers", "1")
    assert runtime.end_of(begun) == DagsterRunStatus.FAILURE
    assert "The worker pool that executed the run died" in runtime.messages(begun)
    assert runtime.end_of(waiting) == DagsterRunStatus.SUCCESS
    wait_until(lambda: runtime.queue.hosts() == [])


def test_a_run_that_a_dead_pool_had_not_begun_is_executed_by_the_next(runtime: Runtime, tmp_path: Path) -> None:
    run_id = runtime.launch("noting", config=_note(tmp_path / "notes"))
    machine = host_id().split("/")[0]
    assert runtime.queue.claim(f"{machine}/999999/1.00", limit=1)
    runtime.start_pool("--workers", "1")
    assert runtime.end_of(run_id) == DagsterRunStatus.SUCCESS
    assert "the run goes back to the queue" in runtime.messages(run_id)
    assert len((tmp_path / "notes").read_text().splitlines()) == 1


def test_a_run_that_was_claimed_too_often_is_failed(runtime: Runtime, tmp_path: Path) -> None:
    run_id = runtime.launch("noting", config=_note(tmp_path / "notes"))
    for _ in range(2):
        runtime.queue.claim("unlucky", limit=1)
        runtime.queue.release(run_id, host="unlucky")
    runtime.queue.claim("unlucky", limit=1, lease=-1)
    runtime.start_pool("--workers", "1")
    assert runtime.end_of(run_id) == DagsterRunStatus.FAILURE
    assert not (tmp_path / "notes").exists()


def test_a_cancel_that_nobody_heard_is_settled_by_the_next_pool(runtime: Runtime, tmp_path: Path) -> None:
    pool = runtime.start_pool("--workers", "1")
    run_id, pid = _lingering(runtime, tmp_path / "pid")
    pool.process.kill()
    pool.process.wait()
    wait_until(lambda: not psutil.pid_exists(pid))
    assert runtime.launcher.terminate(run_id)
    runtime.start_pool("--workers", "1")
    assert runtime.end_of(run_id) == DagsterRunStatus.CANCELED


def test_two_pools_share_the_queue_and_execute_each_run_once(runtime: Runtime, tmp_path: Path) -> None:
    pools = [runtime.start_pool("--workers", "1", wait=False) for _ in range(2)]
    wait_until(lambda: all(pool.said("pool.code_loaded") for pool in pools))
    ids = [runtime.launch("noting", config=_note(tmp_path / "notes")) for _ in range(30)]
    assert {runtime.end_of(run_id) for run_id in ids} == {DagsterRunStatus.SUCCESS}
    lines = [line.split() for line in (tmp_path / "notes").read_text().splitlines()]
    assert sorted(run_id for run_id, _ in lines) == sorted(ids)
    assert len({pid for _, pid in lines}) == 2


# ---------------------------------------------------------------------- stopping, ageing, reloading


def test_a_pool_that_is_told_to_stop_waits_for_its_run_and_claims_no_other(runtime: Runtime, tmp_path: Path) -> None:
    pool = runtime.start_pool("--workers", "1")
    pids = [worker.pid for worker in pool.workers]
    begun, _ = _lingering(runtime, tmp_path / "pid")
    pool.process.send_signal(signal.SIGTERM)
    wait_until(lambda: pool.said("pool.draining"))
    waiting = runtime.launch("noting", config=_note(tmp_path / "notes"))
    (tmp_path / "pid").unlink()
    assert pool.process.wait(60) == 0
    wait_until(lambda: not any(psutil.pid_exists(pid) for pid in pids))
    assert runtime.status(begun) == DagsterRunStatus.SUCCESS
    assert runtime.status(waiting) == DagsterRunStatus.STARTING
    assert runtime.queue.find(begun) is None


def test_a_run_that_outlasts_the_drain_is_failed_with_the_reason(runtime: Runtime, tmp_path: Path) -> None:
    pool = runtime.start_pool("--workers", "1", "--drain", "0.2")
    begun, _ = _lingering(runtime, tmp_path / "pid")
    assert pool.stop() == 0
    assert runtime.status(begun) == DagsterRunStatus.FAILURE
    assert "was stopped" in runtime.messages(begun)
    assert runtime.queue.find(begun) is None


def test_a_worker_is_replaced_after_its_runs(runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIW_DAGSTER__RUNS_PER_WORKER", "2")
    runtime.start_pool("--workers", "1")
    ids = [runtime.launch("noting", config=_note(tmp_path / "notes")) for _ in range(4)]
    assert {runtime.end_of(run_id) for run_id in ids} == {DagsterRunStatus.SUCCESS}
    pids = [line.split()[1] for line in (tmp_path / "notes").read_text().splitlines()]
    assert pids[0] == pids[1] != pids[2] == pids[3]


def test_new_code_takes_over_while_the_old_finishes_its_run(runtime: Runtime, tmp_path: Path) -> None:
    pool = runtime.start_pool("--workers", "1")
    begun, pid = _lingering(runtime, tmp_path / "pid")
    pool.process.send_signal(signal.SIGHUP)
    wait_until(lambda: [line["event"] for line in pool.log].count("pool.code_loaded") == 2)
    after = runtime.launch("noting", config=_note(tmp_path / "notes"))
    assert runtime.end_of(after) == DagsterRunStatus.SUCCESS
    assert runtime.status(begun) == DagsterRunStatus.STARTED
    assert runtime.launcher.terminate(begun)
    assert runtime.end_of(begun) == DagsterRunStatus.CANCELED
    wait_until(lambda: not psutil.pid_exists(pid))


def test_code_that_cannot_be_imported_is_reported_and_loaded_once_it_is_mended(
    runtime: Runtime, tmp_path: Path
) -> None:
    module = tmp_path / "code" / "brittle.py"
    module.parent.mkdir()
    module.write_text("raise RuntimeError('half written')\n")
    pool = runtime.start_pool("--working-directory", str(module.parent), module="brittle", wait=False)
    wait_until(lambda: pool.said("pool.code_broken"))
    (line,) = [line for line in pool.log if line["event"] == "pool.code_broken"]
    assert "half written" in line["error"]
    assert pool.process.poll() is None

    run_id = runtime.launch("noting", config=_note(tmp_path / "notes"))
    module.write_text("from tests.definitions.runtime.location import defs\n")
    pool.process.send_signal(signal.SIGHUP)
    assert runtime.end_of(run_id) == DagsterRunStatus.SUCCESS


def test_the_pool_survives_that_the_database_drops_all_connections(runtime: Runtime, tmp_path: Path) -> None:
    pool = runtime.start_pool("--workers", "1")
    with runtime.database.connect() as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    run_id = runtime.launch("noting", config=_note(tmp_path / "notes"))
    assert runtime.end_of(run_id) == DagsterRunStatus.SUCCESS
    assert pool.process.poll() is None
