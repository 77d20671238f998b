"""Clients that have only an address: they register, somebody logs in at the platform's own page, and they act for who agreed."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import threading
import time
import uuid
from html import unescape
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import pytest
from mcp.shared.auth import AuthorizationCodeResult
from typer.testing import CliRunner

from api.cli.app import app
from resources.ai.minilm import MiniLmEmbedder
from resources.errors import PlatformError
from resources.mcp.model import ServerConfig
from resources.mcp.oauth import MemoryShelf
from resources.mcp.pool import Pool
from resources.mcp.servers import Server
from tests.api.auth.people import PASSWORD, People
from tests.api.knowledge import teach

if TYPE_CHECKING:
    from collections.abc import Iterator

    from api.dependencies import Services

CALLBACK = "http://127.0.0.1:1/callback"
VERIFIER = "a-verifier-that-is-as-long-as-the-standard-wants-it-to-be"
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")


def agree(url: str, people: People, **changes: str) -> httpx.Response:
    """What somebody does who is sent to `url`: the answer to the form, which leads back to the program."""
    with httpx.Client(trust_env=False, timeout=30) as browser:
        page = browser.get(url, follow_redirects=True)
        assert page.status_code == 200, page.text
        sealed = re.search(r'name="request" value="([^"]+)"', page.text)
        assert sealed is not None
        form = {
            "request": unescape(sealed[1]),
            "tenant": people.tenant,
            "username": f"{people.tenant}-person",
            "password": PASSWORD,
            "decision": "agree",
            **changes,
        }
        return browser.post(str(page.url.join("/oauth/consent")), data=form)


def given_back(answer: httpx.Response) -> dict[str, str]:
    assert answer.status_code == 302, answer.text
    return dict(parse_qsl(urlsplit(answer.headers["location"]).query))


@pytest.fixture(scope="module")
def people(services: Services) -> People:
    """A tenant that knows a few passages, and somebody of it who can log in. Passwords cost what they must: one for all tests."""
    return _with_a_person(services, taught=True)


@pytest.fixture(scope="module")
def strangers(services: Services) -> People:
    """The same of another tenant, which knows nothing."""
    return _with_a_person(services, taught=False)


def _with_a_person(services: Services, *, taught: bool) -> People:
    people = People(services.identity, f"oauth-{uuid.uuid4().hex[:12]}")
    people.user("member", username=f"{people.tenant}-person", password=PASSWORD)
    if taught:
        teach(services, services.chunks, MiniLmEmbedder(), tenant=people.tenant)
    return people


class Somebody:
    """A person of a tenant, with a browser."""

    redirect_uri = CALLBACK

    def __init__(self, people: People) -> None:
        self._people = people
        self._given: dict[str, str] = {}
        self.logins = 0

    async def go(self, url: str) -> None:
        self.logins += 1
        self._given = given_back(await asyncio.to_thread(agree, url, self._people))

    async def back(self) -> AuthorizationCodeResult:
        return AuthorizationCodeResult.model_validate(self._given)


def server(url: str, **oauth: Any) -> ServerConfig:
    return ServerConfig.model_validate({"name": "guarded", "urls": [f"{url}/mcp"], "oauth": oauth, "timeout": 60})


async def test_a_client_with_an_address_acts_for_who_agreed_and_for_nobody_else(
    guarded_url: str, people: People, strangers: People
) -> None:
    found = []
    for owners in (people, strangers):
        somebody, shelf = Somebody(owners), MemoryShelf()
        pool = Pool(server(guarded_url), shelf=shelf, person=somebody)
        try:
            answer = await pool.call("search", {"query": "how to make tea"})
            found.append(len(answer.structured["hits"]))
            assert "create_tenant" not in {tool.name for tool in await pool.tools()}
        finally:
            await pool.close()
        assert somebody.logins == 1
        assert shelf.login is not None
        assert shelf.login.tokens is not None
        assert set((shelf.login.tokens.scope or "").split()) >= {"read:knowledge", "execute:workflows"}
        assert "manage" not in (shelf.login.tokens.scope or "")
    assert found[0] > 0
    assert found[1] == 0


async def test_spent_tokens_are_refreshed_without_anybody_and_once_for_all(guarded_url: str, people: People) -> None:
    somebody, shelf = Somebody(people), MemoryShelf()
    first = Pool(server(guarded_url), shelf=shelf, person=somebody)
    await first.tools()
    await first.close()
    assert shelf.login is not None
    before = shelf.login
    shelf.login = before.model_copy(update={"expires_at": time.time()})
    pools = [Pool(server(guarded_url), shelf=shelf) for _ in range(3)]
    try:
        await asyncio.gather(*(pool.tools() for pool in pools))
    finally:
        await asyncio.gather(*(pool.close() for pool in pools))
    assert somebody.logins == 1
    assert shelf.login.tokens != before.tokens
    assert shelf.login.fresh(time.time())


async def test_what_runs_without_a_person_says_that_somebody_has_to_log_in(guarded_url: str) -> None:
    pool = Pool(server(guarded_url), shelf=MemoryShelf())
    try:
        with pytest.raises(PlatformError, match="aiw mcp login guarded") as refused:
            await pool.tools()
    finally:
        await pool.close()
    assert (refused.value.code, refused.value.retryable) == ("mcp_login_needed", False)


@pytest.fixture
def configured(services: Services, guarded_url: str) -> Iterator[str]:
    """A server of the operator's that wants a login: the guarded API itself."""
    services.mcp_servers._operator["guarded"] = Server(server(guarded_url), "operator")
    yield "guarded"
    del services.mcp_servers._operator["guarded"]


def test_somebody_logs_in_on_the_command_line_and_the_platform_calls_in_their_name(
    api_url: str, configured: str, strangers: People, monkeypatch: pytest.MonkeyPatch
) -> None:

    def opened(url: str) -> bool:
        def browse() -> None:
            httpx.get(agree(url, strangers).headers["location"], trust_env=False)

        threading.Thread(target=browse).start()
        return True

    def aiw(*arguments: str) -> Any:
        return CliRunner().invoke(app, ["--api-url", api_url, "mcp", *arguments])

    monkeypatch.setattr("webbrowser.open", opened)
    refused = aiw("tools", configured)
    assert refused.exit_code == 1
    assert "aiw mcp login guarded" in refused.output
    done = aiw("login", configured)
    assert done.exit_code == 0, done.output
    assert "Logged in to guarded" in done.output
    assert "search" in aiw("tools", configured).output
    called = aiw("call", configured, "list_workflows")
    assert called.exit_code == 0, called.output
    assert aiw("logout", configured).exit_code == 0
    assert "aiw mcp login guarded" in aiw("tools", configured).output


# --- what is refused --------------------------------------------------------------------------------------------------


def registered(guarded: httpx.Client, **changes: Any) -> httpx.Response:
    body = {
        "redirect_uris": [CALLBACK],
        "client_name": "<b>Tester</b>",
        "token_endpoint_auth_method": "none",
        **changes,
    }
    return guarded.post("/oauth/register", json=body)


def asked(guarded: httpx.Client, client: str, **changes: str) -> str:
    wanted = {
        "response_type": "code",
        "client_id": client,
        "redirect_uri": CALLBACK,
        "code_challenge": CHALLENGE,
        "state": "s",
        "scope": "read:knowledge",
        **changes,
    }
    return f"{guarded.base_url.join('/oauth/authorize')}?{urlencode(wanted)}"


@pytest.mark.parametrize(
    "uri", ["http://evil.example/cb", "javascript:alert(1)", "data:text/html,x", "https://user:p@evil.example/cb"]
)
def test_codes_are_sent_to_no_such_place(guarded: httpx.Client, uri: str) -> None:
    refused = registered(guarded, redirect_uris=[uri])
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_redirect_uri")


def test_the_page_shows_who_asks_and_nothing_that_they_have_written_as_markup(guarded: httpx.Client) -> None:
    page = httpx.get(asked(guarded, registered(guarded).json()["client_id"]), follow_redirects=True, trust_env=False)
    assert "&lt;b&gt;Tester&lt;/b&gt; asks for access" in page.text
    assert "<b>http://127.0.0.1:1</b>" in page.text
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"decision": "refuse"}, "access_denied"),
        ({"resource": "https://elsewhere.example/mcp"}, "invalid_target"),
    ],
)
def test_who_does_not_agree_gives_no_code(
    guarded: httpx.Client, people: People, changes: dict[str, str], error: str
) -> None:
    in_form = {name: value for name, value in changes.items() if name == "decision"}
    in_request = {name: value for name, value in changes.items() if name != "decision"}
    client = registered(guarded).json()["client_id"]
    answer = given_back(agree(asked(guarded, client, **in_request), people, **in_form))
    assert (answer["error"], answer["state"], "code" in answer) == (error, "s", False)


def test_it_is_on_record_who_let_which_program_in_and_how_far(
    guarded: httpx.Client, services: Services, people: People
) -> None:
    name = f"<b>{uuid.uuid4()}</b>"
    client = registered(guarded, client_name=name).json()["client_id"]
    agree(asked(guarded, client), people, decision="refuse")
    again = agree(asked(guarded, client), people, password="nonsense")
    assert (again.status_code, 'role="alert"' in again.text, "nonsense" in again.text) == (401, True, False)
    given_back(agree(asked(guarded, client), people))
    admitted = services.events.read_all(types={"user.client_admitted"}, tenant=people.tenant)
    (event,) = (event for event in admitted if event.data["client"] == name)
    told = {field: event.data[field] for field in ("username", "client", "place", "scopes")}
    assert told == {
        "username": f"{people.tenant}-person",
        "client": name,
        "place": "http://127.0.0.1:1",
        "scopes": ["read:knowledge"],
    }
    assert event.metadata.session_id == event.data["session_id"]


def test_a_code_is_good_for_one_use_by_who_asked_for_it(guarded: httpx.Client, people: People) -> None:
    client, other = (registered(guarded).json()["client_id"] for _ in range(2))
    code = given_back(agree(asked(guarded, client), people))["code"]
    form = {
        "grant_type": "authorization_code",
        "client_id": client,
        "code": code,
        "redirect_uri": CALLBACK,
        "code_verifier": VERIFIER,
    }
    for wrong in ({"code_verifier": "x" * 50}, {"client_id": other}, {"code": f"{code[:-4]}AAAA"}):
        refused = guarded.post("/oauth/token", data=form | wrong)
        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
    tokens = guarded.post("/oauth/token", data=form).json()
    assert tokens["scope"] == "read:knowledge"
    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert guarded.get("/api/v1/search?q=tea", headers=bearer).status_code == 200
    assert guarded.get("/api/v1/documents", headers=bearer).status_code == 403
    assert guarded.post("/oauth/token", data=form).json()["error"] == "invalid_grant"
    # Whoever copied the code has ended the session by it, for both.
    refresh = {"grant_type": "refresh_token", "client_id": client, "refresh_token": tokens["refresh_token"]}
    assert guarded.post("/oauth/token", data=refresh).json()["error"] == "invalid_grant"


def test_a_client_that_gives_its_tokens_back_is_out(guarded: httpx.Client, people: People) -> None:
    known = registered(guarded, token_endpoint_auth_method="client_secret_post").json()
    who = {"client_id": known["client_id"], "client_secret": known["client_secret"]}
    code = given_back(agree(asked(guarded, known["client_id"]), people))["code"]
    form = {**who, "code": code, "redirect_uri": CALLBACK, "code_verifier": VERIFIER}
    tokens = guarded.post("/oauth/token", data={"grant_type": "authorization_code", **form}).json()
    revoked = guarded.post("/oauth/revoke", data={**who, "token": tokens["refresh_token"]})
    assert revoked.status_code == 200
    refresh = {"grant_type": "refresh_token", **who, "refresh_token": tokens["refresh_token"]}
    assert guarded.post("/oauth/token", data=refresh).json()["error"] == "invalid_grant"
