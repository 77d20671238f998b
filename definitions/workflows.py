"""Which workflows are jobs, and their jobs: made when somebody wants one, and kept.

What a name and a revision mean never changes, so a job is compiled once a process.

The code location shows the newest revision of each. One that is broken is left out, and told by the asset
`platform/broken_workflows`; it takes nothing else down.
"""

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
from assets.prompts import PROMPTS, prompt_specs
from assets.table import ASSETS, CHECKS
from definitions.builder import build_job, width
from definitions.evals import EVALS
from definitions.resources import build_resources
from definitions.runtime.code import is_loading_for_workers
from definitions.runtime.lean.executor import lean_executor
from definitions.runtime.outputs import build_output_io_manager
from definitions.workflow_assets import OWNERS, build_assets
from resources.database.resource import shared_database
from resources.errors import PlatformError, UnavailableError
from resources.events.postgres import PostgresEventStore
from resources.settings import Settings
from resources.telemetry.logging import get_logger
from resources.workflows.definitions import WorkflowDefinitions
from resources.workflows.expressions import Expressions
from resources.workflows.graph import CheckedWorkflow
from resources.workflows.library import Entry, Library
from resources.workflows.node_type import NodeTypes
from resources.workflows.validation import check

log = get_logger(__name__)

SPECS: Final = Path(__file__).parent / "specs"
KEPT_JOBS: Final = 512


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
        self._library = Library(definitions, specs)
        self._types = types
        self._resources = resources
        self._environment = environment
        self._jobs: OrderedDict[tuple[str, str | None, int, int], dg.JobDefinition] = OrderedDict()
        self._compiling = threading.RLock()

    def find(self, name: str, *, tenant: str | None, revision: int | None = None) -> Entry:
        """The tenant's workflow, or the platform's; the newest revision unless one is named. Raises NotFoundError."""
        return self._library.find(name, tenant=tenant, revision=revision)

    def check(self, known: Entry) -> CheckedWorkflow:
        """Raises WorkflowInvalidError with all that is wrong."""
        return check(known.spec, self._types, lookup=self._library.lookup(known.tenant), environment=self._environment)

    def job(self, known: Entry) -> dg.JobDefinition:
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

    def assets(self, known: Entry) -> list[dg.AssetSpec | dg.AssetsDefinition]:
        """The assets that the workflow declares, which Dagster makes with the same steps as the job has."""
        if all(node.asset is None for node in known.spec.nodes):
            return []
        return build_assets(self.check(known), self.job(known), tenant=known.tenant)

    def all(self) -> Iterator[tuple[str, Callable[[], Entry]]]:
        """Each workflow of the platform, and the newest revision of each published one, of all tenants: its name, and how to
        read it, which raises when it is broken. Raises UnavailableError.
        """
        yield from self._library.bundled()
        if is_loading_for_workers():
            return
        for entry in self._library.published(tenant=None):
            yield f"{entry.tenant}/{entry.spec.name} revision {entry.revision}", lambda entry=entry: entry  # type: ignore[misc]

    def _compile(self, known: Entry) -> dg.JobDefinition:
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
    declared = [one for own in assets.values() for one in own]
    return Loaded(tuple(jobs.values()), (*declared, *prompt_specs(_above(declared, keys)), *_told(broken)))


def _above(assets: Iterable[dg.AssetSpec | dg.AssetsDefinition], known: Collection[str]) -> list[dg.AssetKey]:
    """What the assets depend on and nobody has declared: the prompts that people have published."""
    specs = [spec for one in assets for spec in ([one] if isinstance(one, dg.AssetSpec) else one.specs)]
    above = dict.fromkeys(dep.asset_key for spec in specs for dep in spec.deps)
    return [key for key in above if key.to_user_string() not in known]


def _keys(assets: Iterable[dg.AssetSpec | dg.AssetsDefinition]) -> set[str]:
    return {
        key.to_user_string() for one in assets for key in ([one.key] if isinstance(one, dg.AssetSpec) else one.keys)
    }


def _all(workflows: Workflows, broken: dict[str, str]) -> Iterator[tuple[str, Callable[[], Entry]]]:
    try:
        yield from workflows.all()
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
