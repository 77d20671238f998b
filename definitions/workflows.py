"""Which workflows are jobs, and their jobs: made when somebody wants one, and kept.

A workflow comes with the platform (a file in `specs/`, revision 0, for every tenant), or somebody has published it (its revisions
are counted, and it is its tenant's). A tenant's own comes before the platform's of the same name. What a name and a revision
mean never changes, so a job is compiled once a process.

The code location shows the newest revision of each. One that is broken is left out, and told by the asset
`platform/broken_workflows`; it takes nothing else down.
"""

import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import dagster as dg

from assets.nodes import NODES
from assets.partitions import TENANT_TAG
from assets.prompts import PROMPTS
from assets.table import ASSETS, CHECKS
from definitions.builder import build_job, width
from definitions.evals import EVALS
from definitions.naming import job_name
from definitions.resources import build_resources
from definitions.runtime.code import is_loading_for_workers
from definitions.runtime.lean.executor import lean_executor
from definitions.runtime.outputs import build_output_io_manager
from definitions.workflow_assets import OWNERS, build_assets
from resources.database.resource import shared_database
from resources.errors import NotFoundError, PlatformError, UnavailableError
from resources.events.postgres import PostgresEventStore
from resources.settings import Settings
from resources.telemetry.logging import get_logger
from resources.workflows.definitions import WorkflowDefinitions
from resources.workflows.expressions import Expressions
from resources.workflows.graph import CheckedWorkflow
from resources.workflows.loading import load_file
from resources.workflows.node_type import NodeTypes
from resources.workflows.spec import NAME, WorkflowSpec
from resources.workflows.validation import check

log = get_logger(__name__)

SPECS: Final = Path(__file__).parent / "specs"
BUNDLED_REVISION: Final = 0
KEPT_JOBS: Final = 512


@dataclass(frozen=True, slots=True)
class Known:
    """A workflow by name and revision. `tenant` None: it comes with the platform, in a file of the age `stamp`."""

    spec: WorkflowSpec
    tenant: str | None
    revision: int
    stamp: int = 0

    @property
    def job(self) -> str:
        return job_name(self.spec.name, self.tenant)


class Workflows:
    """Finds workflows and makes their jobs. Safe to share between threads."""

    def __init__(
        self,
        *,
        definitions: WorkflowDefinitions | None,
        types: NodeTypes,
        resources: Mapping[str, Any],
        environment: frozenset[str] = frozenset(),
        specs: Path = SPECS,
    ) -> None:
        """`definitions` None: there are only those that come with the platform."""
        self._definitions = definitions
        self._types = types
        self._resources = resources
        self._environment = environment
        self._specs = specs
        self._read: dict[str, Known] = {}
        self._jobs: OrderedDict[tuple[str, str | None, int, int], dg.JobDefinition] = OrderedDict()
        self._compiling = threading.RLock()

    def find(self, name: str, *, tenant: str | None, revision: int | None = None) -> Known:
        """The tenant's workflow, or the platform's; the newest revision unless one is named. Raises NotFoundError."""
        if tenant is not None and self._definitions is not None and revision != BUNDLED_REVISION:
            try:
                published = self._definitions.get(name, tenant=tenant, revision=revision)
                return Known(published.spec, tenant, published.revision)
            except NotFoundError:
                if revision is not None:
                    raise
        return self._bundled(name)

    def check(self, known: Known) -> CheckedWorkflow:
        """Raises WorkflowInvalidError with all that is wrong."""

        def lookup(name: str, revision: int | None) -> tuple[int, WorkflowSpec]:
            found = self.find(name, tenant=known.tenant, revision=revision)
            return found.revision, found.spec

        return check(known.spec, self._types, lookup=lookup, environment=self._environment)

    def job(self, known: Known) -> dg.JobDefinition:
        """The workflow's job, compiled now or before. Raises InvalidInputError when that cannot be done."""
        key = (known.spec.name, known.tenant, known.revision, known.stamp)
        with self._compiling:
            job = self._jobs.get(key)
            if job is None:
                job = self._jobs[key] = self._compile(known)
                while len(self._jobs) > KEPT_JOBS:
                    self._jobs.popitem(last=False)
            else:
                self._jobs.move_to_end(key)
            return job

    def assets(self, known: Known) -> list[dg.AssetSpec | dg.AssetsDefinition]:
        """The assets that the workflow declares, which Dagster makes with the same steps as the job has."""
        if all(node.asset is None for node in known.spec.nodes):
            return []
        return build_assets(self.check(known), self.job(known), tenant=known.tenant)

    def bundled(self) -> Iterator[tuple[str, Callable[[], Known]]]:
        """Each workflow that comes with the platform: its name, and how to read it, which raises when it is broken."""
        for path in sorted(self._specs.glob("*.yaml")):
            yield path.stem, lambda name=path.stem: self._bundled(name)  # type: ignore[misc]

    def published(self) -> list[Known]:
        """The newest revision of each published workflow, of all tenants. Raises UnavailableError."""
        if self._definitions is None:
            return []
        found = self._definitions.list(tenant=None)
        return [Known(published.spec, published.tenant, published.revision) for published in found]

    def _bundled(self, name: str) -> Known:
        path = self._specs / f"{name}.yaml"
        if re.fullmatch(NAME, name) is None or not path.is_file():
            raise NotFoundError(f"There is no workflow {name!r}.", code="workflow_not_found", name=name)
        stamp = path.stat().st_mtime_ns
        kept = self._read.get(name)
        if kept is None or kept.stamp != stamp:
            kept = self._read[name] = Known(load_file(path), None, BUNDLED_REVISION, stamp)
        return kept

    def _compile(self, known: Known) -> dg.JobDefinition:
        checked = self.check(known)
        return build_job(
            checked,
            self._types,
            tenant=known.tenant,
            revision=known.revision,
            expressions=Expressions(environment=self._environment),
            executor=lean_executor.configured({"max_concurrent": width(checked, self._types)}),
            resources=self._resources,
        )


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the code location gets: a job for each workflow that could be made into one, and the assets that they declare."""

    jobs: tuple[dg.JobDefinition, ...]
    assets: tuple[dg.AssetSpec | dg.AssetsDefinition, ...]


def load(workflows: Workflows, *, taken: Collection[str]) -> Loaded:
    """All workflows. `taken`: names of jobs, and keys of assets as text, that there are without them."""
    jobs: dict[str, dg.JobDefinition] = {}
    assets: dict[str, list[dg.AssetSpec | dg.AssetsDefinition]] = {}
    keys = set(taken)
    broken: dict[str, str] = {}
    for title, read in _all(workflows, broken):
        try:
            known = read()
            job, declared = workflows.job(known), workflows.assets(known)
            other = jobs.get(job.name)
            if job.name in taken or (other is not None and TENANT_TAG in other.tags):
                broken[title] = f"There is another job {job.name!r}."
                continue
            own = assets.pop(job.name, [])  # a tenant's own replaces the platform's of the same name
            keys -= _keys(own)
            jobs[job.name] = job
            if there := sorted(_keys(declared) & keys):
                broken[title] = f"There is another asset {there[0]!r}: it runs without showing its own."
                continue
            assets[job.name] = declared
            keys |= _keys(declared)
        except Exception as error:  # noqa: BLE001  # whatever is wrong with one of them is told, and stops none of the others
            broken[title] = f"{type(error).__name__}: {error}"
            log.warning("workflow.broken", workflow=title, error=str(error))
    return Loaded(tuple(jobs.values()), (*(one for own in assets.values() for one in own), *_told(broken)))


def _keys(assets: Iterable[dg.AssetSpec | dg.AssetsDefinition]) -> set[str]:
    return {
        key.to_user_string() for one in assets for key in ([one.key] if isinstance(one, dg.AssetSpec) else one.keys)
    }


def _all(workflows: Workflows, broken: dict[str, str]) -> Iterator[tuple[str, Callable[[], Known]]]:
    yield from workflows.bundled()
    if is_loading_for_workers():
        return
    try:
        for known in workflows.published():
            yield f"{known.tenant}/{known.spec.name} revision {known.revision}", lambda known=known: known  # type: ignore[misc]
    except PlatformError as error:
        log.warning("workflows.only_bundled", error=str(error))
        if not isinstance(error, UnavailableError):
            broken["published workflows"] = str(error)


def _told(broken: Mapping[str, str]) -> list[dg.AssetSpec]:
    if not broken:
        return []
    listed = "\n".join(f"- `{name}`: {reason}" for name, reason in sorted(broken.items()))
    return [
        dg.AssetSpec(
            ["platform", "broken_workflows"],
            group_name="platform",
            kinds={"workflow"},
            owners=OWNERS,
            description=f"Workflows that could not be made into jobs:\n\n{listed}",
            metadata=dict(sorted(broken.items())),
        )
    ]


# ---------------------------------------------------------------------------------------------------- this process


@lru_cache(maxsize=1)
def workflows() -> Workflows:
    """Those of this process, as its settings say. Opens nothing by itself."""
    settings = Settings()
    return open_workflows(settings)


def open_workflows(settings: Settings) -> Workflows:
    """The workflows of the platform that `settings` describe."""
    definitions = None
    if settings.database.url is not None:
        database = shared_database(settings.database.url.get_secret_value(), 4)
        definitions = WorkflowDefinitions(PostgresEventStore(database))
    return Workflows(
        definitions=definitions,
        types=NODES,
        resources={**build_resources(settings), "io_manager": build_output_io_manager(settings)},
    )


def workflow_job(name: str, tenant: str, revision: int) -> dg.JobDefinition:
    """The job of a revision, by what a run keeps of it: `tenant` "" stands for the platform. A process that knows nothing but a
    run's code origin calls this.
    """
    found = workflows().find(name, tenant=tenant or None, revision=revision)
    return workflows().job(found)


def assets_of_workflows(*origins: Sequence[str | int]) -> dg.Definitions:
    """What makes the assets of these revisions (name, tenant, revision), and those of the platform that may be made with them."""
    settings = Settings()
    found = [
        workflows().find(str(name), tenant=str(tenant) or None, revision=int(revision))
        for name, tenant, revision in origins
    ]
    return dg.Definitions(
        assets=[*ASSETS, *PROMPTS, *(one for known in found for one in workflows().assets(known))],
        asset_checks=[*CHECKS, *EVALS],
        resources={**build_resources(settings), "io_manager": build_output_io_manager(settings)},
        executor=lean_executor,
    )
