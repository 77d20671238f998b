"""Read models of workflow executions: each one's history, and figures per type of workflow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resources.events.projections import sketch
from resources.events.projections.model import Projection, Rows

if TYPE_CHECKING:
    from resources.events.model import RecordedEvent
    from resources.events.projections.model import Row

_ENDS = {"workflow.completed": "completed", "workflow.failed": "failed", "workflow.cancelled": "cancelled"}
_LIFE = frozenset({"workflow.created", "workflow.started", *_ENDS})
_NODES = frozenset({"workflow.node_started", "workflow.node_completed", "workflow.node_failed"})


class WorkflowExecutionHistory(Projection):
    """One row an execution; the key is the workflow's id."""

    name = "workflow_execution_history"
    types = _LIFE | _NODES

    def keys(self, event: RecordedEvent) -> tuple[str, ...]:
        return (event.data["workflow_id"],)

    def apply(self, event: RecordedEvent, rows: Rows) -> None:
        row, data, at = rows.row(event.tenant, event.data["workflow_id"]), event.data, event.occurred_at.isoformat()
        row.setdefault("nodes_started", 0)
        row.setdefault("nodes_completed", 0)
        row.setdefault("nodes_failed", 0)
        match event.type:
            case "workflow.created":
                row |= {"workflow_type": data["workflow_type"], "status": "created", "created_at": at}
                row["user_id"] = data["user_id"]
            case "workflow.started":
                row |= {"workflow_type": data["workflow_type"], "status": "running", "started_at": at}
                row["user_id"] = data["user_id"]
            case "workflow.node_started" | "workflow.node_completed" | "workflow.node_failed":
                row[f"nodes_{event.type.rpartition('_')[2]}"] += 1
            case _:
                row |= {"status": _ENDS[event.type], "ended_at": at, "duration_ms": data["duration_ms"]}
                row["error"] = data.get("error_message") or data.get("reason")
                row["failed_node"] = data.get("failed_node")


class WorkflowStats(Projection):
    """`type/<workflow type>`: how often it ran, how it ended, how long it took. `execution/<id>` is for its own use."""

    name = "workflow_stats"
    types = _LIFE

    def keys(self, event: RecordedEvent) -> tuple[str, ...]:
        return (f"execution/{event.data['workflow_id']}",)

    def apply(self, event: RecordedEvent, rows: Rows) -> None:
        own = f"execution/{event.data['workflow_id']}"
        execution = rows.row(event.tenant, own)
        if "workflow_type" in event.data:
            execution["workflow_type"] = event.data["workflow_type"]
        stats = rows.row(event.tenant, f"type/{execution.get('workflow_type', 'unknown')}")
        _count(stats, event.type.partition(".")[2])
        if event.type in _ENDS:
            if event.data["duration_ms"] is not None and event.type == "workflow.completed":
                sketch.add(stats.setdefault("duration_ms", {}), event.data["duration_ms"])
            ended = sum(stats.get(end, 0) for end in _ENDS.values())
            stats["success_rate"] = stats.get("completed", 0) / ended
            stats["p95_ms"] = sketch.quantile(stats.get("duration_ms", {}), 0.95)
            rows.remove(event.tenant, own)


def _count(row: Row, name: str) -> None:
    row[name] = row.get(name, 0) + 1
