from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.api.auth.people import PASSWORD, People, bearer

if TYPE_CHECKING:
    import httpx

    from api.dependencies import Services

V1 = "/api/v1"


def login(guarded: httpx.Client, people: People, path: str = f"{V1}/auth/login", **changes: Any) -> httpx.Response:
    user = people.user("member", username="ada", password=PASSWORD)
    body = {"username": user.username, "password": PASSWORD, "tenant": people.tenant, **changes}
    return guarded.post(path, json=body)


def types(services: Services, people: People) -> list[str]:
    return [event.type for event in services.events.read_all(tenant=people.tenant)]


@pytest.mark.parametrize("path", [f"{V1}/auth/login", "/login"])
def test_who_logs_in_can_ask(guarded: httpx.Client, people: People, path: str) -> None:
    answer = login(guarded, people, path)
    assert answer.status_code == 200
    body = answer.json()
    assert (body["username"], body["role"], body["tenant"]) == ("ada", "member", people.tenant)
    assert body["token"] == body["access_token"]
    who = guarded.get(f"{V1}/auth/whoami", headers=bearer(body["access_token"]))
    assert who.json()["username"] == "ada"
    assert guarded.get(f"{V1}/events", headers=bearer(body["access_token"])).status_code == 200
    assert answer.headers["cache-control"] == "no-store"


def test_who_shows_nothing_is_told_how(guarded: httpx.Client) -> None:
    answer = guarded.get(f"{V1}/events")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "unauthenticated"
    assert guarded.get(f"{V1}/no-such-thing").status_code == 401


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"password": "wrong password"}, 401, "credentials_wrong"),
        ({"username": "nobody"}, 401, "credentials_wrong"),
        ({"tenant": "no-such-tenant"}, 401, "credentials_wrong"),
        ({"username": " "}, 400, "credentials_blank"),
        ({"password": ""}, 400, "credentials_blank"),
        ({"password": 7}, 422, "validation_failed"),
        ({"username": "\x00"}, 422, "validation_failed"),
        ({"tenant": "x" * 200}, 422, "validation_failed"),
        ({"extra": 1}, 422, "validation_failed"),
    ],
)
def test_what_is_not_right_gets_nobody_in(
    guarded: httpx.Client, people: People, changes: dict[str, Any], status: int, code: str
) -> None:
    answer = login(guarded, people, **changes)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert "wrong password" not in answer.text


@pytest.mark.parametrize("path", [f"{V1}/auth/refresh", "/refresh"])
def test_a_refresh_token_gives_new_tokens_once(guarded: httpx.Client, people: People, path: str) -> None:
    first = login(guarded, people).json()
    second = guarded.post(path, json={"refresh_token": first["refresh_token"]}).json()
    assert second["refresh_token"] != first["refresh_token"]
    assert guarded.get(f"{V1}/auth/whoami", headers=bearer(second["access_token"])).status_code == 200


def test_a_stolen_refresh_token_ends_the_session_for_everybody(
    guarded: httpx.Client, people: People, services: Services
) -> None:
    first = login(guarded, people).json()
    second = guarded.post("/refresh", json={"refresh_token": first["refresh_token"]}).json()
    assert guarded.get(f"{V1}/auth/whoami", headers=bearer(second["access_token"])).status_code == 200
    reused = guarded.post("/refresh", json={"refresh_token": first["refresh_token"]})
    assert (reused.status_code, reused.json()["code"]) == (401, "refresh_reused")
    assert guarded.post("/refresh", json={"refresh_token": second["refresh_token"]}).status_code == 401
    assert refused_soon(guarded, second["access_token"])
    assert "user.sessions_revoked" in types(services, people)


def refused_soon(guarded: httpx.Client, token: str) -> bool:
    """News of a revocation takes a moment; half a minute at most if it were lost."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if guarded.get(f"{V1}/auth/whoami", headers=bearer(token)).status_code == 401:
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("by", ["access", "refresh"])
def test_after_logging_out_no_token_is_good(guarded: httpx.Client, people: People, by: str) -> None:
    pair = login(guarded, people).json()
    headers = bearer(pair["access_token"])
    assert guarded.get(f"{V1}/auth/whoami", headers=headers).status_code == 200
    if by == "access":
        ended = guarded.post(f"{V1}/auth/logout", json={}, headers=headers)
    else:
        ended = guarded.post(f"{V1}/auth/logout", json={"refresh_token": pair["refresh_token"]})
    assert ended.json() == {"ended": 1}
    assert refused_soon(guarded, pair["access_token"])
    assert guarded.post("/refresh", json={"refresh_token": pair["refresh_token"]}).status_code == 401


def test_logging_out_everywhere_ends_all_sessions(guarded: httpx.Client, people: People) -> None:
    pairs = [login(guarded, people).json() for _ in range(2)]
    headers = bearer(pairs[0]["access_token"])
    assert guarded.post(f"{V1}/auth/logout", json={"everywhere": True}, headers=headers).json() == {"ended": 2}
    assert all(refused_soon(guarded, pair["access_token"]) for pair in pairs)


def test_a_sprayed_account_is_blocked_for_a_while(guarded: httpx.Client, people: People, services: Services) -> None:
    for _ in range(5):
        assert login(guarded, people, password="wrong password").status_code == 401
    blocked = login(guarded, people)
    assert (blocked.status_code, blocked.json()["code"]) == (429, "login_blocked")
    assert int(blocked.headers["retry-after"]) >= 1
    assert types(services, people).count("user.login_refused") == 5


def test_a_changed_password_ends_all_sessions(guarded: httpx.Client, people: People) -> None:
    pair = login(guarded, people).json()
    path, headers = f"{V1}/auth/password", bearer(pair["access_token"])
    wrong = guarded.post(path, json={"present": "not this one", "password": "another good password"}, headers=headers)
    assert wrong.status_code == 401
    weak = guarded.post(path, json={"present": PASSWORD, "password": "short"}, headers=headers)
    assert (weak.status_code, weak.json()["code"]) == (400, "password_weak")
    done = guarded.post(path, json={"present": PASSWORD, "password": "another good password"}, headers=headers)
    assert done.status_code == 204
    assert refused_soon(guarded, pair["access_token"])
    assert login(guarded, people).status_code == 401
    assert login(guarded, people, password="another good password").status_code == 200


def test_verify_tells_whose_a_token_is(guarded: httpx.Client, people: People) -> None:
    pair = people.pair("viewer")
    good = guarded.get(f"{V1}/auth/verify", headers=bearer(pair.access_token)).json()
    assert (good["valid"], good["claims"]["role"]) == (True, "viewer")
    assert guarded.post(f"{V1}/auth/verify", json={"token": pair.access_token}).json() == good
    assert guarded.post(f"{V1}/auth/verify", json={"token": "x"}).json()["valid"] is False
    assert guarded.get(f"{V1}/auth/verify").json() == {"valid": False, "claims": None, "error": "There is no token."}


def test_others_can_verify_tokens_with_the_public_keys(guarded: httpx.Client, people: People) -> None:
    from joserfc import jwt
    from joserfc.jwk import KeySet

    token = people.pair("member").access_token
    answer = guarded.get("/.well-known/jwks.json")
    keys = answer.json()
    assert all("d" not in key for key in keys["keys"])
    claims = jwt.decode(token, KeySet.import_key_set(keys), algorithms=["Ed25519"]).claims
    assert claims["tenant"] == people.tenant
    assert {"iss", "aud", "sub", "sid", "roles", "scopes", "jti", "iat", "nbf", "exp"} <= set(claims)


def test_a_program_gets_a_token_of_its_own(guarded: httpx.Client, people: People) -> None:
    body = {"sub": "crawler", "role": "service"}
    token = guarded.post(f"{V1}/auth/token", json=body, headers=people.headers("admin")).json()["access_token"]
    who = guarded.get(f"{V1}/auth/whoami", headers=bearer(token)).json()
    assert (who["subject"], who["role"], who["tenant"]) == ("service:crawler", "service", people.tenant)
    refused = guarded.post(f"{V1}/auth/token", json={"sub": "x", "role": "admin"}, headers=people.headers("admin"))
    assert refused.status_code == 403


@pytest.mark.usefixtures("people")
def test_a_session_is_recorded(guarded: httpx.Client, people: People, services: Services) -> None:
    login(guarded, people)
    assert {"tenant.created", "user.created", "user.logged_in"} <= set(types(services, people))
