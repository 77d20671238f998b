"""The paths of the platform's first API: each answers, as the one that took its place, and asks for the same permission."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from api.middleware.old_paths import present_path

if TYPE_CHECKING:
    import httpx

V1 = "/api/v1"
ID = "00000000-0000-4000-8000-000000000000"
STARTED = {"type": "run.started", "data": {"run_id": "a", "job": "b"}, "stream": "run/a"}
WORKFLOW = {"name": "old", "nodes": {"greet": {"type": "template", "config": {"template": "x"}}}}
AGENT = {"name": "ada", "endpoint": "https://agents.example/x", "capabilities": ["x"]}
# Method, path and body; the status of the answer, and its code or members that it has.
ANSWERS: list[tuple[str, str, Any, int, str]] = [
    ("POST", "/events", STARTED, 201, "recorded_at"),
    ("POST", "/events", [STARTED], 201, "results"),
    ("POST", "/events", {"data": "water is hot"}, 200, "stored_only"),
    ("POST", "/events", {"data": {"any": ["form"]}}, 200, "stored_only"),
    ("POST", "/events", {"data": 1, "extra": 2}, 422, "body.type"),
    ("POST", "/events", {}, 422, "body.type"),
    ("POST", "/events", "water", 422, "validation_failed"),
    ("GET", "/events", None, 200, "next_after"),
    ("GET", "/metrics", None, 200, "aiw_http_requests_total"),
    ("GET", "/metrics/summary", None, 200, "uptime_seconds"),
    ("POST", "/login", {"username": "nobody", "password": "wrong password"}, 401, "credentials_wrong"),
    ("POST", f"{V1}/auth/login", {"username": "nobody", "password": "wrong password"}, 401, "credentials_wrong"),
    ("POST", "/refresh", {"refresh_token": "nonsense"}, 401, "refresh_invalid"),
    ("POST", "/auth/token", {"sub": "crawler", "role": "nobody"}, 422, "validation_failed"),
    ("GET", f"{V1}/auth/verify", None, 200, "valid"),
    ("GET", "/auth/verify", None, 200, "valid"),
    # There is no Dagster here, which starts runs.
    ("POST", f"{V1}/workflows/trigger", {"workflow_name": "none", "inputs": {}}, 503, "dagster"),
    ("GET", f"{V1}/workflows/status/{ID}", None, 404, "execution_not_found"),
    ("GET", f"{V1}/workflows/instances", None, 200, ""),
    ("GET", f"{V1}/workflows/available", None, 200, ""),
    ("POST", "/workflows", WORKFLOW, 201, "revision"),
    ("GET", "/workflows/none", None, 404, "workflow_not_found"),
    ("POST", "/workflows/none/execute", {"inputs": {}}, 503, "dagster"),
    ("GET", f"/workflows/{ID}/status", None, 404, "execution_not_found"),
    ("GET", f"{V1}/templates", None, 200, ""),
    ("GET", f"{V1}/templates/search?q=x", None, 200, ""),
    ("GET", f"{V1}/templates/categories", None, 200, ""),
    ("GET", f"{V1}/templates/tags", None, 200, ""),
    ("GET", f"{V1}/templates/none", None, 404, "template_not_found"),
    ("POST", f"{V1}/templates/trigger", {"template_id": "none", "inputs": {}}, 404, "template_not_found"),
    ("POST", "/registry/agents", AGENT, 201, "capabilities"),
    ("GET", "/registry/agents", None, 200, "active_count"),
    ("GET", "/agents/discover?capability=x", None, 200, "total_count"),
    ("GET", f"{V1}/agents/discover?capability=x", None, 200, "total_count"),
    ("POST", f"/agents/{ID}/heartbeat", None, 404, "agent_not_found"),
    ("GET", "/health", None, 200, "version"),
    ("GET", "/health/detailed", None, 200, "checks"),
    ("GET", f"{V1}/health", None, 200, "version"),
    ("GET", f"{V1}/health/detailed", None, 200, "checks"),
    ("GET", f"{V1}/ready", None, 200, "checks"),
    ("GET", f"{V1}/live", None, 200, "version"),
    ("GET", "/swagger-ui/", None, 200, "swagger-ui"),
    ("GET", "/api-docs/openapi.json", None, 200, "openapi"),
    ("POST", f"{V1}/graphql", {"query": "{ __typename }"}, 200, "data"),
    ("GET", f"{V1}/graphql?query=%7B__typename%7D", None, 200, "data"),
    ("GET", "/_service/schema", None, 200, "type Query"),
]


@pytest.mark.usefixtures("patient_checks")
@pytest.mark.parametrize(("method", "path", "body", "status", "told"), ANSWERS, ids=lambda given: str(given)[:60])
def test_an_old_path_answers(http: httpx.Client, method: str, path: str, body: Any, status: int, told: str) -> None:
    answer = http.request(method, path, **({} if body is None else {"json": body}))
    assert (answer.status_code, told in answer.text) == (status, True), answer.text[:500]


@pytest.mark.parametrize(
    "path", ["/dagster/graphql", "/eventsource", "/api/v1/workflows", "/mcp/workflows", "/", "/api/v1"]
)
def test_other_paths_lead_where_they_always_did(path: str) -> None:
    assert present_path(path) == path
