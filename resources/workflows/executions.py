"""Runs of workflows as they are told to people: status, progress, and what each node did."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, cast

from resources.errors import InvalidInputError, NotFoundError
from resources.events.model import StreamId
from resources.events.projections.workflows import WorkflowExecutionHistory, WorkflowExecutions

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from resources.events.projections.store import ProjectionStore
    from resources.events.store import EventStore

Status = Literal["created", "running", "completed", "failed", "cancelled"]
NodeStatus = Literal["running", "retrying", "completed", "failed", "skipped"]

MAX_PAGE = 200
_SCANNED = 2000


@dataclass(frozen=True, slots=True)
class NodeExecution:
    """What one node did. `output` is a preview: a large one is `{truncated, bytes}`."""

    id: str
    status: NodeStatus
    type: str | None = None
    attempt: int = 1
    started_at: datetime | None = None
    ended_at: datetime | None = None
    duration_ms: int | None = None
    error: str | None = None
    output: Any = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is, by its nodes. `percentage` is of those that are done."""

    total: int = 0
    completed: int = 0
    failed: int = 0
    skipped: int = 0
    running: int = 0
    percentage: float = 0.0


@dataclass(frozen=True, slots=True)
class Execution:
    """One run. `inputs` and `outputs` are previews."""

    run_id: str
    workflow: str
    status: Status
    revision: int | None = None
    inputs: Any = None
    outputs: Any = None
    nodes: tuple[NodeExecution, ...] = ()
    progress: Progress = Progress()
    error: str | None = None
    failed_node: str | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    duration_ms: int | None = None
    user_id: str | None = None
    parent_run_id: str | None = None
    trigger: Mapping[str, Any] | None = None
    correlation_id: str | None = None


@dataclass(frozen=True, slots=True)
class ExecutionPage:
    """Runs, the newest first. `cursor` leads to the next page; None when there is none. `places` are cursors of each run."""

    executions: tuple[Execution, ...]
    cursor: str | None
    places: tuple[str, ...] = ()


class Executions:
    """Reads the executions' read models. With `events`, one that is not in them yet is read from its own events."""

    def __init__(self, projections: ProjectionStore, *, events: EventStore | None = None) -> None:
        self._projections = projections
        self._events = events

    def get(self, run_id: str, tenant: str) -> Execution:
        """One run, as far as it is. Raises NotFoundError."""
        row = self._projections.get(WorkflowExecutionHistory.name, run_id, tenant=tenant)
        if self._events is not None and (row is None or row["status"] in {"created", "running"}):
            row = self._told(run_id, tenant) or row
        if not row:
            raise NotFoundError(f"There is no workflow run {run_id!r}.", code="execution_not_found", run_id=run_id)
        return execution_of(run_id, row)

    def get_many(self, run_ids: Collection[str], tenant: str) -> Mapping[str, Execution]:
        """Those runs that the read models know, by id, as far as these are."""
        rows = self._projections.get_many(WorkflowExecutionHistory.name, run_ids, tenant=tenant)
        return {run_id: execution_of(run_id, row) for run_id, row in rows.items()}

    def list(
        self,
        tenant: str,
        workflow: str | None = None,
        status: Status | None = None,
        *,
        limit: int = 50,
        cursor: str | None = None,
    ) -> ExecutionPage:
        """The newest runs. A page may hold fewer than `limit`, even none, when few have the status: go on with its cursor."""
        if not 1 <= limit <= MAX_PAGE:
            raise InvalidInputError(f"A page holds 1 to {MAX_PAGE} runs, not {limit}.", code="page_size")
        prefix = f"workflow/{workflow}/" if workflow else "all/"
        if cursor is not None and not (cursor.isascii() and cursor.isdigit()):
            raise InvalidInputError("The cursor is not one of this list's.", code="cursor_invalid")
        found: list[Execution] = []
        places: list[str] = []
        scanned, after = 0, f"{prefix}{cursor or ''}"
        while scanned < _SCANNED:
            page = self._projections.rows(
                WorkflowExecutions.name, tenant=tenant, prefix=prefix, after=after, limit=limit
            )
            known = self.get_many([index["run_id"] for _, index in page], tenant)
            for key, index in page:
                after, scanned = key, scanned + 1
                execution = known.get(index["run_id"])
                if execution is not None and status in {None, execution.status}:
                    found.append(execution)
                    places.append(key.removeprefix(prefix))
                if len(found) == limit:
                    return ExecutionPage(tuple(found), after.removeprefix(prefix), tuple(places))
            if len(page) < limit:
                return ExecutionPage(tuple(found), None, tuple(places))
        return ExecutionPage(tuple(found), after.removeprefix(prefix), tuple(places))

    def _told(self, run_id: str, tenant: str) -> dict[str, Any]:
        assert self._events is not None
        row: dict[str, Any] = {}
        history = WorkflowExecutionHistory()
        for event in self._events.read_stream(StreamId("workflow", run_id), tenant=tenant):
            if event.type in history.types:
                history.tell(event, row)
        return row


def execution_of(run_id: str, row: Mapping[str, Any]) -> Execution:
    """A row of the read model as the run that it is about."""
    return Execution(
        run_id=run_id,
        workflow=row.get("workflow_type", "unknown"),
        status=cast("Status", row["status"]),
        nodes=tuple(_node(name, node) for name, node in row["nodes"].items()),
        progress=Progress(**row["progress"]),
        created_at=_time(row.get("created_at")),
        started_at=_time(row.get("started_at")),
        ended_at=_time(row.get("ended_at")),
        **{name: row.get(name) for name in _SAME},
    )


_SAME = (
    "revision", "inputs", "outputs", "error", "failed_node", "duration_ms", "user_id", "parent_run_id", "trigger",
    "correlation_id",
)  # fmt: skip


def _node(name: str, row: Mapping[str, Any]) -> NodeExecution:
    return NodeExecution(
        id=name,
        status=row["status"],
        type=row["type"],
        attempt=row["attempt"],
        started_at=_time(row.get("started_at")),
        ended_at=_time(row.get("ended_at")),
        duration_ms=row.get("duration_ms"),
        error=row.get("error") or row.get("reason"),
        output=row.get("output"),
    )


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
