"""Workflows, their runs, and what waits for people."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx

from api.async_client.base import HttpClient
from api.client.answers import V1, Answer, Seen, given, list_of, model_of
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
    from collections.abc import AsyncGenerator, Mapping
    from uuid import UUID


class WorkflowsClient(HttpClient):
    """Workflows, their runs, and what waits for people."""

    async def workflows(self) -> list[WorkflowOut]:
        return list_of(WorkflowOut, (await self._send("GET", f"{V1}/workflows")))

    async def workflow(self, name: str, *, revision: int | None = None) -> WorkflowOut:
        return await self._get(f"{V1}/workflows/{quote(name, safe='')}", WorkflowOut, revision=revision)

    async def workflow_versions(self, name: str) -> list[WorkflowOut]:
        return list_of(WorkflowOut, (await self._send("GET", f"{V1}/workflows/{quote(name, safe='')}/versions")))

    async def publish_workflow(self, text: bytes, *, note: str | None = None, dry_run: bool = False) -> dict[str, Any]:
        """`text` is YAML or JSON. Raises InvalidInputError with all problems. With `dry_run` nothing is published."""
        parameters = given({"note": note, "dry_run": dry_run or None})
        headers = {"Content-Type": "application/yaml"}
        answer = await self._send("POST", f"{V1}/workflows", params=parameters, content=text, headers=headers)
        return dict(answer.json())

    async def archive_workflow(self, name: str, *, if_match: Seen | None = None) -> WorkflowOut:
        path = f"{V1}/workflows/{quote(name, safe='')}"
        return model_of(WorkflowOut, (await self._send("DELETE", path, if_match=if_match)))

    async def workflow_graph(self, name: str, *, format: str = "mermaid", revision: int | None = None) -> bytes:
        """The drawing, in Mermaid, SVG or PNG."""
        parameters = given({"format": format, "revision": revision})
        return (await self._send("GET", f"{V1}/workflows/{quote(name, safe='')}/graph", params=parameters)).content

    async def workflow_diff(self, name: str, one: int, other: int | None = None) -> DiffOut:
        return await self._get(f"{V1}/workflows/{quote(name, safe='')}/diff", DiffOut, one=one, other=other)

    async def run_workflow(
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
        answer = await self._send("POST", path, json=body, headers=headers, params=parameters, timeout=timeout)
        return model_of(StartedOut, answer)

    async def execution(self, run_id: str) -> ExecutionOut:
        """A run of a workflow, node by node."""
        return await self._get(f"{V1}/executions/{quote(run_id, safe='')}", ExecutionOut)

    async def executions(
        self,
        *,
        workflow: str | None = None,
        status: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> ExecutionPageOut:
        return await self._get(
            f"{V1}/executions", ExecutionPageOut, workflow=workflow, status=status, limit=limit, cursor=cursor
        )

    async def outputs(self, run_id: str, *, node: str | None = None) -> Any:
        """What a run of a workflow gave, or one node of it, in full."""
        return (await self._get(f"{V1}/executions/{quote(run_id, safe='')}/outputs", OutputOut, node=node)).value

    async def cancel_run(self, run_id: str) -> bool:
        """End a run; False if it has ended already."""
        return bool((await self._plain("POST", f"{V1}/runs/{quote(run_id, safe='')}/cancel"))["cancelling"])

    async def rerun(self, run_id: str, *, begin: str = "failure", revision: int | None = None) -> StartedOut:
        """Execute a run again: from its `failure`, `all` of it, or from a node on."""
        body = {"from": begin, "revision": revision}
        answer = await self._send("POST", f"{V1}/runs/{quote(run_id, safe='')}/rerun", json=body)
        return model_of(StartedOut, answer)

    async def plan_rerun(self, run_id: str, *, begin: str = "failure", revision: int | None = None) -> RerunPlanOut:
        """What `rerun` would do."""
        body = {"from": begin, "revision": revision, "dry_run": True}
        answer = await self._send("POST", f"{V1}/runs/{quote(run_id, safe='')}/rerun", json=body)
        return model_of(RerunPlanOut, answer)

    async def node_types(self) -> list[dict[str, Any]]:
        return list(await self._plain("GET", f"{V1}/node-types"))

    async def templates(self, **parameters: Any) -> list[dict[str, Any]]:
        return list(await self._plain("GET", f"{V1}/templates", **parameters))

    async def template(self, template_id: str) -> Answer:
        return await self._mapping("GET", f"{V1}/templates/{quote(template_id, safe='')}")

    async def run(self, run_id: str) -> RunOut:
        return await self._get(f"{V1}/runs/{run_id}", RunOut)

    async def runs(self, **parameters: Any) -> RunPageOut:
        """A page of runs of workflows and of other jobs; `job`, `status`, `limit` and `cursor` narrow it."""
        return await self._get(f"{V1}/runs", RunPageOut, **parameters)

    async def run_logs(self, run_id: str, **parameters: Any) -> LogPageOut:
        return await self._get(f"{V1}/runs/{quote(run_id, safe='')}/logs", LogPageOut, **parameters)

    async def approvals(self, *, waiting: bool = True) -> list[dict[str, Any]]:
        return list(await self._plain("GET", f"{V1}/approvals", waiting=str(waiting).lower()))

    async def decide_approval(self, approval_id: str, verb: str, *, comment: str | None = None) -> Answer:
        return await self._mapping("POST", f"{V1}/approvals/{approval_id}/{verb}", json={"comment": comment})

    async def approve(self, approval_id: UUID, **fields: Any) -> Answer:
        return await self._mapping("POST", f"{V1}/approvals/{approval_id}/grant", json=fields)

    async def deny(self, approval_id: UUID, **fields: Any) -> Answer:
        return await self._mapping("POST", f"{V1}/approvals/{approval_id}/deny", json=fields)

    async def plan_backfill(self, request: Mapping[str, Any]) -> BackfillPlanOut:
        """What `start_backfill` would start."""
        body = {**request, "dry_run": True}
        return model_of(BackfillPlanOut, (await self._send("POST", f"{V1}/backfills", json=body)))

    async def start_backfill(self, request: Mapping[str, Any]) -> BackfillOut:
        """`request` has the members of the API's."""
        return model_of(BackfillOut, (await self._send("POST", f"{V1}/backfills", json=dict(request))))

    async def backfills(self) -> list[BackfillOut]:
        return list_of(BackfillOut, (await self._send("GET", f"{V1}/backfills")))

    async def backfill(self, backfill_id: UUID) -> BackfillOut:
        return await self._get(f"{V1}/backfills/{backfill_id}", BackfillOut)

    async def backfill_runs(self, backfill_id: UUID, *, after: int = 0, limit: int = 100) -> list[PlannedRunOut]:
        parameters = {"after": after, "limit": limit}
        return list_of(
            PlannedRunOut, (await self._send("GET", f"{V1}/backfills/{backfill_id}/runs", params=parameters))
        )

    async def cancel_backfill(self, backfill_id: UUID) -> BackfillOut:
        return model_of(BackfillOut, (await self._send("POST", f"{V1}/backfills/{backfill_id}/cancel")))

    async def workflow_schema(self, name: str) -> Answer:
        """The JSON Schema of the workflow's inputs."""
        return await self._mapping("GET", f"{V1}/workflows/{quote(name, safe='')}/schema")

    async def spec_schema(self) -> Answer:
        """The JSON Schema of workflows themselves."""
        return await self._mapping("GET", f"{V1}/workflows/schema")

    async def node_type(self, name: str) -> Answer:
        return await self._mapping("GET", f"{V1}/node-types/{quote(name, safe='')}")

    async def search_templates(self, **parameters: Any) -> list[dict[str, Any]]:
        """By `text`, `category`, `complexity`, `tags`, `has_inputs`, `has_outputs`, `max_duration`."""
        return list(await self._plain("GET", f"{V1}/templates/search", **parameters))

    async def template_categories(self) -> Any:
        return await self._plain("GET", f"{V1}/templates/categories")

    async def template_tags(self) -> Any:
        return await self._plain("GET", f"{V1}/templates/tags")

    async def template_statistics(self) -> Answer:
        return await self._mapping("GET", f"{V1}/templates/statistics")

    async def approval(self, approval_id: UUID) -> Answer:
        return await self._mapping("GET", f"{V1}/approvals/{approval_id}")

    async def follow_run(self, run_id: str) -> AsyncGenerator[dict[str, Any], None]:
        """What happens to a run, until it has ended."""
        async for block in self._follow(f"{V1}/runs/{quote(run_id, safe='')}/stream"):
            yield {"event": block.get("event"), **json.loads(block["data"])}
