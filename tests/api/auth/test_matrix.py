"""Every route, asked by no one, by each role, and by the admin of another tenant. A route without a row in `ACCESS` fails."""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, Any
from unittest.mock import MagicMock

import httpx
import pytest
from starlette.routing import Mount, Route, WebSocketRoute
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from api.app import create_app
from api.auth.access import ACCESS, ANYONE, PUBLIC
from resources.events.model import NewEvent, StreamId
from resources.settings import Settings
from resources.tenants.permissions import Role, allows, scopes_of
from tests.api.auth.people import People, bearer

if TYPE_CHECKING:
    from fastapi import FastAPI

    from api.dependencies import Services

V1 = "/api/v1"
NAME = "known7f3a"  # what the thief knows to ask for
CANARY = "canary7f3a"  # what it must never see
# What the framework serves besides: documentation, and the socket, which `test_a_socket_needs_a_token` is about.
OTHERS = {
    **dict.fromkeys(("/openapi.json", "/docs", "/redoc", "/login", "/login/session", "/login/end"), Route),
    **dict.fromkeys(
        ("/docs/assets", "/dagster", "/graphql/assets"), Mount
    ),  # `tests/api/test_proxy.py` is about the latter
    **dict.fromkeys(
        (
            "/.well-known/oauth-protected-resource",
            "/.well-known/oauth-protected-resource/mcp",
            "/.well-known/oauth-authorization-server",  # `tests/api/mcp/test_oauth.py` is about these
            "/oauth/authorize",
            "/oauth/token",
            "/oauth/register",
            "/oauth/revoke",
            "/oauth/consent",
            "/mcp",
            "/_service/schema",  # `tests/api/graphql/test_access.py` is about the graph
        ),
        Route,
    ),
    **dict.fromkeys(
        ("/ws", "/mcp/ws", "/graphql"), WebSocketRoute
    ),  # `tests/api/mcp/test_access.py` is about those of MCP
}
# Bodies that are good enough to get to where the tenant matters.
BODIES: dict[str, Any] = {
    "POST /events": {"type": "run.started", "data": {"run_id": NAME, "job": "x"}, "stream": f"run/{NAME}"},
    "POST /routes/dry-run": {"limit": 1000},
    "POST /auth/verify": {"token": "x"},
    "PATCH /users/{user_id}": {"role": "viewer", "status": "suspended"},
    "PUT /users/{user_id}/password": {"password": "a stolen password"},
    "PATCH /tenants/{tenant_id}": {"status": "suspended"},
    "PUT /provider-keys/{provider}": {"key": "sk-another-key-0123"},
    "POST /keys": {"name": "stolen"},
}
ENDLESS = {"GET /events/tail", "GET /topics/{topic}/stream"}


def operations() -> list[str]:
    app = create_app(MagicMock(rate_buckets=None), Settings(_env_file=None))
    return sorted(f"{method.upper()} {path}" for path, methods in app.openapi()["paths"].items() for method in methods)


def plain(name: str) -> str:
    """As the documentation has it: without converters and prefix."""
    return re.sub(r":\w+}", "}", name).replace(f" {V1}/", " /")


OPERATIONS = operations()
WANTED = {plain(name): wanted for name, wanted in ACCESS.items()}


def wanted(operation: str) -> str:
    return WANTED[plain(operation)]


def test_every_route_has_a_row_and_every_row_a_route() -> None:
    assert {plain(name) for name in OPERATIONS} == set(WANTED)


def test_there_are_no_other_entries(guarded_app: FastAPI) -> None:
    found = {route.path: route for route in guarded_app.routes if isinstance(route, Route | Mount | WebSocketRoute)}
    assert set(found) == set(OTHERS)
    assert all(isinstance(route, OTHERS[path]) for path, route in found.items())


@pytest.fixture(scope="session")
def victim(services: Services) -> People:
    """A tenant with something of everything that has a name."""
    people = People(services.identity, f"victim-{uuid.uuid4().hex[:10]}")
    administration, admin = services.identity.administration, people.pair("admin").principal
    administration.create_key(CANARY, actor=admin)
    administration.store_provider_key("openai", f"sk-{CANARY}-0123", tenant=people.tenant, actor=admin)
    event = NewEvent("run.started", {"run_id": NAME, "job": CANARY})
    services.events.append(StreamId("run", NAME), [event], tenant=people.tenant)
    return people


@pytest.fixture(scope="session")
def thief(services: Services) -> People:
    return People(services.identity, f"thief-{uuid.uuid4().hex[:10]}")


@pytest.fixture(scope="session")
def tokens(victim: People, thief: People) -> dict[str, str]:
    """One for each role of the victim's tenant, and one of the thief, who is an admin elsewhere."""
    found = {str(role): victim.pair(role).access_token for role in Role}
    return found | {"thief": thief.pair("admin").access_token}


def filled(operation: str, victim: People) -> tuple[str, str]:
    """Method and path, with names of what the victim has."""
    method, path = operation.split(" ")
    key = victim.identity.administration.keys(tenant=victim.tenant)[0]
    known = {
        "tenant_id": victim.tenant,
        "user_id": str(victim.user("admin").id),
        "key_id": key.id,
        "provider": "openai",
        "type": "run",
        "id": NAME,
        "run_id": str(uuid.uuid4()),
        "replay_id": str(uuid.uuid4()),
        "letter_id": "1",
        "message_id": str(uuid.uuid4()),
    }
    return method, re.sub(r"{(\w+)}", lambda match: known.get(match[1], "nothing"), path)


async def ask(url: str, operation: str, victim: People, headers: dict[str, str]) -> tuple[int, str]:
    method, path = filled(operation, victim)
    body = BODIES.get(plain(operation))
    async with (
        httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as client,
        client.stream(method, path, json=body, headers=headers, follow_redirects=False) as answer,
    ):
        text = "" if plain(operation) in ENDLESS and answer.is_success else (await answer.aread()).decode()
        return answer.status_code, text


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_no_one_gets_what_is_not_public(guarded_url: str, victim: People, operation: str) -> None:
    status, _ = await ask(guarded_url, operation, victim, {})
    if wanted(operation) != PUBLIC:
        assert status == 401


@pytest.mark.parametrize("operation", [name for name in OPERATIONS if wanted(name) not in {PUBLIC, ANYONE}])
async def test_a_role_that_may_not_is_refused(
    guarded_url: str, victim: People, tokens: dict[str, str], operation: str
) -> None:
    for role in Role:
        if not allows(scopes_of(role, at_home=False), wanted(operation)):
            status, text = await ask(guarded_url, operation, victim, bearer(tokens[role]))
            assert (role, status) == (role, 403)
            assert CANARY not in text


@pytest.mark.parametrize("operation", [name for name in OPERATIONS if name.startswith("GET ")])
async def test_a_role_that_may_is_let_in(
    guarded_url: str, victim: People, tokens: dict[str, str], operation: str
) -> None:
    for role in Role:
        if wanted(operation) == ANYONE or allows(scopes_of(role, at_home=False), wanted(operation)):
            status, _ = await ask(guarded_url, operation, victim, bearer(tokens[role]))
            assert status not in {401, 403}


# There is no Dagster here: `tests/api/workflows/test_isolation.py` asks for these where there is one.
STARTS_RUNS = {
    "POST /api/v1/runs/{run_id}/cancel",
    "POST /api/v1/workflows/{name}/execute",
    "POST /api/v1/workflows/{name}/run",
}


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_another_tenants_admin_sees_and_changes_nothing(
    guarded_url: str, services: Services, victim: People, tokens: dict[str, str], operation: str
) -> None:
    before = state_of(services, victim)
    status, text = await ask(guarded_url, operation, victim, bearer(tokens["thief"]))
    assert status < 500 or (status == 503 and operation in STARTS_RUNS)
    assert CANARY not in text
    assert str(victim.user("admin").username) not in text
    assert state_of(services, victim) == before


def state_of(services: Services, victim: People) -> tuple[Any, ...]:
    administration = services.identity.administration
    return (
        services.events.head(tenant=victim.tenant),
        administration.tenant(victim.tenant),
        [(user.id, user.role, user.status, user.password_hash) for user in administration.users(tenant=victim.tenant)],
        [(key.id, key.revoked_at) for key in administration.keys(tenant=victim.tenant)],
        administration.provider_keys(tenant=victim.tenant),
        list(services.documents.list(tenant=victim.tenant)),
        list(services.rules.list(tenant=victim.tenant)),
    )


@pytest.mark.parametrize("token", ["", "nonsense"])
def test_a_socket_needs_a_token(guarded_url: str, token: str) -> None:
    address = guarded_url.replace("http", "ws", 1)
    with pytest.raises(InvalidStatus) as refused, connect(f"{address}/ws?token={token}", proxy=None):
        pass
    assert refused.value.response.status_code == 401


def test_a_header_cannot_change_the_tenant(guarded: httpx.Client, tokens: dict[str, str], victim: People) -> None:
    headers = bearer(tokens["thief"]) | {"X-Tenant-ID": victim.tenant, "X-Tenant": victim.tenant}
    found = guarded.get(f"{V1}/events?tenant={victim.tenant}&limit=1000", headers=headers)
    assert CANARY not in found.text
    assert guarded.get(f"{V1}/auth/whoami", headers=headers).json()["tenant"] != victim.tenant
