from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest
from joserfc.jwk import RSAKey
from pydantic import SecretStr

from api.app import create_app
from tests.api.auth.people import People, bearer
from tests.api.auth.provider import CLIENT, SECRET, Provider
from tests.api.harness import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from api.dependencies import Services
    from resources.settings import Settings

START, CALLBACK = "/api/v1/auth/oidc/start", "/api/v1/auth/oidc/callback"


@pytest.fixture
def provider() -> Iterator[Provider]:
    made = Provider()
    with serving(made.app) as url:
        made.issuer = url
        yield made


@pytest.fixture
def browser(
    services: Services, guarded_settings: Settings, people: People, provider: Provider
) -> Iterator[httpx.Client]:
    """A browser at a platform whose users of `people` log in at `provider`."""
    yield from _browser(services, guarded_settings, people, provider, role=None)


@pytest.fixture
def open_browser(
    services: Services, guarded_settings: Settings, people: People, provider: Provider
) -> Iterator[httpx.Client]:
    """The same, where everybody is welcome as a viewer."""
    yield from _browser(services, guarded_settings, people, provider, role="viewer")


def _browser(
    services: Services, settings: Settings, people: People, provider: Provider, *, role: str | None
) -> Iterator[httpx.Client]:
    changes: dict[str, Any] = {
        "oidc_issuer": provider.issuer,
        "oidc_client_id": CLIENT,
        "oidc_client_secret": SecretStr(SECRET),
        "oidc_tenant": people.tenant,
        "oidc_role": role,
    }
    app = create_app(services, settings.model_copy(update={"auth": settings.auth.model_copy(update=changes)}))
    with serving(app) as url, httpx.Client(base_url=url, trust_env=False, timeout=20) as client:
        yield client


def come_back(browser: httpx.Client) -> httpx.Response:
    return browser.get(START, follow_redirects=True)


def test_somebody_new_logs_in_elsewhere(open_browser: httpx.Client, people: People, services: Services) -> None:
    first = come_back(open_browser)
    assert first.status_code == 200, first.text
    assert (first.json()["role"], first.json()["tenant"]) == ("viewer", people.tenant)
    whoami = open_browser.get("/api/v1/auth/whoami", headers=bearer(first.json()["access_token"]))
    assert whoami.status_code == 200
    assert come_back(open_browser).json()["user_id"] == first.json()["user_id"]
    methods = [
        event.data["method"] for event in services.events.read_all(types={"user.logged_in"}, tenant=people.tenant)
    ]
    assert methods == ["oidc", "oidc"]


def test_who_logs_in_elsewhere_gets_into_dagsters_ui(
    services: Services, guarded_settings: Settings, home: People, provider: Provider
) -> None:
    for browser in _browser(services, guarded_settings, home, provider, role="viewer"):
        assert "/api/v1/auth/oidc/start?next=/dagster/runs" in browser.get("/login?next=/dagster/runs").text
        page = browser.get(f"{START}?next=/dagster/runs", follow_redirects=True)
        assert page.status_code == 200, page.text
        assert 'href="/dagster/runs"' in page.text
        assert "Logged in as" in browser.get("/login").text
        assert browser.get("/dagster/", follow_redirects=False).status_code == 503  # let in: the UI does not run here


def test_who_has_no_business_there_gets_no_cookie(open_browser: httpx.Client) -> None:
    assert open_browser.get(f"{START}?next=/dagster/", follow_redirects=True).status_code == 403
    assert come_back(open_browser).json()["access_token"]
    assert not any(cookie.name == "aiw_session" for cookie in open_browser.cookies.jar)


def test_a_verified_email_finds_its_user(browser: httpx.Client, people: People, provider: Provider) -> None:
    known = people.identity.administration.create_user(
        "ada", tenant=people.tenant, role=people.user("operator").role, email="ada@example.org", actor=None
    )
    provider.claims = {"email": "ada@example.org", "email_verified": False}
    assert (come_back(browser).status_code, come_back(browser).json()["code"]) == (403, "user_unknown")
    provider.claims = {"email": "ada@example.org", "email_verified": True}
    assert come_back(browser).json()["user_id"] == str(known.id)
    provider.claims = {}
    assert come_back(browser).json()["username"] == "ada"


@pytest.mark.parametrize(
    "claims",
    [{"aud": "another"}, {"iss": "https://evil.example"}, {"exp": 1}, {"nonce": "of another login"}, {"sub": None}],
)
def test_a_token_that_is_not_for_this_login_is_refused(
    open_browser: httpx.Client, provider: Provider, claims: dict[str, Any]
) -> None:
    provider.claims = claims
    answer = come_back(open_browser)
    assert (answer.status_code, answer.json()["code"]) == (401, "oidc_token_invalid")


def test_a_token_of_another_key_is_refused(open_browser: httpx.Client, provider: Provider) -> None:
    provider.signing_key = RSAKey.generate_key(2048, {"kid": "k1"})
    assert come_back(open_browser).json()["code"] == "oidc_token_invalid"


def test_a_login_that_began_elsewhere_is_refused(open_browser: httpx.Client) -> None:
    begun = open_browser.get(START)
    back = open_browser.get(begun.headers["location"]).headers["location"]
    open_browser.cookies.clear()
    answer = open_browser.get(back)
    assert (answer.status_code, answer.json()["code"]) == (401, "oidc_state")


def test_another_state_or_code_is_refused(open_browser: httpx.Client) -> None:
    begun = open_browser.get(START)
    assert "httponly" in begun.headers["set-cookie"].lower()
    back = httpx.URL(open_browser.get(begun.headers["location"]).headers["location"])
    assert open_browser.get(back.copy_set_param("state", "x")).json()["code"] == "oidc_state"
    open_browser.get(START)
    assert open_browser.get(f"{CALLBACK}?state=x&code=y").json()["code"] == "oidc_state"


def test_a_code_is_good_once(open_browser: httpx.Client) -> None:
    begun = open_browser.get(START)
    cookie = begun.headers["set-cookie"].partition(";")[0].partition("=")[2]
    back = open_browser.get(begun.headers["location"]).headers["location"]
    assert open_browser.get(back).status_code == 200
    again = open_browser.get(back, headers={"Cookie": f"aiw_oidc={cookie}"})
    assert (again.status_code, again.json()["code"]) == (401, "oidc_refused")


def test_a_provider_that_is_down_is_told(services: Services, guarded_settings: Settings, people: People) -> None:
    gone = Provider()
    gone.issuer = "http://127.0.0.1:9"
    for client in _browser(services, guarded_settings, people, gone, role=None):
        answer = client.get(START)
        assert (answer.status_code, answer.json()["code"]) == (502, "oidc_provider")


def test_without_a_provider_there_is_nothing(guarded: httpx.Client) -> None:
    assert guarded.get(START).json()["code"] == "oidc_not_configured"
