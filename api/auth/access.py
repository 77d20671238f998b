"""The explicit table of what each route asks for. Pure; a route that is not in it is for the platform's admins alone.

Keys are the method and the path without `/api/v1`; values are a scope, `PUBLIC`, or `ANYONE` (whoever is logged in).
"""

from __future__ import annotations

from typing import Final

from resources.errors import NotPermittedError, UnauthenticatedError

PUBLIC: Final = "public"
ANYONE: Final = "anyone"
_UNLISTED: Final = "system_admin"

ACCESS: dict[str, str] = {
    # Health, for supervisors
    "GET /live": PUBLIC,
    "GET /ready": PUBLIC,
    "GET /health": PUBLIC,
    "GET /health/detailed": "read:health",
    # Of all tenants together: for who runs the platform
    "GET /metrics": "system_read:metrics",
    "GET /metrics/summary": "system_read:metrics",
    # Identity
    "POST /auth/login": PUBLIC,
    "POST /auth/refresh": PUBLIC,
    "POST /login": PUBLIC,
    "POST /refresh": PUBLIC,
    "GET /auth/verify": PUBLIC,
    "POST /auth/verify": PUBLIC,
    "GET /auth/oidc/start": PUBLIC,
    "GET /auth/oidc/callback": PUBLIC,
    "GET /.well-known/jwks.json": PUBLIC,
    "POST /auth/logout": PUBLIC,  # a refresh token is enough
    "GET /auth/whoami": ANYONE,
    "POST /auth/password": ANYONE,
    "POST /auth/token": "manage:keys",
    "GET /tenants": "system_admin",
    "POST /tenants": "system_admin",
    "GET /tenants/{tenant_id}": "read:tenants",
    "GET /tenants/{tenant_id}/quota": "read:tenants",
    "PATCH /tenants/{tenant_id}": "system_admin",
    "DELETE /tenants/{tenant_id}": "system_admin",
    "GET /users": "manage:users",
    "POST /users": "manage:users",
    "GET /users/{user_id}": "manage:users",
    "PATCH /users/{user_id}": "manage:users",
    "PUT /users/{user_id}/password": "manage:users",
    "DELETE /users/{user_id}/sessions": "manage:users",
    "GET /keys": ANYONE,
    "POST /keys": ANYONE,
    "GET /keys/{key_id}": ANYONE,
    "DELETE /keys/{key_id}": ANYONE,
    "POST /keys/signing/rotate": "system_admin",
    "GET /provider-keys": "manage:keys",
    "GET /provider-keys/{provider}": "manage:keys",
    "PUT /provider-keys/{provider}": "manage:keys",
    "DELETE /provider-keys/{provider}": "manage:keys",
    # Events
    "POST /events": "write:events",
    "POST /events/data": "write:events",
    "GET /events": "read:events",
    "GET /events/tail": "subscribe:events",
    "GET /events/statistics": "read:events",
    "GET /streams/{type}/{id:path}": "read:events",
    "GET /aggregates/{type}/{id:path}": "read:events",
    # Subscriptions and projections are the platform's: all tenants share them
    "GET /subscriptions": "read:subscriptions",
    "GET /subscriptions/{name}": "read:subscriptions",
    "POST /subscriptions/{name}/pause": "system_operate",
    "POST /subscriptions/{name}/resume": "system_operate",
    "GET /subscriptions/{name}/dead-letters": "operate:subscriptions",
    "GET /subscriptions/{name}/dead-letters/{letter_id}": "operate:subscriptions",
    "POST /subscriptions/{name}/dead-letters/{letter_id}/retry": "operate:subscriptions",
    "POST /subscriptions/{name}/dead-letters/{letter_id}/discard": "operate:subscriptions",
    "GET /projections": "read:projections",
    "GET /projections/{name}": "read:projections",
    "GET /projections/{name}/rows": "read:projections",
    "POST /projections/{name}/rebuild": "system_operate",
    "POST /projections/{name}/cancel": "system_operate",
    "GET /routes": "read:routes",
    "POST /routes/dry-run": "read:routes",
    "GET /routes/{name}": "read:routes",
    "GET /routes/{name}/versions": "read:routes",
    "PUT /routes/{name}": "operate:routes",
    "DELETE /routes/{name}": "operate:routes",
    "POST /replays": "operate:replays",
    "GET /replays": "operate:replays",
    "GET /replays/{replay_id}": "operate:replays",
    "POST /replays/{replay_id}/cancel": "operate:replays",
    # Documents and knowledge
    "POST /documents": "write:documents",
    "GET /documents": "read:documents",
    "GET /documents/{document_id}": "read:documents",
    "DELETE /documents/{document_id}": "write:documents",
    "POST /analyze": "write:documents",
    "POST /analyze/upload": "write:documents",
    "POST /analyze/batch": "write:documents",
    "GET /analyze/jobs": "read:documents",
    "GET /analyze/jobs/{job_id}": "read:documents",
    "POST /analyze/jobs/{job_id}/cancel": "write:documents",
    "GET /search": "read:knowledge",
    "POST /search": "read:knowledge",
    "GET /search/state": "read:knowledge",
    "GET /documents/{document_id}/similar": "read:knowledge",
    "POST /ask": "execute:workflows",
    "GET /learning-path": "read:knowledge",
    "POST /learning-path": "read:knowledge",
    "GET /learning-paths": "read:knowledge",
    "POST /learning-paths": "read:knowledge",
    "GET /learning-paths/{path_id}": "read:knowledge",
    "DELETE /learning-paths/{path_id}": "read:knowledge",
    "GET /concepts": "read:knowledge",
    "POST /concepts": "write:documents",
    "GET /concepts/{concept}": "read:knowledge",
    "PUT /concepts/{concept}": "write:documents",
    "DELETE /concepts/{concept}": "write:documents",
    "GET /concepts/{concept}/curation": "read:knowledge",
    "GET /graph/curations": "read:knowledge",
    "POST /graph/subgraph": "read:knowledge",
    "POST /query": "read:knowledge",  # what changes something asks for more
    "POST /path": "read:knowledge",
    "POST /relationships": "read:knowledge",
    "GET /similarity/{concept}": "read:knowledge",
    "GET /recommendations/{user}": "read:knowledge",  # another's is shown to who manages users
    "GET /concept/{concept}": "read:knowledge",
    "GET /related/{concept}": "read:knowledge",
    # Everybody's own progress
    "GET /progress": "read:knowledge",
    "PUT /progress": "read:knowledge",
    "GET /progress/{concept}": "read:knowledge",
    "PUT /progress/{concept}": "read:knowledge",
    "DELETE /progress/{concept}": "read:knowledge",
    "GET /statistics": "read:knowledge",
    "GET /graph": "read:knowledge",
    "GET /graph/concepts": "read:knowledge",
    "GET /graph/concepts/{concept}/neighbours": "read:knowledge",
    "GET /graph/concepts/{concept}/learners": "read:knowledge",
    "GET /graph/concepts/{concept}/resources": "read:knowledge",
    "GET /graph/concepts/{concept}/scores": "read:knowledge",
    "GET /graph/concepts/{concept}/similar": "read:knowledge",
    "GET /graph/concepts/{concept}/spanning": "read:knowledge",
    "GET /graph/concepts/{concept}/support": "read:knowledge",
    "GET /graph/communities": "read:knowledge",
    "GET /graph/merges": "read:knowledge",
    "POST /graph/merges": "write:documents",
    "POST /graph/merges/scan": "write:documents",
    "POST /graph/merges/{merge_id}/decision": "write:documents",
    "GET /graph/ranking": "read:knowledge",
    "GET /graph/support": "read:knowledge",
    "GET /graph/ways": "read:knowledge",
    # Realtime
    "POST /topics/{topic}/messages": "write:messages",
    "GET /topics/{topic}/messages": "read:messages",
    "GET /topics/{topic}/stream": "subscribe:messages",
    "GET /messages/search": "read:messages",
    "GET /messages/{message_id}/deliveries": "read:messages",
    "GET /conversations": "read:messages",
    "GET /presence": "read:presence",
    "GET /realtime/rules": "read:routes",
    "GET /realtime/rules/{name}": "read:routes",
    "PUT /realtime/rules/{name}": "operate:routes",
    "DELETE /realtime/rules/{name}": "operate:routes",
    # Agents elsewhere
    "GET /registry/agents": "read:agents",
    "POST /registry/agents": "write:agents",
    "GET /registry/agents/discover": "read:agents",
    "GET /registry/agents/{agent_id}": "read:agents",
    "DELETE /registry/agents/{agent_id}": "write:agents",
    "POST /registry/agents/{agent_id}/heartbeat": "write:agents",
    # Plugins
    "GET /plugins": "read:plugins",
    "POST /plugins": "manage:plugins",
    "GET /plugins/{name}": "read:plugins",
    "PATCH /plugins/{name}": "manage:plugins",
    "DELETE /plugins/{name}": "manage:plugins",
    "PUT /plugins/{name}/config": "manage:plugins",
    "POST /plugins/{name}/run": "execute:plugins",
    "GET /plugins/{name}/runs": "read:plugins",
    # MCP servers that are called
    "GET /mcp-servers": "read:mcp",
    "GET /mcp-servers/{name}": "read:mcp",
    "PUT /mcp-servers/{name}": "manage:mcp",
    "DELETE /mcp-servers/{name}": "manage:mcp",
    "PUT /mcp-servers/{name}/login": "manage:mcp",
    "DELETE /mcp-servers/{name}/login": "manage:mcp",
    "GET /mcp-servers/{name}/tools": "read:mcp",
    "POST /mcp-servers/{name}/tools/{tool}": "execute:mcp",
    "POST /mcp-servers/{name}/check": "read:mcp",
    # Prompts
    "GET /prompts": "read:prompts",
    "POST /prompts": "write:prompts",
    "POST /prompts/preview": "read:prompts",
    "GET /prompts/{id}": "read:prompts",
    "GET /prompts/{id}/versions": "read:prompts",
    "GET /prompts/{id}/labels/{label}": "read:prompts",
    "PUT /prompts/{id}/labels/{label}": "write:prompts",
    "POST /prompts/{id}/render": "read:prompts",
    "POST /prompts/{id}/test": "execute:prompts",
    "GET /prompts/{id}/diff": "read:prompts",
    # Money
    "GET /usage/summary": "read:usage",
    "GET /usage/series": "read:usage",
    "GET /usage/totals": "read:usage",
    "GET /usage/calls": "read:usage",
    "GET /usage/forecast": "read:usage",
    "GET /usage/estimate": "read:usage",
    "GET /usage/recommendations": "read:usage",
    "GET /usage/months/{month}": "read:usage",
    "GET /usage/export": "operate:usage",
    "GET /budgets": "read:budgets",
    "GET /budgets/status": "read:budgets",
    "PUT /budgets": "manage:budgets",
    "GET /budgets/{budget_id}": "read:budgets",
    "DELETE /budgets/{budget_id}": "manage:budgets",
    "GET /prices": "read:budgets",
    "POST /prices": "system_admin",
    "GET /prices/quote": "read:budgets",
    # Runs
    "GET /runs": "read:runs",
    "GET /runs/{run_id}": "read:runs",
    "GET /runs/{run_id}/logs": "read:runs",
    "POST /runs/{run_id}/cancel": "execute:workflows",
    "POST /runs/{run_id}/rerun": "execute:workflows",
    "GET /runs/{run_id}/stream": "read:runs",
    "GET /approvals": "read:runs",
    "GET /approvals/{approval_id}": "read:runs",
    "POST /approvals/{approval_id}/grant": "execute:workflows",
    "POST /approvals/{approval_id}/deny": "execute:workflows",
    # Workflows
    "GET /workflows": "read:workflows",
    "POST /workflows": "write:workflows",
    "GET /workflows/schema": "read:workflows",
    "GET /workflows/available": "read:workflows",
    "GET /workflows/instances": "read:runs",
    "GET /workflows/status/{run_id}": "read:runs",
    "POST /workflows/trigger": "execute:workflows",
    "GET /workflows/{name}": "read:workflows",
    "DELETE /workflows/{name}": "delete:workflows",
    "GET /workflows/{name}/versions": "read:workflows",
    "GET /workflows/{name}/graph": "read:workflows",
    "GET /workflows/{name}/diff": "read:workflows",
    "GET /workflows/{name}/schema": "read:workflows",
    "POST /workflows/{name}/run": "execute:workflows",
    "POST /workflows/{name}/execute": "execute:workflows",
    "GET /workflows/{run_id}/status": "read:runs",
    "GET /executions": "read:runs",
    "GET /executions/{run_id}": "read:runs",
    "GET /executions/{run_id}/outputs": "read:runs",
    "GET /backfills": "read:runs",
    "POST /backfills": "operate:workflows",
    "GET /backfills/{backfill_id}": "read:runs",
    "GET /backfills/{backfill_id}/runs": "read:runs",
    "POST /backfills/{backfill_id}/cancel": "operate:workflows",
    "GET /node-types": "read:workflows",
    "GET /node-types/{name}": "read:workflows",
    "GET /templates": "read:workflows",
    "GET /templates/search": "read:workflows",
    "GET /templates/categories": "read:workflows",
    "GET /templates/tags": "read:workflows",
    "GET /templates/statistics": "read:workflows",
    "POST /templates/trigger": "execute:workflows",
    "GET /templates/{template_id}": "read:workflows",
    "POST /hooks/{name}": PUBLIC,  # a signature is asked for instead
}

# Not routes of the framework: its documentation, and faces that authenticate by themselves.
_OPEN_PREFIXES = (
    "/docs",
    "/redoc",
    "/dagster",
    "/login/",
    "/api/v1/hooks/",
    "/openapi.json",
    "/.well-known/",
    "/mcp/",
    "/oauth/",
    "/graphql/assets/",
)
_PUBLIC_PATHS = frozenset(
    prefix + name.partition(" ")[2] for name, wanted in ACCESS.items() if wanted == PUBLIC for prefix in ("", "/api/v1")
)


def is_public(path: str) -> bool:
    """Whether somebody unknown may ask at all; what they may do there is the route's business."""
    return path in _PUBLIC_PATHS or path.startswith(_OPEN_PREFIXES) or path == "/mcp"


def needed(method: str, path: str) -> str:
    """What the route asks for. `path` as the route has it, with or without the prefix."""
    return ACCESS.get(f"{method} {path.removeprefix('/api/v1')}", _UNLISTED)


def unauthenticated() -> UnauthenticatedError:
    """The answer to whoever shows nothing."""
    return UnauthenticatedError(
        "Log in first: send `Authorization: Bearer TOKEN`, with a token of POST /api/v1/auth/login or an API key."
    )


def refused(scope: str) -> NotPermittedError:
    """The answer to whoever may not."""
    return NotPermittedError(f"This needs the permission {scope!r}.", code="scope_missing", scope=scope)
