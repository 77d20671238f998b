from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from api.client import ApiClient
from tests.api.auth.people import PASSWORD, People, bearer

if TYPE_CHECKING:
    import httpx

    from api.dependencies import Services

V1 = "/api/v1"


def soon(check: Any) -> bool:
    """News of a change takes a moment."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if check():
            return True
        time.sleep(0.02)
    return False


def status(guarded: httpx.Client, token: str, path: str = f"{V1}/auth/whoami") -> int:
    return guarded.get(path, headers=bearer(token)).status_code


def test_a_second_tenant_is_created_and_uses_the_platform(guarded: httpx.Client, home: People, tenant: str) -> None:
    body = {"id": tenant, "admin": "grace", "admin_password": PASSWORD, "limits": {"runs_per_day": 5}}
    made = guarded.post(f"{V1}/tenants", json=body, headers=home.headers("admin"))
    assert (made.status_code, made.json()["limits"]) == (201, {"runs_per_day": 5})
    assert guarded.post(f"{V1}/tenants", json=body, headers=home.headers("admin")).status_code == 409
    entered = guarded.post("/login", json={"username": "grace", "password": PASSWORD, "tenant": tenant}).json()
    headers = bearer(entered["access_token"])
    event = {"type": "run.started", "data": {"run_id": "r1", "job": "x"}}
    assert guarded.post(f"{V1}/events", json=event, headers=headers).status_code == 201
    types = {item["type"] for item in guarded.get(f"{V1}/events", headers=headers).json()["events"]}
    assert types == {"tenant.created", "user.created", "user.logged_in", "run.started"}
    assert guarded.get(f"{V1}/tenants/{tenant}", headers=headers).json()["id"] == tenant
    assert guarded.get(f"{V1}/tenants/default", headers=headers).status_code == 404
    with ApiClient(str(guarded.base_url), token=home.pair("admin").access_token) as client:
        assert tenant in {item.id for item in client.tenants()}


def test_a_suspended_tenant_is_shut_out(guarded: httpx.Client, home: People, people: People) -> None:
    token = people.pair("admin").access_token
    assert status(guarded, token) == 200
    path = f"{V1}/tenants/{people.tenant}"
    assert guarded.patch(path, json={"status": "suspended"}, headers=home.headers("admin")).status_code == 200
    assert soon(lambda: status(guarded, token) == 401)
    assert guarded.patch(path, json={"status": "active"}, headers=home.headers("admin")).status_code == 200
    assert soon(lambda: status(guarded, token) == 200)
    own = guarded.patch(f"{V1}/tenants/default", json={"status": "suspended"}, headers=home.headers("admin"))
    assert (own.status_code, own.json()["code"]) == (409, "tenant_is_home")


def test_a_users_role_holds_at_once(guarded: httpx.Client, people: People) -> None:
    token, user = people.pair("operator").access_token, people.user("operator")
    assert status(guarded, token, f"{V1}/replays") == 200
    path = f"{V1}/users/{user.id}"
    assert guarded.patch(path, json={"role": "viewer"}, headers=people.headers("admin")).json()["role"] == "viewer"
    assert soon(lambda: status(guarded, token, f"{V1}/replays") == 403)
    assert guarded.patch(path, json={"status": "suspended"}, headers=people.headers("admin")).status_code == 200
    assert soon(lambda: status(guarded, token) == 401)


def test_the_last_admin_stays_one(guarded: httpx.Client, people: People) -> None:
    headers, user = people.headers("admin"), people.user("admin")
    for change in ({"role": "viewer"}, {"status": "suspended"}):
        answer = guarded.patch(f"{V1}/users/{user.id}", json=change, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (409, "last_admin")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"username": "bob", "role": "member", "email": "bob@example.org", "password": PASSWORD}, 201),
        ({"username": "bob", "password": "short"}, 400),
        ({"username": "b b"}, 422),
        ({"username": "bob", "role": "god"}, 422),
        ({"username": "bob", "email": "nonsense"}, 422),
    ],
)
def test_users_are_checked(guarded: httpx.Client, people: People, body: dict[str, Any], expected: int) -> None:
    answer = guarded.post(f"{V1}/users", json=body, headers=people.headers("admin"))
    assert answer.status_code == expected
    assert PASSWORD not in answer.text
    if expected == 201:
        assert guarded.post(f"{V1}/users", json=body, headers=people.headers("admin")).status_code == 409
        shown = guarded.get(f"{V1}/users/{answer.json()['id']}", headers=people.headers("admin")).json()
        assert shown == answer.json()
        assert "bob" in {
            user["username"] for user in guarded.get(f"{V1}/users", headers=people.headers("admin")).json()
        }


def test_an_admin_sets_a_password_and_ends_sessions(guarded: httpx.Client, people: People) -> None:
    user, token = people.user("member"), people.pair("member").access_token
    headers, path = people.headers("admin"), f"{V1}/users/{user.id}"
    assert guarded.delete(f"{path}/sessions", headers=headers).json() == {"ended": 1}
    assert soon(lambda: status(guarded, token) == 401)
    assert guarded.put(f"{path}/password", json={"password": PASSWORD}, headers=headers).status_code == 204
    body = {"username": user.username, "password": PASSWORD, "tenant": people.tenant}
    assert guarded.post("/login", json=body).status_code == 200


def new_key(guarded: httpx.Client, people: People, role: str = "member", **fields: Any) -> httpx.Response:
    return guarded.post(f"{V1}/keys", json={"name": "ci", **fields}, headers=people.headers(role))


def test_a_key_does_what_its_scopes_say_and_is_revoked(guarded: httpx.Client, people: People) -> None:
    made = new_key(guarded, people, scopes=["read:events"]).json()
    key = made["key"]
    assert key.startswith(f"aiw_{made['id']}_")
    assert guarded.get(f"{V1}/events", headers={"X-API-Key": key}).status_code == 200
    assert status(guarded, key, f"{V1}/events") == 200
    assert status(guarded, key, f"{V1}/documents") == 403
    shown = guarded.get(f"{V1}/keys", headers=people.headers("member"))
    assert key not in shown.text
    assert shown.json()[0]["last_used_at"] is not None
    assert guarded.delete(f"{V1}/keys/{made['id']}", headers=people.headers("viewer")).status_code == 404
    assert guarded.delete(f"{V1}/keys/{made['id']}", headers=people.headers("member")).status_code == 200
    assert soon(lambda: status(guarded, key) == 401)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"scopes": ["manage"]}, 403),
        ({"scopes": ["system_admin"]}, 403),
        ({"scopes": ["nonsense"]}, 422),
        ({"expires_at": "2020-01-01T00:00:00Z"}, 422),
        ({"expires_at": "2020-01-01"}, 422),
        ({"name": ""}, 422),
    ],
)
def test_a_key_cannot_be_more_than_its_maker(
    guarded: httpx.Client, people: People, fields: dict[str, Any], expected: int
) -> None:
    assert new_key(guarded, people, **fields).status_code == expected


def test_keys_of_others_are_for_admins_and_keys_make_no_keys(guarded: httpx.Client, people: People) -> None:
    member = str(people.user("member").id)
    assert new_key(guarded, people, "viewer", user_id=member).status_code == 403
    made = new_key(guarded, people, "admin", user_id=member, scopes=["write"])
    assert made.json()["user_id"] == member
    again = guarded.post(f"{V1}/keys", json={"name": "x"}, headers=bearer(made.json()["key"]))
    assert (again.status_code, again.json()["code"]) == (403, "key_by_key")
    assert new_key(guarded, people, "admin", user_id=member, scopes=["manage"]).status_code == 403


def test_an_expiring_key_is_good_until_then(guarded: httpx.Client, people: People) -> None:
    later = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    assert status(guarded, new_key(guarded, people, expires_at=later).json()["key"]) == 200


def test_a_providers_key_is_kept_and_never_shown(guarded: httpx.Client, people: People, services: Services) -> None:
    path, secret, headers = f"{V1}/provider-keys", "sk-canary-0123456789", people.headers("admin")
    stored = guarded.put(f"{path}/openai", json={"key": secret}, headers=headers)
    assert stored.json()["hint"] == "...6789"
    assert secret not in guarded.get(path, headers=headers).text
    assert services.identity.administration.provider_key("openai", tenant=people.tenant) == secret
    assert guarded.put(f"{path}/openai", json={"key": "x"}, headers=headers).status_code == 422
    assert guarded.delete(f"{path}/openai", headers=headers).status_code == 204
    assert guarded.delete(f"{path}/openai", headers=headers).status_code == 404
    assert services.identity.administration.provider_key("openai", tenant=people.tenant) is None


@pytest.mark.parametrize("kind", ["tenant.created", "user.changed", "key.revoked"])
def test_nobody_writes_the_record_of_rights(guarded: httpx.Client, people: People, kind: str) -> None:
    event = {"type": kind, "data": {}}
    answer = guarded.post(f"{V1}/events", json=event, headers=people.headers("admin"))
    assert (answer.status_code, answer.json()["code"]) == (403, "event_reserved")
    hidden = {"type": "run.started", "data": {"run_id": "r", "job": "x"}, "stream": "user/somebody"}
    assert guarded.post(f"{V1}/events", json=hidden, headers=people.headers("admin")).status_code == 403
