"""Starts runs from here, in a few milliseconds: no webserver, no code location, no daemon in between.

A run is created as Dagster creates it (snapshots of job and plan, origins, tags), so that everything that Dagster's UI does with
runs works with it, and submitted to the instance's coordinator. What a workflow's runs have in common (compiled job, plan)
is made once a process.

With a key, one run is started for it, however often and from wherever it is asked for. The key is claimed together with the
run's id before the run exists. Should this process die in between, the next who asks, or `finish`, creates the very run.
"""

from __future__ import annotations

import os
import threading
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Self, cast

from dagster import DagsterInstance, DagsterInvalidConfigError, DagsterRunStatus, RunsFilter
from dagster._core.errors import DagsterRunAlreadyExists
from dagster._core.execution.api import create_execution_plan
from dagster._core.remote_origin import (
    ManagedGrpcPythonEnvCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.storage.tags import CODE_LOCATION_TAG, PARTITION_NAME_TAG, RUN_KEY_TAG
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._utils.tags import normalize_tags
from dagster_shared.utils.warnings import disable_dagster_warnings

from assets.partitions import (
    CORRELATION_TAG,
    DOCUMENTS,
    LAUNCHED_TAG,
    REVISION_TAG,
    TENANT_TAG,
    TRIGGER_TAG,
    WORKFLOW_TAG,
    tenant_of,
)
from definitions.runtime.code import ROOT, CodeLocation, WorkflowOrigin
from definitions.runtime.postgres import RunEvents, RunKeys
from definitions.runtime.storage import in_our_words
from resources.database.postgres import Database
from resources.errors import (
    ConflictError,
    InvalidInputError,
    LimitExceededError,
    NotFoundError,
    Problem,
    UnavailableError,
)
from resources.events.postgres import PostgresEventStore
from resources.settings import Settings
from resources.telemetry.logging import get_logger
from resources.tenants.quotas.postgres import PostgresQuotas
from resources.workflows.inputs import check_inputs
from sensors.workflow_events import Story, stream_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dagster import DagsterRun, JobDefinition
    from dagster._core.definitions.reconstruct import ReconstructableJob
    from dagster._core.execution.plan.plan import ExecutionPlan
    from dagster._core.snap import ExecutionPlanSnapshot
    from dagster._core.workspace.context import BaseWorkspaceRequestContext

    from definitions.workflows import Workflows
    from resources.events.store import EventStore
    from resources.workflows.library import Entry

log = get_logger(__name__)

LOCATION = "aiw"
MODULE = "definitions.code_location"

KEPT_PLANS = 512
UNFINISHED_SECONDS = 5.0  # a claim whose launch was not noted for so long was made by a process that is no more
SENSOR_SECONDS = 10.0
LOOK_SECONDS = 1.0

ENDED = frozenset({DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED})
_OURS = frozenset(
    {TENANT_TAG, WORKFLOW_TAG, REVISION_TAG, CORRELATION_TAG, TRIGGER_TAG, PARTITION_NAME_TAG, RUN_KEY_TAG}
)


@dataclass(frozen=True, slots=True)
class Launched:
    """The run of a request. `created` is False when it had been started before, for the same key."""

    run_id: str
    created: bool


@dataclass(frozen=True, slots=True)
class _Prepared:
    """What all runs of one job have in common."""

    job: JobDefinition
    reconstructable: ReconstructableJob
    known: Entry | None  # None: a job of the code location that is no workflow


class WorkflowLauncher:
    """Starts, cancels and awaits runs of one Dagster instance. Safe to share between threads."""

    def __init__(self, instance: DagsterInstance, database: Database, workflows: Workflows, events: EventStore) -> None:
        self.instance = instance
        self._database = database
        self._workflows = workflows
        self._events = events
        self.keys = RunKeys(database)
        self._quotas = PostgresQuotas(database)
        self._location: CodeLocation | None = None
        self._first_runs: dict[int, tuple[JobDefinition, DagsterRun]] = {}
        self._loading = threading.Lock()

    @classmethod
    def open(cls) -> Self:
        """On the instance that DAGSTER_HOME names and the database of AIW_DATABASE__URL. Raises UnavailableError."""
        from definitions.workflows import open_workflows

        settings = Settings()
        if settings.database.url is None or not os.environ.get("DAGSTER_HOME"):
            message = "Runs cannot be started: AIW_DATABASE__URL or DAGSTER_HOME is not set. Start the platform with `aiw up`."
            raise UnavailableError(message, dependency="dagster")
        database = Database(settings.database.url.get_secret_value(), pool_size=4, application_name="aiw-launch")
        with in_our_words():
            instance = DagsterInstance.get()
        return cls(instance, database, open_workflows(settings), PostgresEventStore(database))

    @property
    def workflows(self) -> Workflows:
        """What can be launched by name besides the jobs of the code location."""
        return self._workflows

    @property
    def database(self) -> Database:
        """Where keys, events and outputs are."""
        return self._database

    def close(self) -> None:
        """Give back the connections."""
        self.instance.dispose()
        self._database.close()

    # ------------------------------------------------------------------ launching

    def launch(
        self,
        name: str,
        *,
        tenant: str,
        inputs: Mapping[str, Any] | None = None,
        revision: int | None = None,
        key: str | None = None,
        tags: Mapping[str, str] | None = None,
        partition: str | None = None,
        correlation_id: str | None = None,
        trigger: str | None = None,
        run_config: Mapping[str, Any] | None = None,
    ) -> Launched:
        """Start a run of the workflow `name` of the tenant, or of the job of that name.

        `inputs` are a workflow's; `run_config` and `partition` are for other jobs. `key` makes it one run per tenant and key.
        Raises NotFoundError, InvalidInputError with all problems, LimitExceededError when the tenant may start no more runs
        today, UnavailableError.
        """
        request = {
            "name": name,
            "inputs": dict(inputs or {}),
            "revision": revision,
            "tags": dict(tags or {}),
            "partition": partition,
            "correlation_id": correlation_id,
            "trigger": trigger,
            "run_config": dict(run_config or {}),
        }
        run_id = str(uuid.uuid4())
        with in_our_words():
            prepared, config = self._prepare(request, tenant)
            try:
                self._quotas.take_run(tenant, now=datetime.now(UTC))
            except LimitExceededError:
                if key is None or self.keys.read(tenant, key) is None:
                    raise
                return Launched(self._run_of(tenant, key), created=False)
            if key is None:
                self._create(prepared, config, request, tenant=tenant, run_id=run_id, key=None)
                return Launched(run_id, created=True)
            if self.keys.claim(tenant, key, run_id=run_id, request=request):
                self._create(prepared, config, request, tenant=tenant, run_id=run_id, key=key)
                return Launched(run_id, created=True)
            self._quotas.give_back_run(tenant, now=datetime.now(UTC))  # somebody else was quicker
            return Launched(self._run_of(tenant, key), created=False)

    def launched(self, key: str, *, tenant: str) -> str | None:
        """The id of the run that a launcher has started, or will start, for the key; None if there is none."""
        claimed = self.keys.read(tenant, key)
        return None if claimed is None else claimed.run_id

    def finish(self, *, older_than: float = UNFINISHED_SECONDS) -> int:
        """Launch what was claimed by processes that died before they had launched it. Returns how many runs that were."""
        count = 0
        for claimed in self.keys.unfinished(older_than=older_than):
            assert claimed.run_id is not None
            assert claimed.request is not None
            count += self._finish(claimed.tenant, claimed.key, claimed.run_id, claimed.request)
        return count

    def start_again(
        self,
        parent: DagsterRun,
        *,
        origin: WorkflowOrigin,
        job: JobDefinition,
        plan_snapshot: ExecutionPlanSnapshot,
        steps: Sequence[str] | None,
        tags: Mapping[str, str],
    ) -> Launched:
        """Start a re-execution of `parent`, of the steps named or of all. `tags` are all that it gets besides the job's."""
        run_id = str(uuid.uuid4())
        self._quotas.take_run(tenant_of(parent), now=datetime.now(UTC))
        with in_our_words():
            run = self.instance.create_run(
                job_name=job.name,
                run_id=run_id,
                run_config=parent.run_config,
                status=DagsterRunStatus.NOT_STARTED,
                tags={**tags, **job.tags, TENANT_TAG: tenant_of(parent), LAUNCHED_TAG: run_id},
                root_run_id=parent.root_run_id or parent.run_id,
                parent_run_id=parent.run_id,
                step_keys_to_execute=steps,
                execution_plan_snapshot=plan_snapshot,
                job_snapshot=job.get_job_snapshot(),
                parent_job_snapshot=None,
                asset_selection=None,
                asset_check_selection=None,
                resolved_op_selection=None,
                op_selection=None,
                remote_job_origin=RemoteJobOrigin(_repository_origin(), job.name),
                job_code_origin=origin.reconstructable().get_python_origin(),
                asset_graph=job.asset_layer.asset_graph,
            )
            self._submit(run)
        return Launched(run_id, created=True)

    def _prepare(self, request: Mapping[str, Any], tenant: str) -> tuple[_Prepared, dict[str, Any]]:
        """What to launch, and its run config. Everything that can be wrong with a request is found here."""
        try:
            known = self._workflows.find(request["name"], tenant=tenant, revision=request["revision"])
        except NotFoundError:
            return self._prepare_job(request)
        job = self._workflows.job(known)
        config = {"inputs": check_inputs(known.spec, request["inputs"])}
        origin = WorkflowOrigin((known.spec.name, known.tenant or "", known.revision))
        return _Prepared(job, origin.reconstructable(), known), config

    def _prepare_job(self, request: Mapping[str, Any]) -> tuple[_Prepared, dict[str, Any]]:
        name, partition = request["name"], request["partition"]
        location = self._code_location()
        if request["revision"] is not None or name not in location.jobs or name.startswith("__"):
            raise NotFoundError(f"There is no workflow {name!r}.", code="workflow_not_found", name=name)
        reconstructable = location.job(name)
        job = reconstructable.get_definition()
        if (job.partitions_def is not None) != (partition is not None):
            wanted = "a partition" if job.partitions_def is not None else "no partition"
            raise InvalidInputError(f"The job {name!r} takes {wanted}.", code="partition_mismatch")
        if request["inputs"]:
            raise InvalidInputError(f"The job {name!r} is no workflow: it takes a run config, no inputs.")
        return _Prepared(job, reconstructable, None), dict(request["run_config"])

    def _create(
        self,
        prepared: _Prepared,
        config: dict[str, Any],
        request: Mapping[str, Any],
        *,
        tenant: str,
        run_id: str,
        key: str | None,
    ) -> None:
        job = prepared.job
        partition = request["partition"]
        try:
            plan = _plan(job, config)
        except DagsterInvalidConfigError as error:
            if key is None or self.keys.forget(tenant, key, run_id=run_id):
                self._quotas.give_back_run(tenant, now=datetime.now(UTC))
            problems = tuple(Problem("run_config", found.message) for found in error.errors)
            raise InvalidInputError(f"The run config does not fit {job.name!r}.", problems=problems) from error
        if partition is not None and job.partitions_def == DOCUMENTS:
            self.instance.add_dynamic_partitions(str(DOCUMENTS.name), [partition])
        tags = {**_tags(prepared, request, tenant=tenant, key=key), LAUNCHED_TAG: run_id}
        try:
            run = self._create_again(job, run_id, config, tags)
            if run is None:
                run = self.instance.create_run_for_job(
                    job_def=job,
                    execution_plan=plan,
                    run_id=run_id,
                    run_config=config,
                    status=DagsterRunStatus.NOT_STARTED,
                    tags=tags,
                    remote_job_origin=RemoteJobOrigin(_repository_origin(), job.name),
                    job_code_origin=prepared.reconstructable.get_python_origin(),
                )
                self._remember(job, run, plan)
        except DagsterRunAlreadyExists:  # another one finishes the same claim
            return
        self._submit(run)
        if key is not None:
            self.keys.launched(tenant, key)

    def _create_again(
        self, job: JobDefinition, run_id: str, config: Mapping[str, Any], tags: Mapping[str, str]
    ) -> DagsterRun | None:
        """Another run like the first of its job, but for what it is given. None: there was none yet.

        Dagster makes the snapshots of job and plan anew for each run, to find that it has them. Where there are 200 steps, this
        takes a fifth of what the run itself does.
        """
        _, first = self._first_runs.get(id(job), (None, None))
        if first is None:
            return None
        with disable_dagster_warnings():
            tags = normalize_tags(tags)
        location = {CODE_LOCATION_TAG: first.tags[CODE_LOCATION_TAG]}
        run = first._replace(run_id=run_id, run_config=config, tags={**tags, **location})
        return self.instance.run_storage.add_run(run)

    def _remember(self, job: JobDefinition, run: DagsterRun, plan: ExecutionPlan) -> None:
        if WORKFLOW_TAG not in job.tags or any(output.is_asset for step in plan.steps for output in step.step_outputs):
            return  # of runs that are to make assets, Dagster keeps more
        if len(self._first_runs) >= KEPT_PLANS:
            self._first_runs.clear()
        self._first_runs[id(job)] = (job, run)

    def _submit(self, run: DagsterRun) -> None:
        if WORKFLOW_TAG in run.tags:
            # Before it can begin: the worker's part of the story comes after this.
            story = Story(run)
            self._events.append(stream_of(run.run_id), [story.created()], tenant=tenant_of(run), durable=False)
        # The workspace is for launchers that ask a code location; ours do not.
        self.instance.submit_run(run.run_id, cast("BaseWorkspaceRequestContext", None))

    def _run_of(self, tenant: str, key: str) -> str:
        """The run of a key that somebody else has claimed."""
        claimed = self.keys.read(tenant, key)
        if claimed is not None and claimed.run_id is not None:
            if not claimed.launched:
                self._await_or_finish(tenant, key, claimed.run_id)
            return claimed.run_id
        deadline = time.monotonic() + SENSOR_SECONDS
        while time.monotonic() < deadline:
            runs = self.instance.get_runs(RunsFilter(tags={RUN_KEY_TAG: key, TENANT_TAG: tenant}), limit=1)
            if runs:
                return runs[0].run_id
            time.sleep(0.1)
        raise ConflictError(
            f"A sensor is about to start the run of {key!r}. Ask again in a moment.", code="run_pending"
        )

    def _await_or_finish(self, tenant: str, key: str, run_id: str) -> None:
        """Another process has claimed the key a moment ago, and is at it; or it has died."""
        deadline = time.monotonic() + UNFINISHED_SECONDS
        while time.monotonic() < deadline:
            claimed = self.keys.read(tenant, key)
            if claimed is None or claimed.launched:
                return
            time.sleep(0.05)
        claimed = self.keys.read(tenant, key)
        if claimed is not None and claimed.request is not None and not claimed.launched:
            self._finish(tenant, key, run_id, claimed.request)

    def _finish(self, tenant: str, key: str, run_id: str, request: Mapping[str, Any]) -> bool:
        """Create and submit the run of a claim, as far as that was not done. True if it was not."""
        run = self.instance.get_run_by_id(run_id)
        try:
            if run is None:
                prepared, config = self._prepare(request, tenant)
                self._create(prepared, config, request, tenant=tenant, run_id=run_id, key=key)
                log.info("run.launch_finished", run_id=run_id, key=key)
                return True
            if run.status is DagsterRunStatus.NOT_STARTED:
                self._submit(run)
        except (NotFoundError, InvalidInputError) as error:
            if self.keys.forget(tenant, key, run_id=run_id):
                self._quotas.give_back_run(tenant, now=datetime.now(UTC))
            log.warning("run.launch_given_up", run_id=run_id, key=key, error=str(error))
            return False
        self.keys.launched(tenant, key)
        return run.status is DagsterRunStatus.NOT_STARTED

    def _code_location(self) -> CodeLocation:
        """The jobs that are no workflows: loaded when one of them is wanted for the first time, which takes seconds."""
        with self._loading:
            if self._location is None:
                self._location = CodeLocation(MODULE, working_directory=str(ROOT))
            return self._location

    # ------------------------------------------------------------------ afterwards

    def cancel(self, run_id: str, *, tenant: str) -> bool:
        """End a run, whether it waits or is executed. False if it has ended already. Raises NotFoundError."""
        with in_our_words():
            run = self.get(run_id, tenant=tenant)
            if run.is_finished:
                return False
            return bool(self.instance.run_coordinator.cancel_run(run_id))

    def wait(self, run_id: str, timeout: float) -> DagsterRunStatus:
        """The status of a run once it has ended, or after `timeout` seconds. Raises NotFoundError, UnavailableError."""
        deadline = time.monotonic() + timeout
        listener = RunEvents(self._database)
        try:
            while True:
                status = self._status(run_id)
                left = deadline - time.monotonic()
                if status in ENDED or left <= 0:
                    return status
                self._await_event(listener, run_id, min(left, LOOK_SECONDS))
        finally:
            listener.close()

    def get(self, run_id: str, *, tenant: str) -> DagsterRun:
        """A run of the tenant. Raises NotFoundError."""
        with in_our_words():
            run = self.instance.get_run_by_id(run_id)
        if run is None or tenant_of(run) != tenant:
            raise NotFoundError(f"There is no run {run_id!r}.", code="run_not_found", run_id=run_id)
        return run

    def _status(self, run_id: str) -> DagsterRunStatus:
        with in_our_words():
            run = self.instance.get_run_by_id(run_id)
        if run is None:
            raise NotFoundError(f"There is no run {run_id!r}.", code="run_not_found", run_id=run_id)
        return run.status

    @staticmethod
    def _await_event(listener: RunEvents, run_id: str, seconds: float) -> None:
        for happened_to in listener.within(seconds):
            if happened_to == run_id:
                return


def _tags(prepared: _Prepared, request: Mapping[str, Any], *, tenant: str, key: str | None) -> dict[str, str]:
    """A caller's tags never say whose run it is, nor of what."""
    tags = {name: value for name, value in request["tags"].items() if name not in _OURS}
    tags = {**prepared.job.tags, **tags, TENANT_TAG: tenant, TRIGGER_TAG: request["trigger"] or "api"}
    if request["correlation_id"] is not None:
        tags[CORRELATION_TAG] = request["correlation_id"]
    if request["partition"] is not None:
        tags[PARTITION_NAME_TAG] = request["partition"]
    if key is not None:
        tags[RUN_KEY_TAG] = key
    return tags


_plans: dict[int, tuple[JobDefinition, ExecutionPlan]] = {}


def _plan(job: JobDefinition, config: Mapping[str, Any]) -> ExecutionPlan:
    """The plan of a job's run. What a workflow is given changes no step of it, so one plan serves all its runs."""
    if WORKFLOW_TAG not in job.tags:
        return create_execution_plan(job, run_config=config)
    kept = _plans.get(id(job))
    if kept is None:
        if len(_plans) >= KEPT_PLANS:
            _plans.clear()
        kept = _plans[id(job)] = (job, create_execution_plan(job, run_config=config))
    return kept[1]


@lru_cache(maxsize=1)
def _repository_origin() -> RemoteRepositoryOrigin:
    """Where the UI will find the job, once its code location was loaded anew."""
    target = LoadableTargetOrigin(module_name=MODULE, working_directory=str(ROOT))
    return RemoteRepositoryOrigin(ManagedGrpcPythonEnvCodeLocationOrigin(target, LOCATION), "__repository__")
