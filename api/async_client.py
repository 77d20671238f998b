"""The client for programs that await. Written by `docs/async_client.py` from `api/client.py`: change that one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

import httpx

from api.auth.schemas import (
    KeyOut,
    LoginOut,
    LogoutOut,
    NewKeyOut,
    PrincipalOut,
    ProviderKeyOut,
    RotatedOut,
    TenantOut,
    UserOut,
)
from api.client import _TAIL_TIMEOUT, _TRIES_OF_A_READ, _V1, _given, _list_of, _Model, _named, _reason, error_of
from api.registry import AgentOut, AgentPage, BeatOut, DiscoveredOut
from api.schemas import (
    AggregateOut,
    BatchOut,
    DeadLetterOut,
    DeadLetterPage,
    DocumentAccepted,
    DocumentPage,
    DryRunOut,
    EventOut,
    EventPage,
    EventStatisticsOut,
    HealthDetailOut,
    HealthOut,
    ProjectionOut,
    ProjectionRows,
    ReplayOut,
    ReplayPage,
    ReplayPlanOut,
    RouteOut,
    RunOut,
    SearchOut,
    StatisticsOut,
    StreamPage,
    SubscriptionOut,
)
from api.workflows.schemas import (
    BackfillOut,
    BackfillPlanOut,
    DiffOut,
    ExecutionOut,
    ExecutionPageOut,
    LogPageOut,
    OutputOut,
    PlannedRunOut,
    RerunPlanOut,
    RunPageOut,
    StartedOut,
    WorkflowOut,
)
from resources.content.model import Document
from resources.errors import (
    UnavailableError,
)
from resources.knowledge.model import ConceptView, LearningPath
from resources.telemetry import correlation

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
    from datetime import datetime
    from types import TracebackType
    from uuid import UUID

    from api.schemas import ReplayIn
    from resources.content.model import DocumentStatus


class AsyncApiClient:
    """Speaks to one API at `url`. `timeout` is in seconds, for each step of a request.

    `token` is an access token or an API key; `auth` adds credentials in a way of its own.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        auth: httpx.Auth | None = None,
        timeout: float = 30.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._http = httpx.AsyncClient(
            base_url=self.url, auth=auth, headers=headers, timeout=timeout, transport=transport, trust_env=False
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Give back the connections."""
        await self._http.aclose()

    async def health(self) -> HealthOut:
        return await self._get("/health", HealthOut)

    async def health_detailed(self) -> HealthDetailOut:
        """Also answered when something is down: the answer says what."""
        answer = await self._send("GET", "/health/detailed", expected=(200, 503))
        return HealthDetailOut.model_validate_json(answer.content)

    async def append_event(
        self, type: str, data: Mapping[str, Any], *, stream: str | None = None, **fields: Any
    ) -> EventOut:
        """Store one event; `fields` are further members of the request (`event_id`, `expected_version`, `metadata`)."""
        body = {"type": type, "data": dict(data), **fields} | ({} if stream is None else {"stream": stream})
        return EventOut.model_validate_json((await self._send("POST", f"{_V1}/events", json=body)).content)

    async def append_events(self, events: Sequence[Mapping[str, Any]]) -> BatchOut:
        """Store several events; the answer has a result for each."""
        body = [dict(event) for event in events]
        return BatchOut.model_validate_json((await self._send("POST", f"{_V1}/events", json=body)).content)

    async def read_events(
        self,
        *,
        after: int = 0,
        types: Iterable[str] = (),
        stream_type: str | None = None,
        tags: Iterable[str] = (),
        correlation_id: str | None = None,
        limit: int = 100,
    ) -> EventPage:
        """One page; `types` may be patterns, `tags` are NAME=VALUE."""
        return await self._get(
            f"{_V1}/events",
            EventPage,
            after=after,
            types=list(types),
            stream_type=stream_type,
            tag=list(tags),
            correlation_id=correlation_id,
            limit=limit,
        )

    async def read_stream(self, stream: str, **parameters: Any) -> StreamPage:
        """A page of the stream `type/id`."""
        return await self._get(f"{_V1}/streams/{quote(stream)}", StreamPage, **parameters)

    async def aggregate(self, stream: str, **parameters: Any) -> AggregateOut:
        """The state that the stream's events add up to, also `at_version`, `at_position` or `at_time`."""
        return await self._get(f"{_V1}/aggregates/{quote(stream)}", AggregateOut, **parameters)

    async def tail(self, *, after: int | None = None, types: Iterable[str] = ()) -> AsyncGenerator[EventOut, None]:
        """Events as they happen, for ever. When the connection breaks it is made again, and nothing is lost or repeated."""
        parameters: dict[str, Any] = {"types": list(types)} | ({} if after is None else {"after": after})
        headers = {"Accept": "text/event-stream"}
        while True:
            try:
                async with self._http.stream(
                    "GET", f"{_V1}/events/tail", params=parameters, headers=headers, timeout=_TAIL_TIMEOUT
                ) as answer:
                    if not answer.is_success:
                        await answer.aread()
                        raise error_of(answer)
                    block: dict[str, str] = {}
                    async for line in answer.aiter_lines():
                        if line:
                            name, _, value = line.partition(": ")
                            block[name] = value
                            continue
                        # Only a whole block counts: the id of a broken one would skip its event.
                        headers["Last-Event-ID"] = block.get("id", headers.get("Last-Event-ID", ""))
                        if "data" in block:
                            yield EventOut.model_validate_json(block["data"])
                        block = {}
            except httpx.TransportError as error:
                if "Last-Event-ID" not in headers:
                    raise self._silent(error) from error
                await self.health()  # raises when it does not come back at once

    async def event_statistics(self) -> EventStatisticsOut:
        return await self._get(f"{_V1}/events/statistics", EventStatisticsOut)

    async def subscriptions(self) -> list[SubscriptionOut]:
        return _list_of(SubscriptionOut, (await self._send("GET", f"{_V1}/subscriptions")))

    async def pause_subscription(self, name: str, *, paused: bool = True) -> SubscriptionOut:
        """Pause it, or with `paused=False` let it go on."""
        path = f"{_V1}/subscriptions/{quote(name, safe='')}/{'pause' if paused else 'resume'}"
        return SubscriptionOut.model_validate_json((await self._send("POST", path)).content)

    async def dead_letters(
        self, subscription: str, *, status: str | None = None, after: int = 0, limit: int = 100
    ) -> DeadLetterPage:
        path = f"{_V1}/subscriptions/{quote(subscription, safe='')}/dead-letters"
        return await self._get(path, DeadLetterPage, status=status, after=after, limit=limit)

    async def retry_dead_letter(
        self, subscription: str, letter_id: int, *, data: Mapping[str, Any] | None = None
    ) -> DeadLetterOut:
        path = f"{_V1}/subscriptions/{quote(subscription, safe='')}/dead-letters/{letter_id}/retry"
        return DeadLetterOut.model_validate_json((await self._send("POST", path, json={"data": data})).content)

    async def discard_dead_letter(self, subscription: str, letter_id: int) -> DeadLetterOut:
        path = f"{_V1}/subscriptions/{quote(subscription, safe='')}/dead-letters/{letter_id}/discard"
        return DeadLetterOut.model_validate_json((await self._send("POST", path)).content)

    async def projections(self) -> list[ProjectionOut]:
        return _list_of(ProjectionOut, (await self._send("GET", f"{_V1}/projections")))

    async def projection(self, name: str) -> ProjectionOut:
        return await self._get(f"{_V1}/projections/{quote(name, safe='')}", ProjectionOut)

    async def projection_rows(
        self, name: str, *, prefix: str = "", after: str = "", limit: int = 100
    ) -> ProjectionRows:
        path = f"{_V1}/projections/{quote(name, safe='')}/rows"
        return await self._get(path, ProjectionRows, prefix=prefix, after=after, limit=limit)

    async def rebuild_projection(self, name: str, *, rate: float | None = None) -> ReplayOut:
        parameters = {} if rate is None else {"rate": rate}
        path = f"{_V1}/projections/{quote(name, safe='')}/rebuild"
        return ReplayOut.model_validate_json((await self._send("POST", path, params=parameters)).content)

    async def cancel_rebuild(self, name: str) -> ProjectionOut:
        path = f"{_V1}/projections/{quote(name, safe='')}/cancel"
        return ProjectionOut.model_validate_json((await self._send("POST", path)).content)

    async def start_replay(self, request: ReplayIn) -> ReplayOut:
        body = request.model_copy(update={"dry_run": False}).model_dump(mode="json")
        return ReplayOut.model_validate_json((await self._send("POST", f"{_V1}/replays", json=body)).content)

    async def plan_replay(self, request: ReplayIn) -> ReplayPlanOut:
        body = request.model_copy(update={"dry_run": True}).model_dump(mode="json")
        return ReplayPlanOut.model_validate_json((await self._send("POST", f"{_V1}/replays", json=body)).content)

    async def replay(self, replay_id: UUID) -> ReplayOut:
        return await self._get(f"{_V1}/replays/{replay_id}", ReplayOut)

    async def replays(self, *, limit: int = 100) -> ReplayPage:
        return await self._get(f"{_V1}/replays", ReplayPage, limit=limit)

    async def cancel_replay(self, replay_id: UUID) -> ReplayOut:
        return ReplayOut.model_validate_json((await self._send("POST", f"{_V1}/replays/{replay_id}/cancel")).content)

    async def routes(self) -> list[RouteOut]:
        return _list_of(RouteOut, (await self._send("GET", f"{_V1}/routes")))

    async def save_route(self, name: str, rule: Mapping[str, Any]) -> RouteOut:
        path = f"{_V1}/routes/{quote(name, safe='')}"
        return RouteOut.model_validate_json((await self._send("PUT", path, json=dict(rule))).content)

    async def route_versions(self, name: str) -> list[RouteOut]:
        return _list_of(RouteOut, (await self._send("GET", f"{_V1}/routes/{quote(name, safe='')}/versions")))

    async def disable_route(self, name: str) -> RouteOut:
        return RouteOut.model_validate_json(
            (await self._send("DELETE", f"{_V1}/routes/{quote(name, safe='')}")).content
        )

    async def try_routes(self, request: Mapping[str, Any]) -> DryRunOut:
        """What the rules would do with stored events."""
        return DryRunOut.model_validate_json(
            (await self._send("POST", f"{_V1}/routes/dry-run", json=dict(request))).content
        )

    async def upload(
        self,
        content: bytes,
        *,
        name: str,
        uri: str | None = None,
        media_type: str | None = None,
        title: str | None = None,
        subject: str | None = None,
        requires: Iterable[str] = (),
        tags: Iterable[str] = (),
    ) -> DocumentAccepted:
        """Hand a document in. Raises InvalidInputError or LimitExceededError when it is refused, with the reason."""
        fields: dict[str, Any] = {"name": name, "uri": uri, "title": title, "subject": subject}
        parameters = {key: value for key, value in fields.items() if value is not None}
        answer = await self._send(
            "POST",
            f"{_V1}/documents",
            params={**parameters, "requires": list(requires), "tags": list(tags)},
            content=content,
            headers={"Content-Type": media_type or "application/octet-stream"},
        )
        return DocumentAccepted.model_validate_json(answer.content)

    async def document(self, document_id: str) -> Document:
        return await self._get(f"{_V1}/documents/{document_id}", Document)

    async def documents(
        self, *, after: str | None = None, limit: int = 100, status: DocumentStatus | None = None
    ) -> DocumentPage:
        return await self._get(f"{_V1}/documents", DocumentPage, after=after, limit=limit, status=status)

    async def search(self, query: str, *, limit: int = 10) -> SearchOut:
        return await self._get(f"{_V1}/search", SearchOut, q=query, limit=limit)

    async def learning_path(self, target: str, *, source: str | None = None) -> LearningPath:
        return await self._get(f"{_V1}/learning-path", LearningPath, to=target, **{"from": source})

    async def concept(self, concept: str) -> ConceptView:
        return await self._get(f"{_V1}/concepts/{concept}", ConceptView)

    async def statistics(self) -> StatisticsOut:
        return await self._get(f"{_V1}/statistics", StatisticsOut)

    async def run(self, run_id: str) -> RunOut:
        return await self._get(f"{_V1}/runs/{run_id}", RunOut)

    async def approvals(self, *, waiting: bool = True) -> list[dict[str, Any]]:
        return list(await self._plain("GET", f"{_V1}/approvals", waiting=str(waiting).lower()))

    async def decide_approval(self, approval_id: str, verb: str, *, comment: str | None = None) -> dict[str, Any]:
        return dict(await self._plain("POST", f"{_V1}/approvals/{approval_id}/{verb}", json={"comment": comment}))

    async def prompts(self, *, context: str | None = None, tag: str | None = None) -> list[dict[str, Any]]:
        return list(await self._plain("GET", f"{_V1}/prompts", context=context, tag=tag))

    async def prompt(self, reference: str) -> dict[str, Any]:
        prompt_id, which = _named(reference)
        return dict(await self._plain("GET", f"{_V1}/prompts/{prompt_id}", which=which))

    async def publish_prompt(
        self, prompt: Mapping[str, Any], *, comment: str | None = None, labels: Sequence[str] = ()
    ) -> dict[str, Any]:
        body = {"prompt": prompt, "comment": comment, "labels": list(labels)}
        return dict(await self._plain("POST", f"{_V1}/prompts", json=body))

    async def label_prompt(self, prompt_id: str, label: str, *, version: int) -> dict[str, Any]:
        return dict(await self._plain("PUT", f"{_V1}/prompts/{prompt_id}/labels/{label}", json={"version": version}))

    async def render_prompt(self, reference: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        prompt_id, which = _named(reference)
        body = {"variables": variables}
        return dict(await self._plain("POST", f"{_V1}/prompts/{prompt_id}/render", json=body, which=which))

    async def test_prompt(self, reference: str) -> list[dict[str, Any]]:
        prompt_id, which = _named(reference)
        return list(await self._plain("POST", f"{_V1}/prompts/{prompt_id}/test", which=which))

    async def diff_prompt(self, prompt_id: str, one: str, other: str) -> str:
        return str((await self._plain("GET", f"{_V1}/prompts/{prompt_id}/diff", one=one, other=other))["diff"])

    async def workflows(self) -> list[WorkflowOut]:
        return _list_of(WorkflowOut, (await self._send("GET", f"{_V1}/workflows")))

    async def workflow(self, name: str, *, revision: int | None = None) -> WorkflowOut:
        return await self._get(f"{_V1}/workflows/{quote(name, safe='')}", WorkflowOut, revision=revision)

    async def workflow_versions(self, name: str) -> list[WorkflowOut]:
        return _list_of(WorkflowOut, (await self._send("GET", f"{_V1}/workflows/{quote(name, safe='')}/versions")))

    async def publish_workflow(self, text: bytes, *, note: str | None = None, dry_run: bool = False) -> dict[str, Any]:
        """`text` is YAML or JSON. Raises InvalidInputError with all problems. With `dry_run` nothing is published."""
        parameters = _given({"note": note, "dry_run": dry_run or None})
        headers = {"Content-Type": "application/yaml"}
        answer = await self._send("POST", f"{_V1}/workflows", params=parameters, content=text, headers=headers)
        return dict(answer.json())

    async def archive_workflow(self, name: str) -> WorkflowOut:
        path = f"{_V1}/workflows/{quote(name, safe='')}"
        return WorkflowOut.model_validate_json((await self._send("DELETE", path)).content)

    async def workflow_graph(self, name: str, *, format: str = "mermaid", revision: int | None = None) -> bytes:
        """The drawing, in Mermaid, SVG or PNG."""
        parameters = _given({"format": format, "revision": revision})
        return (await self._send("GET", f"{_V1}/workflows/{quote(name, safe='')}/graph", params=parameters)).content

    async def workflow_diff(self, name: str, one: int, other: int | None = None) -> DiffOut:
        return await self._get(f"{_V1}/workflows/{quote(name, safe='')}/diff", DiffOut, one=one, other=other)

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
        path = f"{_V1}/workflows/{quote(name, safe='')}/run"
        timeout = httpx.Timeout(30.0, read=30.0 + (wait or 0.0))
        answer = await self._send("POST", path, json=body, headers=headers, params=parameters, timeout=timeout)
        return StartedOut.model_validate_json(answer.content)

    async def execution(self, run_id: str) -> ExecutionOut:
        """A run of a workflow, node by node."""
        return await self._get(f"{_V1}/executions/{quote(run_id, safe='')}", ExecutionOut)

    async def executions(
        self,
        *,
        workflow: str | None = None,
        status: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> ExecutionPageOut:
        return await self._get(
            f"{_V1}/executions", ExecutionPageOut, workflow=workflow, status=status, limit=limit, cursor=cursor
        )

    async def outputs(self, run_id: str, *, node: str | None = None) -> Any:
        """What a run of a workflow gave, or one node of it, in full."""
        return (await self._get(f"{_V1}/executions/{quote(run_id, safe='')}/outputs", OutputOut, node=node)).value

    async def cancel_run(self, run_id: str) -> bool:
        """End a run; False if it has ended already."""
        return bool((await self._plain("POST", f"{_V1}/runs/{quote(run_id, safe='')}/cancel"))["cancelling"])

    async def rerun(self, run_id: str, *, begin: str = "failure", revision: int | None = None) -> StartedOut:
        """Execute a run again: from its `failure`, `all` of it, or from a node on."""
        body = {"from": begin, "revision": revision}
        answer = await self._send("POST", f"{_V1}/runs/{quote(run_id, safe='')}/rerun", json=body)
        return StartedOut.model_validate_json(answer.content)

    async def plan_rerun(self, run_id: str, *, begin: str = "failure", revision: int | None = None) -> RerunPlanOut:
        """What `rerun` would do."""
        body = {"from": begin, "revision": revision, "dry_run": True}
        answer = await self._send("POST", f"{_V1}/runs/{quote(run_id, safe='')}/rerun", json=body)
        return RerunPlanOut.model_validate_json(answer.content)

    async def node_types(self) -> list[dict[str, Any]]:
        return list(await self._plain("GET", f"{_V1}/node-types"))

    async def templates(self, **parameters: Any) -> list[dict[str, Any]]:
        return list(await self._plain("GET", f"{_V1}/templates", **parameters))

    async def template(self, template_id: str) -> dict[str, Any]:
        return dict(await self._plain("GET", f"{_V1}/templates/{quote(template_id, safe='')}"))

    async def runs(self, **parameters: Any) -> RunPageOut:
        """A page of runs of workflows and of other jobs; `job`, `status`, `limit` and `cursor` narrow it."""
        return await self._get(f"{_V1}/runs", RunPageOut, **parameters)

    async def run_logs(self, run_id: str, **parameters: Any) -> LogPageOut:
        return await self._get(f"{_V1}/runs/{quote(run_id, safe='')}/logs", LogPageOut, **parameters)

    async def publish_message(self, topic: str, content: Any, **fields: Any) -> dict[str, Any]:
        """Publish to a topic; `fields` are further members of the request (`message_id`, `type`, `ttl`)."""
        path = f"{_V1}/topics/{quote(topic, safe='')}/messages"
        return dict(await self._plain("POST", path, json={"content": content, **fields}))

    async def messages(self, topic: str, **parameters: Any) -> dict[str, Any]:
        """A page of the topic's history."""
        return dict(await self._plain("GET", f"{_V1}/topics/{quote(topic, safe='')}/messages", **parameters))

    async def presence(self, **parameters: Any) -> Any:
        return await self._plain("GET", f"{_V1}/presence", **parameters)

    async def register_agent(self, name: str, endpoint: str, capabilities: Iterable[str], **fields: Any) -> AgentOut:
        """Register an agent that runs elsewhere, or say anew what it is; then send `agent_heartbeat` each minute."""
        body = {"name": name, "endpoint": endpoint, "capabilities": list(capabilities), **fields}
        return AgentOut.model_validate_json((await self._send("POST", f"{_V1}/registry/agents", json=body)).content)

    async def agents(self, *, after: str = "", limit: int = 100) -> AgentPage:
        return await self._get(f"{_V1}/registry/agents", AgentPage, after=after, limit=limit)

    async def agent(self, agent_id: UUID) -> AgentOut:
        return await self._get(f"{_V1}/registry/agents/{agent_id}", AgentOut)

    async def discover_agents(self, *capabilities: str, strategy: str = "round_robin") -> DiscoveredOut:
        """Who can do all of it, and whom to ask."""
        path = f"{_V1}/registry/agents/discover"
        return await self._get(path, DiscoveredOut, capability=list(capabilities), strategy=strategy)

    async def agent_heartbeat(self, agent_id: UUID, *, status: str = "healthy", **fields: Any) -> BeatOut:
        """Raises NotFoundError when the agent has to register anew."""
        path = f"{_V1}/registry/agents/{agent_id}/heartbeat"
        return BeatOut.model_validate_json((await self._send("POST", path, json={"status": status, **fields})).content)

    async def remove_agent(self, agent_id: UUID) -> None:
        await self._send("DELETE", f"{_V1}/registry/agents/{agent_id}")

    async def approve(self, approval_id: UUID, **fields: Any) -> dict[str, Any]:
        return dict(await self._plain("POST", f"{_V1}/approvals/{approval_id}/grant", json=fields))

    async def deny(self, approval_id: UUID, **fields: Any) -> dict[str, Any]:
        return dict(await self._plain("POST", f"{_V1}/approvals/{approval_id}/deny", json=fields))

    async def budgets(self) -> list[dict[str, Any]]:
        return list(await self._plain("GET", f"{_V1}/budgets"))

    async def usage_summary(self, **parameters: Any) -> dict[str, Any]:
        return dict(await self._plain("GET", f"{_V1}/usage/summary", **parameters))

    async def get_json(self, path: str, **parameters: Any) -> Any:
        """What `path` (behind /api/v1) answers, as plain JSON values. Parameters that are None are left out."""
        return await self._plain("GET", f"{_V1}{path}", **parameters)

    async def send_json(self, method: str, path: str, body: Any) -> Any:
        """Send a body to `path` (behind /api/v1); None for an answer without one."""
        answer = await self._send(method, f"{_V1}{path}", **({} if body is None else {"json": body}))
        return answer.json() if answer.content else None

    async def download(self, path: str, **parameters: Any) -> AsyncIterator[bytes]:
        """What `path` (behind /api/v1) answers, piece by piece, however long it is."""
        given = {key: value for key, value in parameters.items() if value is not None}
        try:
            async with self._http.stream("GET", f"{_V1}{path}", params=given) as answer:
                if not answer.is_success:
                    await answer.aread()
                    raise error_of(answer)
                async for piece in answer.aiter_bytes():
                    yield piece
        except httpx.TransportError as error:
            raise self._silent(error) from error

    async def plan_backfill(self, request: Mapping[str, Any]) -> BackfillPlanOut:
        """What `start_backfill` would start."""
        body = {**request, "dry_run": True}
        return BackfillPlanOut.model_validate_json((await self._send("POST", f"{_V1}/backfills", json=body)).content)

    async def start_backfill(self, request: Mapping[str, Any]) -> BackfillOut:
        """`request` has the members of the API's."""
        return BackfillOut.model_validate_json(
            (await self._send("POST", f"{_V1}/backfills", json=dict(request))).content
        )

    async def backfills(self) -> list[BackfillOut]:
        return _list_of(BackfillOut, (await self._send("GET", f"{_V1}/backfills")))

    async def backfill(self, backfill_id: UUID) -> BackfillOut:
        return await self._get(f"{_V1}/backfills/{backfill_id}", BackfillOut)

    async def backfill_runs(self, backfill_id: UUID, *, after: int = 0, limit: int = 100) -> list[PlannedRunOut]:
        parameters = {"after": after, "limit": limit}
        return _list_of(
            PlannedRunOut, (await self._send("GET", f"{_V1}/backfills/{backfill_id}/runs", params=parameters))
        )

    async def cancel_backfill(self, backfill_id: UUID) -> BackfillOut:
        return BackfillOut.model_validate_json(
            (await self._send("POST", f"{_V1}/backfills/{backfill_id}/cancel")).content
        )

    async def _plain(self, method: str, path: str, *, json: Any = None, **parameters: Any) -> Any:
        """The answer as plain JSON values."""
        given = {key: value for key, value in parameters.items() if value is not None}
        body = {} if json is None else {"json": json}
        return (await self._send(method, path, params=given, **body)).json()

    async def login(self, username: str, password: str, *, tenant: str | None = None) -> LoginOut:
        """Raises UnauthenticatedError, LimitExceededError. The client itself stays as it is: make one with the `token`."""
        body = {"username": username, "password": password} | ({} if tenant is None else {"tenant": tenant})
        return LoginOut.model_validate_json(
            (await self._send("POST", f"{_V1}/auth/login", json=body, auth=None)).content
        )

    async def refresh(self, refresh_token: str) -> LoginOut:
        """New tokens; the one that is sent is used up."""
        body = {"refresh_token": refresh_token}
        return LoginOut.model_validate_json(
            (await self._send("POST", f"{_V1}/auth/refresh", json=body, auth=None)).content
        )

    async def logout(self, *, refresh_token: str | None = None, everywhere: bool = False) -> LogoutOut:
        body = {"refresh_token": refresh_token, "everywhere": everywhere}
        return LogoutOut.model_validate_json((await self._send("POST", f"{_V1}/auth/logout", json=body)).content)

    async def whoami(self) -> PrincipalOut:
        return await self._get(f"{_V1}/auth/whoami", PrincipalOut)

    async def tenants(self) -> list[TenantOut]:
        return _list_of(TenantOut, (await self._send("GET", f"{_V1}/tenants")))

    async def tenant(self, tenant: str) -> TenantOut:
        return await self._get(f"{_V1}/tenants/{quote(tenant, safe='')}", TenantOut)

    async def create_tenant(self, **fields: Any) -> TenantOut:
        return TenantOut.model_validate_json((await self._send("POST", f"{_V1}/tenants", json=_given(fields))).content)

    async def change_tenant(self, tenant: str, **changes: Any) -> TenantOut:
        path = f"{_V1}/tenants/{quote(tenant, safe='')}"
        return TenantOut.model_validate_json((await self._send("PATCH", path, json=_given(changes))).content)

    async def users(self) -> list[UserOut]:
        return _list_of(UserOut, (await self._send("GET", f"{_V1}/users")))

    async def create_user(self, username: str, **fields: Any) -> UserOut:
        body = {"username": username, **_given(fields)}
        return UserOut.model_validate_json((await self._send("POST", f"{_V1}/users", json=body)).content)

    async def user(self, user_id: UUID) -> UserOut:
        return await self._get(f"{_V1}/users/{user_id}", UserOut)

    async def change_user(self, user_id: UUID, **changes: Any) -> UserOut:
        answer = await self._send("PATCH", f"{_V1}/users/{user_id}", json=_given(changes))
        return UserOut.model_validate_json(answer.content)

    async def set_password(self, user_id: UUID, password: str) -> None:
        await self._send("PUT", f"{_V1}/users/{user_id}/password", json={"password": password})

    async def keys(self) -> list[KeyOut]:
        return _list_of(KeyOut, (await self._send("GET", f"{_V1}/keys")))

    async def create_key(
        self, name: str, *, scopes: Iterable[str] | None = None, expires_at: datetime | None = None
    ) -> NewKeyOut:
        """The answer holds the key itself, this once."""
        body = {
            "name": name,
            "scopes": None if scopes is None else list(scopes),
            "expires_at": None if expires_at is None else expires_at.isoformat(),
        }
        return NewKeyOut.model_validate_json((await self._send("POST", f"{_V1}/keys", json=body)).content)

    async def revoke_key(self, key_id: str) -> KeyOut:
        return KeyOut.model_validate_json((await self._send("DELETE", f"{_V1}/keys/{quote(key_id, safe='')}")).content)

    async def rotate_signing_key(self) -> RotatedOut:
        return RotatedOut.model_validate_json((await self._send("POST", f"{_V1}/keys/signing/rotate")).content)

    async def store_provider_key(self, provider: str, key: str) -> ProviderKeyOut:
        path = f"{_V1}/provider-keys/{quote(provider, safe='')}"
        return ProviderKeyOut.model_validate_json((await self._send("PUT", path, json={"key": key})).content)

    async def remove_provider_key(self, provider: str) -> None:
        await self._send("DELETE", f"{_V1}/provider-keys/{quote(provider, safe='')}")

    async def _get(self, path: str, model: type[_Model], **parameters: Any) -> _Model:
        given = {key: value for key, value in parameters.items() if value is not None}
        return model.model_validate_json((await self._send("GET", path, params=given)).content)

    async def _send(self, method: str, path: str, *, expected: tuple[int, ...] = (), **request: Any) -> httpx.Response:
        headers = {correlation.HEADER: correlation.accept(correlation.current()), **request.pop("headers", {})}
        tries = _TRIES_OF_A_READ if method == "GET" else 1
        for remaining in reversed(range(tries)):
            try:
                answer = await self._http.request(method, path, headers=headers, **request)
            except httpx.TransportError as error:
                if remaining:
                    continue
                raise self._silent(error) from error
            if answer.is_success or answer.status_code in expected:
                return answer
            raise error_of(answer)
        raise AssertionError("unreachable")

    def _silent(self, error: httpx.TransportError) -> UnavailableError:
        return UnavailableError(
            f"The API at {self.url!r} does not answer ({_reason(error)}). Start it with `aiw up`, or name "
            "another with AIW_API_URL.",
            dependency="api",
        )
