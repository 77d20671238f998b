"""Runs are launched by writing a row: a warm worker takes it a moment later (`pool.py`).

`launch_run` returns as soon as the row is durable, so a run that was launched is executed even if every process dies right
after. What the UI and GraphQL do with runs (launch, terminate, monitor, retry) works as with the stock launchers.

A run's tag `aiw/isolation` says where it is executed: `warm` (in a warm worker, the default), `process` (in a process of its own,
which a worker starts, see `isolated.py`) or `k8s` (as a job of Kubernetes, by Dagster's own launcher).
"""

from __future__ import annotations

import contextlib
import importlib
import time
from typing import TYPE_CHECKING, Any, TypeVar

from dagster import DagsterInstance, Field, Noneable, StringSource
from dagster._core.launcher.base import CheckRunHealthResult, LaunchRunContext, RunLauncher, WorkerStatus
from dagster._core.storage.tags import PRIORITY_TAG
from dagster._serdes import ConfigurableClass

from assets.partitions import ISOLATION_TAG
from definitions.runtime.postgres import RunQueue
from resources.database.postgres import Database
from resources.errors import ConflictError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import NoReturn, Self

    from dagster import DagsterRun
    from dagster._config.config_schema import UserConfigSchema
    from dagster._serdes import ConfigurableClassData

T = TypeVar("T")

# Values of the tag `aiw/isolation`.
WARM = "warm"
PROCESS = "process"
KUBERNETES = "k8s"

RETRY_SECONDS = 20.0
FIRST_PAUSE_SECONDS = 0.1

# A lease may end while the database itself restarts; only then is a pool given up for dead.
OVERDUE_SECONDS = 30.0


class WarmPoolRunLauncher(RunLauncher[DagsterInstance], ConfigurableClass):
    """Puts runs into the queue that warm worker pools execute."""

    def __init__(
        self,
        database_url: str,
        inst_data: ConfigurableClassData | None = None,
        retry_seconds: float = RETRY_SECONDS,
        kubernetes: Mapping[str, Any] | None = None,
    ) -> None:
        self._inst_data = inst_data
        self._retry_seconds = retry_seconds
        self._database = Database(database_url, pool_size=4, application_name="aiw-launcher")
        self._queue = RunQueue(self._database)
        self._kubernetes_config = kubernetes
        self._of_kubernetes: RunLauncher[DagsterInstance] | None = None
        super().__init__()  # type: ignore[no-untyped-call]  # Dagster's mixin has no annotations

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        return self._inst_data

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        return {
            "database_url": Field(StringSource, description="The platform's database, as in AIW_DATABASE__URL"),
            "kubernetes": Field(
                Noneable(dict),
                is_required=False,
                description="Configuration of dagster_k8s.K8sRunLauncher, for runs with the isolation k8s",
            ),
        }

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> Self:
        return cls(
            database_url=config_value["database_url"],
            inst_data=inst_data,
            kubernetes=config_value.get("kubernetes"),
        )

    def launch_run(self, context: LaunchRunContext) -> None:
        run = context.dagster_run
        isolation = run.tags.get(ISOLATION_TAG, WARM)
        if isolation == KUBERNETES:
            self._kubernetes(run).launch_run(context)
            return
        if isolation not in {WARM, PROCESS}:
            self._refuse(run, f"There is no isolation {isolation!r}, only: {WARM}, {PROCESS}, {KUBERNETES}.")
        self._patiently(lambda: self._queue.enqueue(run.run_id, job=run.job_name, priority=_priority(run)))

    def terminate(self, run_id: str) -> bool:
        """Cancel a run. A waiting one ends at once, an executing one as soon as its step can be interrupted."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        if run.tags.get(ISOLATION_TAG) == KUBERNETES:
            return bool(self._kubernetes(run).terminate(run_id))
        self._instance.report_run_canceling(run)
        if self._patiently(lambda: self._queue.request_cancel(run_id)):
            return True
        if self._patiently(lambda: self._queue.withdraw(run_id)):
            self._instance.report_run_canceled(run, "The run was cancelled before a worker had taken it.")
            return True
        # Claimed or ended between the two questions, or lost by its pool long ago.
        if self._patiently(lambda: self._queue.request_cancel(run_id)):
            return True
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        self._instance.report_run_canceled(run, "The run was cancelled. No worker was executing it any more.")
        return True

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        if run.tags.get(ISOLATION_TAG) == KUBERNETES:
            return self._kubernetes(run).check_run_worker_health(run)
        place = self._patiently(lambda: self._queue.find(run.run_id))
        if place is None:
            return CheckRunHealthResult(WorkerStatus.NOT_FOUND, "No worker executes the run.")
        if place.overdue > OVERDUE_SECONDS:
            message = f"The worker pool {place.host!r} has been silent for {place.overdue:.0f} s longer than it may."
            return CheckRunHealthResult(WorkerStatus.FAILED, message)
        return CheckRunHealthResult(WorkerStatus.RUNNING, run_worker_id=place.host)

    def get_run_worker_debug_info(self, run: DagsterRun, include_container_logs: bool | None = True) -> str | None:
        del include_container_logs
        place = self._patiently(lambda: self._queue.find(run.run_id))
        if place is None:
            return "The run is not in the queue."
        if place.host is None:
            return f"The run waits in the queue; {place.ahead} runs are ahead of it."
        return f"The run was claimed by the worker pool {place.host!r}."

    def _kubernetes(self, run: DagsterRun) -> RunLauncher[DagsterInstance]:
        """Dagster's own launcher of Kubernetes jobs, as the section `kubernetes` of the configuration says."""
        if self._of_kubernetes is None:
            if self._kubernetes_config is None:
                self._refuse(run, "The launcher's configuration in dagster.yaml has no section `kubernetes`.")
            try:
                module = importlib.import_module("dagster_k8s")
            except ImportError:
                self._refuse(run, "dagster-k8s is not installed, which executes runs with the isolation 'k8s'.")
            launcher: RunLauncher[DagsterInstance] = module.K8sRunLauncher.from_config_value(
                None, self._kubernetes_config
            )
            launcher.register_instance(self._instance)
            self._of_kubernetes = launcher
        return self._of_kubernetes

    def _refuse(self, run: DagsterRun, reason: str) -> NoReturn:
        """Fail a run that cannot be launched, so that nobody waits for it."""
        if not run.is_finished:
            self._instance.report_run_failed(run, f"The run cannot be launched. {reason}")
        raise ConflictError(f"The run {run.run_id!r} cannot be launched. {reason}", code="isolation_unavailable")

    def dispose(self) -> None:
        self._database.close()

    def _patiently(self, ask: Callable[[], T]) -> T:
        """Repeat `ask` while the database is out of reach, for as long as a restart takes."""
        deadline = time.monotonic() + self._retry_seconds
        pause = FIRST_PAUSE_SECONDS
        while time.monotonic() + pause < deadline:
            with contextlib.suppress(UnavailableError):
                return ask()
            time.sleep(pause)
            pause = min(2 * pause, 2.0)
        return ask()


def _priority(run: DagsterRun) -> int:
    try:
        return int(run.tags.get(PRIORITY_TAG, "0"))
    except ValueError:
        return 0
