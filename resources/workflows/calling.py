"""The port through which work in progress has a workflow run, and waits for what it gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Event
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from resources.workflows.spec import WorkflowSpec


@dataclass(frozen=True, slots=True)
class WorkflowCall:
    """Which workflow is to run, for whom. `key`: one run is made for it, however often it is asked for. `cause` is the run that
    asks; runs that start runs are counted, and a long chain of them is refused. `cancel` is set when nobody waits any more.
    """

    workflow: str
    inputs: Mapping[str, Any]
    tenant: str
    key: str
    cause: str | None = None
    correlation_id: str | None = None
    cancel: Event = field(default_factory=Event)


@dataclass(frozen=True, slots=True)
class WorkflowAnswer:
    """What the run gave."""

    run_id: str
    outputs: Any


class WorkflowCalls(Protocol):
    """Runs workflows. Blocking; safe to share between threads."""

    def find(self, workflow: str, *, tenant: str) -> WorkflowSpec:
        """The tenant's published workflow, or the platform's. Raises NotFoundError."""

    def runs(self, run_id: str) -> Sequence[str]:
        """The run, and all that runs of it have had run in their turn, this way."""

    def call(self, call: WorkflowCall, *, seconds: float) -> WorkflowAnswer:
        """Have it run, and wait for its end for so long.

        Raises NotFoundError and InvalidInputError as a start does, LimitExceededError for a chain that is too long,
        UpstreamError (`workflow_failed`) when the run has failed or was cancelled, UnavailableError (`workflow_unfinished`) when
        it has not ended in time: it goes on, and the same call made again waits for the same run. The last two name the run in
        `details` as `run_id`.
        """
