"""Secrets are planted, used rightly and wrongly, and then looked for in every place where they must not be."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx

from tests.api.auth.people import People, bearer
from tests.api.test_server import environment

if TYPE_CHECKING:
    from pathlib import Path

    from api.dependencies import Services
    from resources.database.postgres import Database
    from resources.settings import Settings

V1 = "/api/v1"
PASSWORD, NEW_PASSWORD = "canary-password-0001", "canary-password-0002"
PROVIDER_KEY = "sk-canary-provider-0003"


def test_no_secret_is_in_any_log_event_answer_or_row(
    api_settings: Settings, services: Services, database: Database, people: People, tmp_path: Path
) -> None:
    user = people.user("admin", username="ada", password=PASSWORD)
    home = People(services.identity, services.identity.home)
    looker = home.user("viewer", username=f"looker-{people.tenant}", password=PASSWORD)
    port_file = tmp_path / "port"
    command = [sys.executable, "-m", "api.server", "--port", "0", "--port-file", str(port_file)]
    assert api_settings.auth.master_key is not None
    master = api_settings.auth.master_key.get_secret_value()
    variables = {"AIW_AUTH__MODE": "required", "AIW_AUTH__MASTER_KEY": master, "AIW_LOG__LEVEL": "debug"}
    process = subprocess.Popen(
        command,
        env=environment(api_settings, **variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        with httpx.Client(base_url=url, trust_env=False, timeout=30) as client:
            answers, planted = use_and_misuse(client, people.tenant, str(user.id))
            pages, cookie = look_at_pages(client, looker.username)
    finally:
        process.terminate()
        _, log = process.communicate(timeout=30)
    address = api_settings.database.url
    assert address is not None
    kept = urlsplit(address.get_secret_value()).password or address.get_secret_value()
    planted |= {PASSWORD, NEW_PASSWORD, PROVIDER_KEY, master, kept, cookie}
    assert "request.finished" in log
    events = [str(event) for event in services.events.read_all(tenant=people.tenant)]
    assert "key.provider_stored" in str(events)
    places = {
        "log": log,
        "events": str(events),
        "answers": "\n".join(answers),
        "pages": "\n".join(pages),
        "rows": rows(database),
    }
    found = {(place, secret) for place, text in places.items() for secret in planted if secret in text}
    assert found == set()


def use_and_misuse(client: httpx.Client, tenant: str, user_id: str) -> tuple[list[str], set[str]]:
    """Everything that a secret goes through; gives the answers that must not hold any, and the secrets that were made."""
    answers: list[str] = []

    def send(method: str, path: str, body: Any = None, **options: Any) -> httpx.Response:
        answer = client.request(method, f"{V1}{path}", json=body, **options)
        answers.append(f"{answer.text} {answer.headers}")
        return answer

    credentials = {"username": "ada", "password": PASSWORD, "tenant": tenant}
    session = client.post(f"{V1}/auth/login", json=credentials).json()
    headers = bearer(session["access_token"])
    key = client.post(f"{V1}/keys", json={"name": "ci"}, headers=headers).json()["key"]
    refreshed = client.post(f"{V1}/auth/refresh", json={"refresh_token": session["refresh_token"]}).json()
    send("PUT", "/provider-keys/openai", {"key": PROVIDER_KEY}, headers=headers)
    send("GET", "/provider-keys", headers=headers)
    send("GET", "/keys", headers=headers)
    send("GET", "/users", headers=headers)
    send("GET", "/events?limit=1000", headers=headers)
    send("GET", "/auth/whoami", headers=bearer(key))
    # Wrongly: errors must not repeat what was sent.
    send("POST", "/auth/login", {**credentials, "tenant": "x", "password": NEW_PASSWORD})
    send("POST", "/auth/login", {"username": PASSWORD, "password": [PASSWORD]})
    send("POST", "/auth/login", {"username": "ada", "pasword": PASSWORD})
    send("POST", "/auth/login", content=f'{{"password": "{PASSWORD}"', headers={"Content-Type": "application/json"})
    send("POST", "/auth/verify", {"token": [session["access_token"]]})
    send("POST", "/auth/refresh", {"refresh_token": session["refresh_token"]})
    send("PUT", "/provider-keys/UPPER", {"key": PROVIDER_KEY}, headers=bearer(key))
    send("PUT", "/provider-keys/openai", {"key": [PROVIDER_KEY]}, headers=bearer(key))
    send("GET", "/auth/whoami", headers=bearer(f"{session['access_token']}x"))
    send("GET", "/auth/whoami", headers=bearer(f"{key}x"))
    send("PUT", f"/users/{user_id}/password", {"password": NEW_PASSWORD}, headers=bearer(key))
    made = {key, session["access_token"], session["refresh_token"], refreshed["refresh_token"]}
    return answers, made | {secret.split("_", 2)[-1] for secret in (key, session["refresh_token"])}


def look_at_pages(client: httpx.Client, username: str) -> tuple[list[str], str]:
    """Every kind of page that people see, before and behind the login, and those of errors; gives the login's cookie, too."""
    pages: list[str] = []

    def see(method: str, path: str, **options: Any) -> httpx.Response:
        answer = client.request(method, path, headers={"Accept": "text/html"}, **options)
        told = {name: value for name, value in answer.headers.items() if name != "set-cookie"}
        pages.append(f"{method} {path} {answer.text} {told}")
        return answer

    open_pages = (
        "/login",
        "/docs",
        "/redoc",
        "/openapi.json",
        "/graphql",
        "/live",
        "/ready",
        "/health",
        "/dagster/runs",
    )
    lost = ("/nothing", "/docs/assets/nothing", "/oauth/authorize?client_id=x", "/api/v1/auth/oidc/callback?code=x")
    for path in (*open_pages, *lost):
        see("GET", path)
    see("POST", "/docs")
    see("POST", "/login/session", data={"username": username, "password": NEW_PASSWORD})
    entered = see("POST", "/login/session", data={"username": username, "password": PASSWORD})
    assert entered.status_code == 303, entered.text
    cookie = client.cookies["aiw_session"]
    for path in (*open_pages, *lost):
        see("GET", path)  # there is no web server of Dagster's here: `tests/e2e/test_dagster_ui.py` reads its pages
    see("POST", "/login/end")
    client.cookies.clear()
    return pages, cookie


def rows(database: Database) -> str:
    """All that identity stores, as text."""
    tables = (
        "tenant",
        "account",
        "session",
        "refresh_token",
        "api_key",
        "provider_key",
        "signing_key",
        "login_attempt",
    )
    found = []
    with database.connect() as connection:
        for table in tables:
            found += [str(row) for row in connection.execute(f"SELECT * FROM aiw.{table}".encode())]
            encoded = connection.execute(f"SELECT t::text FROM aiw.{table} t".encode())
            found += [str(row) for row in encoded]
    return "\n".join(found)


def test_nothing_shows_secrets_when_it_is_printed(people: People) -> None:
    pair = people.pair("admin")
    assert pair.access_token not in repr(pair)
    assert str(pair.refresh_token) not in repr(pair)
    user = people.user("member", username="bob", password=PASSWORD)
    assert str(user.password_hash) not in repr(user)
