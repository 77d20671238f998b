"""Starts what triggers ask for, in whichever process found out: a sensor, or the API at the very moment of the event.

A start has a key, so it makes no difference who comes first. Runs that start runs are counted: the eleventh of a chain is
refused, as workflows that start one another would never end.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from assets.partitions import AS_ASSETS, TENANT_TAG, WORKFLOW_TAG
from definitions.naming import job_name
from definitions.runtime.outputs import NodeOutputs
from definitions.runtime.reexecution import Reexecution
from resources.errors import LimitExceededError, NotFoundError
from resources.workflows.context import NodeResult
from resources.workflows.triggers import ENDS, MAX_DEPTH, Start, start_of
from sensors.events import DOCUMENT_EVENTS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from definitions.runtime.launch import WorkflowLauncher
    from resources.events.routing.model import Routed
    from resources.workflows.backfills import Due

DEPTH_TAG: Final = "aiw/depth"
BACKFILL_TAG: Final = "aiw/backfill"


class Starter:
    """Safe to share between threads."""

    def __init__(self, launcher: WorkflowLauncher, outputs: NodeOutputs) -> None:
        self.launcher = launcher
        self.reexecution = Reexecution(launcher)
        self._outputs = outputs

    def close(self) -> None:
        """Give back the connections."""
        self.launcher.close()

    def start(self, start: Start) -> str:
        """The id of the start's one run. Raises NotFoundError, InvalidInputError, LimitExceededError, UnavailableError."""
        self.launcher.workflows.find(start.workflow, tenant=start.tenant)  # triggers start workflows, and no other jobs
        depth = self._depth_of(start.cause) + 1
        if depth > MAX_DEPTH:
            raise LimitExceededError(
                f"The workflow {start.workflow!r} is not started: {MAX_DEPTH} runs have started one another before it.",
                code="trigger_depth",
            )
        tags = {**start.tags, DEPTH_TAG: str(depth)}
        launched = self.launcher.launch(
            start.workflow,
            tenant=start.tenant,
            inputs=start.inputs,
            key=start.key,
            tags=tags,
            correlation_id=start.correlation_id,
            trigger=start.trigger,
        )
        return launched.run_id

    def start_due(self, due: Due) -> str:
        """The id of the one run of a backfill's plan. Raises as `start` does."""
        tags = {BACKFILL_TAG: str(due.backfill.id)}
        launched = self.launcher.launch(
            due.backfill.workflow,
            tenant=due.backfill.tenant,
            inputs=due.run.inputs,
            partition=due.run.partition,
            key=due.run.key,
            tags=tags,
            correlation_id=due.run.correlation_id,
            trigger="backfill",
        )
        return launched.run_id

    def fire(self, found: Routed) -> str | None:
        """Start what a rule asks for; None when its `when` does not hold. Raises as `start` does."""
        event = found.event
        outputs = None
        if event.type in ENDS and _is_preview(event.data.get("output_data")):
            outputs = self.outputs_of(event.stream.id, tenant=event.tenant)
        start = start_of(found, outputs=outputs)
        return None if start is None else self.start(start)

    def outputs_of(self, run_id: str, *, tenant: str) -> Any:
        """What the run of a workflow gave, in full. Raises NotFoundError when it is not stored (any more)."""
        return self.output_of(run_id, "outputs", tenant=tenant)

    def output_of(self, run_id: str, node: str, *, tenant: str, item: str = "") -> Any:
        """What one node of the run gave, in full. Raises NotFoundError."""
        try:
            stored = self._outputs.read(run_id, node, mapping_key=item, tenant=tenant)
        except NotFoundError:
            run = self.launcher.instance.get_run_by_id(run_id)
            if run is None or not run.asset_selection or WORKFLOW_TAG not in run.tags:
                raise
            graph = f"{job_name(run.tags[WORKFLOW_TAG], run.tags.get(TENANT_TAG))}{AS_ASSETS}"
            stored = self._outputs.read(run_id, f"{graph}.{node}", mapping_key=item, tenant=tenant)
        return stored.output if isinstance(stored, NodeResult) else stored

    def _depth_of(self, run_id: str | None) -> int:
        run = self.launcher.instance.get_run_by_id(run_id) if run_id is not None else None
        if run is None:
            return 0
        depth = run.tags.get(DEPTH_TAG, "0")
        return int(depth) if depth.isdecimal() else 0


def fire(found: Routed) -> str | None:
    """`Starter.fire` of this process's platform."""
    return _starter().fire(found)


def start(start: Start) -> str:
    """`Starter.start` of this process's platform."""
    return _starter().start(start)


def finish() -> int:
    """`WorkflowLauncher.finish` of this process's platform."""
    return _starter().launcher.finish()


def claim_documents(keys: Sequence[tuple[str, str]]) -> Collection[tuple[str, str]]:
    """Those of the pairs of tenant and run key that the sensor of documents is to start."""
    return _starter().launcher.keys.claim_for_sensor(DOCUMENT_EVENTS, keys)


def start_due(due: Due) -> str:
    """`Starter.start_due` of this process's platform."""
    return _starter().start_due(due)


@lru_cache(maxsize=1)
def _starter() -> Starter:
    return open_starter()


def open_starter() -> Starter:
    """On the platform that the environment names. Raises UnavailableError."""
    from definitions.runtime.launch import WorkflowLauncher

    launcher = WorkflowLauncher.open()
    return Starter(launcher, NodeOutputs(launcher.database))


def _is_preview(value: Mapping[str, Any] | Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"truncated", "bytes"}
