"""What the jobs of runs are made of, loaded once a process and kept.

Dagster's `ReconstructableJob` remembers one definition a process (`lru_cache(maxsize=1)`): with two jobs, or two selections
of one, it loads and resolves the whole repository again for each run. Here every repository is loaded once, and the last
few hundred jobs and selections are kept.

A run of a workflow is executed with the very revision that it was created with, whether the code location has that revision,
an older one, or does not know the workflow yet. The run's job snapshot says which one it is. The run's tags do not count:
a re-execution in the UI takes the job that is loaded now, and the tags of the former run.
"""

from __future__ import annotations

import inspect
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from dagster._core.code_pointer import CustomPointer, ModuleCodePointer
from dagster._core.definitions.reconstruct import ReconstructableJob, ReconstructableRepository
from dagster._core.workspace.autodiscovery import loadable_targets_from_python_module

from assets.partitions import AS_ASSETS, REVISION_TAG, TENANT_TAG, WORKFLOW_TAG
from definitions.naming import job_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dagster import DagsterInstance, DagsterRun, JobDefinition

KEPT_REPOSITORIES = 8
KEPT_DEFINITIONS = 512
KEPT_SNAPSHOTS = 1024

ROOT = Path(__file__).parents[2]
WORKFLOWS_MODULE = "definitions.workflows"
WORKFLOW_FUNCTION = "workflow_job"
ASSETS_FUNCTION = "assets_of_workflows"

_for_workers: ContextVar[bool] = ContextVar("for_workers", default=False)


@contextmanager
def loading_for_workers() -> Iterator[None]:
    """While the block loads the code location, published workflows are left out: workers compile those that they execute."""
    token = _for_workers.set(True)
    try:
        yield
    finally:
        _for_workers.reset(token)


def is_loading_for_workers() -> bool:
    """Whether the code location is loaded by a process that executes runs."""
    return _for_workers.get()


def keep_definitions() -> None:
    """Replace Dagster's memory of one definition in this process. Calling it again starts with an empty memory."""
    load = lru_cache(maxsize=KEPT_REPOSITORIES)(ReconstructableRepository.get_definition)
    resolve = lru_cache(maxsize=KEPT_DEFINITIONS)(inspect.unwrap(ReconstructableJob.get_definition))

    def definition(self: ReconstructableJob) -> JobDefinition:
        arguments = _workflow_arguments(self)
        return resolve(self) if arguments is None else _selected(_workflow(*arguments), self)

    ReconstructableJob.get_repository_definition = lambda self: load(self.repository)  # type: ignore[method-assign,assignment]
    ReconstructableJob.get_definition = definition  # type: ignore[method-assign,assignment]


class CodeLocation:
    """The jobs of one module, as `workspace.yaml` names it, and workflows on demand. Raises whatever the module raises."""

    def __init__(self, module: str, *, working_directory: str) -> None:
        keep_definitions()
        with loading_for_workers():
            (target,) = loadable_targets_from_python_module(module, working_directory)
            pointer = ModuleCodePointer(module, target.attribute, working_directory)
            self._repository = ReconstructableRepository(pointer)
            self.jobs = sorted(job.name for job in self._repository.get_definition().get_all_jobs())

    def job(self, name: str) -> ReconstructableJob:
        """A job by name; asking it for its definition fails when there is none."""
        return self._repository.get_reconstructable_job(name)

    def job_of(self, instance: DagsterInstance, run: DagsterRun) -> ReconstructableJob:
        """The job that a run was created with; of workflows, in that revision, also where only their assets are made."""
        workflow = workflow_of(instance, run)
        if workflow is not None:
            return workflow.reconstructable()
        making = [WorkflowOrigin.of(tags) for tags in workflows_made(instance, run)]
        origins = [origin for origin in making if origin is not None]
        return _making(origins, run.job_name) if origins else self.job(run.job_name)


class WorkflowOrigin(tuple[str, str, int]):
    """Name, tenant ("" for a workflow of the platform) and revision: what a job is made from."""

    __slots__ = ()

    @property
    def name(self) -> str:
        return self[0]

    @property
    def tenant(self) -> str | None:
        return self[1] or None

    @property
    def revision(self) -> int:
        return self[2]

    @classmethod
    def of(cls, tags: Mapping[str, str]) -> WorkflowOrigin | None:
        """What the tags of a job say; None when it is no workflow's."""
        name, revision = tags.get(WORKFLOW_TAG), tags.get(REVISION_TAG, "")
        if name is None or not revision.isdigit():
            return None
        return cls((name, tags.get(TENANT_TAG, ""), int(revision)))

    def reconstructable(self) -> ReconstructableJob:
        """The job as any process can make it, also one without the code location."""
        function = ModuleCodePointer(WORKFLOWS_MODULE, WORKFLOW_FUNCTION, str(ROOT))
        return ReconstructableJob(
            ReconstructableRepository(CustomPointer(function, list(self), [])), job_name(self.name, self.tenant)
        )


def workflow_of(instance: DagsterInstance, run: DagsterRun) -> WorkflowOrigin | None:
    """Which revision of which workflow the run is of; None when it is of another job."""
    if run.job_snapshot_id is None or WORKFLOW_TAG not in run.tags:
        return None
    tags = _snapshot_tags.get(run.job_snapshot_id)
    if tags is None:
        tags = instance.get_job_snapshot(run.job_snapshot_id).tags or {}
        if len(_snapshot_tags) >= KEPT_SNAPSHOTS:
            _snapshot_tags.clear()
        _snapshot_tags[run.job_snapshot_id] = tags
    return WorkflowOrigin.of(tags)


_snapshot_tags: dict[str, Mapping[str, str]] = {}


def workflows_made(instance: DagsterInstance, run: DagsterRun) -> Sequence[Mapping[str, str]]:
    """The tags of the workflows whose assets the run makes, in the revisions that it was created with."""
    if run.job_snapshot_id is None or not run.asset_selection:
        return ()
    found = _snapshot_made.get(run.job_snapshot_id)
    if found is None:
        graphs = instance.get_job_snapshot(run.job_snapshot_id).node_defs_snapshot.graph_def_snaps
        found = [graph.tags for graph in graphs if graph.name.endswith(AS_ASSETS)]
        if len(_snapshot_made) >= KEPT_SNAPSHOTS:
            _snapshot_made.clear()
        _snapshot_made[run.job_snapshot_id] = found
    return found


_snapshot_made: dict[str, Sequence[Mapping[str, str]]] = {}


def _making(origins: Sequence[WorkflowOrigin], job: str) -> ReconstructableJob:
    """The job that makes the assets of workflows, as any process can make it."""
    function = ModuleCodePointer(WORKFLOWS_MODULE, ASSETS_FUNCTION, str(ROOT))
    arguments = [list(origin) for origin in sorted(origins)]
    return ReconstructableJob(ReconstructableRepository(CustomPointer(function, arguments, [])), job)


def _workflow_arguments(job: ReconstructableJob) -> tuple[str, str, int] | None:
    pointer = job.repository.pointer
    if isinstance(pointer, CustomPointer) and pointer.reconstructor_pointer.fn_name == WORKFLOW_FUNCTION:
        name, tenant, revision = pointer.reconstructable_args
        return str(name), str(tenant), int(str(revision))
    return None


def _workflow(name: str, tenant: str, revision: int) -> JobDefinition:
    from definitions.workflows import workflow_job

    return workflow_job(name, tenant, revision)


def _selected(job: JobDefinition, wanted: ReconstructableJob) -> JobDefinition:
    return job if wanted.op_selection is None else job.get_subset(op_selection=list(wanted.op_selection))
