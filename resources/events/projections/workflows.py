"""Read models of workflows: each execution's story, lists of executions, figures per workflow, and what is published."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from resources.events.projections import sketch
from resources.events.projections.model import Projection, Rows

if TYPE_CHECKING:
    from resources.events.model import RecordedEvent
    from resources.events.projections.model import Row

_ENDS = {"workflow.completed": "completed", "workflow.failed": "failed", "workflow.cancelled": "cancelled"}
_LIFE = frozenset({"workflow.created", "workflow.started", *_ENDS})
_NODES = {
    "workflow.node_started": "running",
    "workflow.node_completed": "completed",
    "workflow.node_failed": "failed",
    "workflow.node_retried": "retrying",
    "workflow.node_skipped": "skipped",
}
_DONE = ("completed", "failed", "skipped")

MOST_NODES = 1000
NODE_PREVIEW_BYTES = 400
VALUE_PREVIEW_BYTES = 16_384
_ERROR_CHARS = 2000


class WorkflowExecutionHistory(Projection):
    """One row an execution; the key is the workflow's id.

    A row tells of at most `MOST_NODES` nodes, and of values as much as fits the previews: the events have all of it.
    """

    name = "workflow_execution_history"
    version = 2
    types = _LIFE | _NODES.keys()

    def keys(self, event: RecordedEvent) -> tuple[str, ...]:
        return (event.data["workflow_id"],)

    def apply(self, event: RecordedEvent, rows: Rows) -> None:
        self.tell(event, rows.row(event.tenant, event.data["workflow_id"]))

    def tell(self, event: RecordedEvent, row: Row) -> None:
        """Add what the event says to an execution's row."""
        data, at = event.data, event.occurred_at.isoformat()
        if not row:
            counts = dict.fromkeys(("nodes_started", "nodes_completed", "nodes_failed", "nodes_skipped", "retries"), 0)
            row |= {"status": "created", **counts, "nodes": {}, "position": event.position}
        match event.type:
            case "workflow.created" | "workflow.started":
                row |= {"workflow_type": data["workflow_type"], "user_id": data["user_id"]}
                row["inputs"] = preview(data["input_data"], VALUE_PREVIEW_BYTES)
                row["correlation_id"] = event.metadata.correlation_id
                if event.type == "workflow.created":
                    row |= {"status": "created", "created_at": at}
                else:
                    known = ("revision", "nodes_total", "parent_run_id", "trigger")
                    row |= {"status": "running", "started_at": at, **{name: data[name] for name in known}}
            case kind if kind in _NODES:
                self._tell_node(event, row, at)
            case _:
                row |= {"status": _ENDS[event.type], "ended_at": at, "duration_ms": data["duration_ms"]}
                row["error"] = _short(data.get("error_message") or data.get("reason"))
                row["failed_node"] = data.get("failed_node")
                row["outputs"] = preview(data.get("output_data"), VALUE_PREVIEW_BYTES)
        if event.type not in _NODES or "progress" not in row:
            row["progress"] = _progress(row)

    def _tell_node(self, event: RecordedEvent, row: Row, at: str) -> None:
        data, status = event.data, _NODES[event.type]
        counted = {"running": "nodes_started", "retrying": "retries"}.get(status, f"nodes_{status}")
        row[counted] += 1
        if data["node_id"] not in row["nodes"] and len(row["nodes"]) >= MOST_NODES:
            return
        node = row["nodes"].setdefault(data["node_id"], {"type": data["node_type"], "attempt": 1})
        if "progress" in row:
            _move(row, node.get("status"), status)
        node["status"] = status
        match status:
            case "running":
                node |= {"started_at": node.get("started_at", at), "attempt": data["attempt"]}
            case "skipped":
                node |= {"ended_at": at, "reason": data["reason"]}
            case "retrying":
                node |= {"attempt": data["attempt"], "error": _short(data["error_message"])}
            case _:
                node |= {"ended_at": at, "duration_ms": data["duration_ms"], "attempt": data["attempt"]}
                node["error"] = _short(data.get("error_message"))
                node["output"] = preview(data.get("output_data"), NODE_PREVIEW_BYTES)


class WorkflowExecutions(Projection):
    """Lists of executions, the newest first: `all/<order>` and `workflow/<type>/<order>`. `run/<id>` is for its own use."""

    name = "workflow_executions"
    types = frozenset({"workflow.created", "workflow.started"})

    def keys(self, event: RecordedEvent) -> tuple[str, ...]:
        return (f"run/{event.data['workflow_id']}",)

    def apply(self, event: RecordedEvent, rows: Rows) -> None:
        run = event.data["workflow_id"]
        seen = rows.row(event.tenant, f"run/{run}")
        if seen:
            return
        order = f"{10**18 - event.position:018d}"
        seen["order"] = order
        rows.row(event.tenant, f"all/{order}")["run_id"] = run
        rows.row(event.tenant, f"workflow/{event.data['workflow_type']}/{order}")["run_id"] = run


class WorkflowStats(Projection):
    """`type/<workflow type>`: how often it ran, how it ended, how long it took. `execution/<id>` is for its own use."""

    name = "workflow_stats"
    types = _LIFE

    def keys(self, event: RecordedEvent) -> tuple[str, ...]:
        return (f"execution/{event.data['workflow_id']}",)

    def apply(self, event: RecordedEvent, rows: Rows) -> None:
        own = f"execution/{event.data['workflow_id']}"
        execution = rows.row(event.tenant, own)
        if event.data.get("workflow_type") is not None:
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


class WorkflowCatalog(Projection):
    """What is published: one row a workflow; the key is its name."""

    name = "workflow_catalog"
    types = frozenset({"workflow_definition.published", "workflow_definition.archived", "workflow_definition.restored"})

    def keys(self, event: RecordedEvent) -> tuple[str, ...]:
        return (event.data["name"],)

    def apply(self, event: RecordedEvent, rows: Rows) -> None:
        data, at = event.data, event.occurred_at.isoformat()
        row = rows.row(event.tenant, data["name"])
        if event.type != "workflow_definition.published":
            archived = event.type.endswith("archived")
            row |= {"archived": archived, "archived_at": at if archived else None}
            return
        spec = data["spec"]
        row.setdefault("created_at", at)
        row |= {
            "archived": False,
            "revision": data["revision"],
            "sha256": data["sha256"],
            "published_at": at,
            "published_by": data["user_id"],
            "note": data["note"],
            "nodes": len(spec["nodes"]),
            "version": spec.get("version", "1.0"),
            "tags": spec.get("tags", []),
            **{name: spec.get(name) for name in ("description", "category", "complexity", "author")},
        }


def preview(value: Any, limit: int) -> Any:
    """The value if it is small; else the beginning of its JSON text, and its size."""
    text = orjson.dumps(value)
    if len(text) <= limit:
        return value
    return {"truncated": text[:limit].decode(errors="ignore"), "bytes": len(text)}


def _short(text: str | None) -> str | None:
    return text if text is None or len(text) <= _ERROR_CHARS else text[: _ERROR_CHARS - 1] + "…"


def _move(row: Row, before: str | None, status: str) -> None:
    """Change the progress for one node: to count all nodes of a large run at each event of it would take longer than the run."""
    progress = row["progress"]
    for name, by in ((before, -1), (status, 1)):
        if name in _DONE:
            progress[name] += by
        elif name is not None and row["status"] == "running":
            progress["running"] += by
    progress["total"] = max(row.get("nodes_total") or 0, len(row["nodes"]))
    progress["percentage"] = _percentage(row, progress)


def _progress(row: Row) -> Row:
    """Where the run stands, counted anew."""
    counts = dict.fromkeys(("completed", "failed", "skipped", "running", "retrying"), 0)
    for node in row["nodes"].values():
        counts[node["status"]] += 1
    running = counts["running"] + counts["retrying"]
    progress = {
        "total": max(row.get("nodes_total") or 0, len(row["nodes"])),
        "completed": counts["completed"],
        "failed": counts["failed"],
        "skipped": counts["skipped"],
        "running": running if row["status"] == "running" else 0,
    }
    return progress | {"percentage": _percentage(row, progress)}


def _percentage(row: Row, progress: Row) -> float:
    if row["status"] == "completed":
        return 100.0
    done = sum(progress[status] for status in _DONE)
    return round(100 * done / progress["total"], 1) if progress["total"] else 0.0


def _count(row: Row, name: str) -> None:
    row[name] = row.get(name, 0) + 1
