"""Workflows, their runs, and what waits for people."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx

from api.client.answers import V1, Answer, Seen, given, list_of, model_of
from api.client.base import HttpClient
from api.schemas import (
    RunOut,
)
from api.workflows.backfills import BackfillOut, BackfillPlanOut, PlannedRunOut
from api.workflows.schemas import (
    DiffOut,
    ExecutionOut,
    ExecutionPageOut,
    LogPageOut,
    OutputOut,
    RerunPlanOut,
    RunPageOut,
    StartedOut,
    WorkflowOut,
)

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from uuid import UUID


class WorkflowsClient(HttpClient):
    """Workflows, their runs, and what waits for people."""

    def workflows(self) -> list[WorkflowOut]:
        return list_of(WorkflowOut, self._send("GET", f"{V1}/workflows"))

    def workflow(self, name: str, *, revision: int | None = None) -> WorkflowOut:
        return self._get(f"{V1}/workflows/{quote(name, safe='')}", WorkflowOut, revision=revision)

    def workflow_versions(self, name: str) -> list[WorkflowOut]:
        return list_of(WorkflowOut, self._send("GET", f"{V1}/workflows/{quote(name, safe='')}/versions"))

    def publish_workflow(self, text: bytes, *, note: str | None = None, dry_run: bool = False) -> dict[str, Any]:
        """`text` is YAML or JSON. Raises InvalidInputError with all problems. With `dry_run` nothing is published."""
        parameters = given({"note": note, "dry_run": dry_run or None})
        headers = {"Content-Type": "application/yaml"}
        answer = self._send("POST", f"{V1}/workflows", params=parameters, content=text, headers=headers)
        return dict(answer.json())

    def archive_workflow(self, name: str, *, if_match: Seen | None = None) -> WorkflowOut:
        path = f"{V1}/workflows/{quote(name, safe='')}"
        return model_of(WorkflowOut, self._send("DELETE", path, if_match=if_match))

    def workflow_graph(self, name: str, *, format: str = "mermaid", revision: int | None = None) -> bytes:
        """The drawing, in Mermaid, SVG or PNG."""
        parameters = given({"format": format, "revision": revision})
        return self._send("GET", f"{V1}/workflows/{quote(name, safe='')}/graph", params=parameters).content

    def workflow_diff(self, name: str, one: int, other: int | None = None) -> DiffOut:
        return self._get(f"{V1}/workflows/{quote(name, safe='')}/diff", DiffOut, one=one, other=other)

    def run_workflow(
        self,
        name: str,
        inputs: Mapping[str, Any] | None = None,
        *,
        revision: int | None = None,
        key: str | None = None,
        tags: Mapping[str, str] | None = None,
        wait: float | None = None,
    ) -> StartedOut:
        """Start a run; the same `key` again starts nothing anew. `wait`: seconds to wait for its end."""
        body = {"inputs": dict(inputs or {}), "revision": revision, "tags": dict(tags or {})}
        headers = {} if key is None else {"Idempotency-Key": key}
        parameters = {} if wait is None else {"wait": wait}
        path = f"{V1}/workflows/{quote(name, safe='')}/run"
        timeout = httpx.Timeout(30.0, read=30.0 + (wait or 0.0))
        answer = self._send("POST", path, json=body, headers=headers, params=parameters, timeout=timeout)
        return model_of(StartedOut, answer)

    def execution(self, run_id: str) -> ExecutionOut:
        """A run of a workflow, node by node."""
        return self._get(f"{V1}/executions/{quote(run_id, safe='')}", ExecutionOut)

    def executions(
        self,
        *,
        workflow: str | None = None,
        status: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> ExecutionPageOut:
        return self._get(
            f"{V1}/executions", ExecutionPageOut, workflow=workflow, status=status, limit=limit, cursor=cursor
        )

    def outputs(self, run_id: str, *, node: str | None = None) -> Any:
        """What a run of a workflow gave, or one node of it, in full."""
        return self._get(f"{V1}/executions/{quote(run_id, safe='')}/outputs", OutputOut, node=node).value

    def cancel_run(self, run_id: str) -> bool:
        """End a run; False if it has ended already."""
        return bool(self._plain("POST", f"{V1}/runs/{quote(run_id, safe='')}/cancel")["cancelling"])

    def rerun(self, run_id: str, *, begin: str = "failure", revision: int | None = None) -> StartedOut:
        """Execute a run again: from its `failure`, `all` of it, or from a node on."""
        body = {"from": begin, "revision": revision}
        answer = self._send("POST", f"{V1}/runs/{quote(run_id, safe='')}/rerun", json=body)
        return model_of(StartedOut, answer)

    def plan_rerun(self, run_id: str, *, begin: str = "failure", revision: int | None = None) -> RerunPlanOut:
        """What `rerun` would do."""
        body = {"from": begin, "revision": revision, "dry_run": True}
        answer = self._send("POST", f"{V1}/runs/{quote(run_id, safe='')}/rerun", json=body)
        return model_of(RerunPlanOut, answer)

    def node_types(self) -> list[dict[str, Any]]:
        return list(self._plain("GET", f"{V1}/node-types"))

    def templates(self, **parameters: Any) -> list[dict[str, Any]]:
        return list(self._plain("GET", f"{V1}/templates", **parameters))

    def template(self, template_id: str) -> Answer:
        return self._mapping("GET", f"{V1}/templates/{quote(template_id, safe='')}")

    def run(self, run_id: str) -> RunOut:
        return self._get(f"{V1}/runs/{run_id}", RunOut)

    def runs(self, **parameters: Any) -> RunPageOut:
        """A page of runs of workflows and of other jobs; `job`, `status`, `limit` and `cursor` narrow it."""
        return self._get(f"{V1}/runs", RunPageOut, **parameters)

    def run_logs(self, run_id: str, **parameters: Any) -> LogPageOut:
        return self._get(f"{V1}/runs/{quote(run_id, safe='')}/logs", LogPageOut, **parameters)

    def approvals(self, *, waiting: bool = True) -> list[dict[str, Any]]:
        return list(self._plain("GET", f"{V1}/approvals", waiting=str(waiting).lower()))

    def decide_approval(self, approval_id: str, verb: str, *, comment: str | None = None) -> Answer:
        return self._mapping("POST", f"{V1}/approvals/{approval_id}/{verb}", json={"comment": comment})

    def approve(self, approval_id: UUID, **fields: Any) -> Answer:
        return self._mapping("POST", f"{V1}/approvals/{approval_id}/grant", json=fields)

    def deny(self, approval_id: UUID, **fields: Any) -> Answer:
        return self._mapping("POST", f"{V1}/approvals/{approval_id}/deny", json=fields)

    def plan_backfill(self, request: Mapping[str, Any]) -> BackfillPlanOut:
        """What `start_backfill` would start."""
        body = {**request, "dry_run": True}
        return model_of(BackfillPlanOut, self._send("POST", f"{V1}/backfills", json=body))

    def start_backfill(self, request: Mapping[str, Any]) -> BackfillOut:
        """`request` has the members of the API's."""
        return model_of(BackfillOut, self._send("POST", f"{V1}/backfills", json=dict(request)))

    def backfills(self) -> list[BackfillOut]:
        return list_of(BackfillOut, self._send("GET", f"{V1}/backfills"))

    def backfill(self, backfill_id: UUID) -> BackfillOut:
        return self._get(f"{V1}/backfills/{backfill_id}", BackfillOut)

    def backfill_runs(self, backfill_id: UUID, *, after: int = 0, limit: int = 100) -> list[PlannedRunOut]:
        parameters = {"after": after, "limit": limit}
        return list_of(PlannedRunOut, self._send("GET", f"{V1}/backfills/{backfill_id}/runs", params=parameters))

    def cancel_backfill(self, backfill_id: UUID) -> BackfillOut:
        return model_of(BackfillOut, self._send("POST", f"{V1}/backfills/{backfill_id}/cancel"))

    def workflow_schema(self, name: str) -> Answer:
        """The JSON Schema of the workflow's inputs."""
        return self._mapping("GET", f"{V1}/workflows/{quote(name, safe='')}/schema")

    def spec_schema(self) -> Answer:
        """The JSON Schema of workflows themselves."""
        return self._mapping("GET", f"{V1}/workflows/schema")

    def node_type(self, name: str) -> Answer:
        return self._mapping("GET", f"{V1}/node-types/{quote(name, safe='')}")

    def search_templates(self, **parameters: Any) -> list[dict[str, Any]]:
        """By `text`, `category`, `complexity`, `tags`, `has_inputs`, `has_outputs`, `max_duration`."""
        return list(self._plain("GET", f"{V1}/templates/search", **parameters))

    def template_categories(self) -> Any:
        return self._plain("GET", f"{V1}/templates/categories")

    def template_tags(self) -> Any:
        return self._plain("GET", f"{V1}/templates/tags")

    def template_statistics(self) -> Answer:
        return self._mapping("GET", f"{V1}/templates/statistics")

    def approval(self, approval_id: UUID) -> Answer:
        return self._mapping("GET", f"{V1}/approvals/{approval_id}")

    def follow_run(self, run_id: str) -> Generator[dict[str, Any], None, None]:
        """What happens to a run, until it has ended."""
        for block in self._follow(f"{V1}/runs/{quote(run_id, safe='')}/stream"):
            yield {"event": block.get("event"), **json.loads(block["data"])}
