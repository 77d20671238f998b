"""Dagster's UI behind the login: a real web server of Dagster, reached as browsers and programs reach it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from api.app import create_app
from resources.realtime.model import RUN_TENANT_TAG
from resources.servers import ports
from tests.api.auth.people import PASSWORD, People
from tests.api.harness import serving
from tests.fixtures.chromium import chromium

if TYPE_CHECKING:
    from collections.abc import Iterator

    from websockets.sync.client import ClientConnection

    from api.dependencies import Services
    from resources.settings import Settings
    from tests.fixtures.chromium import Page

pytestmark = pytest.mark.timeout(300)

LOCATION = """
import dagster as dg

@dg.op
def look(context: dg.OpExecutionContext) -> None:
    context.log.info("looked")

@dg.job
def glance() -> None:
    look()

defs = dg.Definitions(jobs=[glance])
"""
# Runs are only queued: no daemon takes them.
INSTANCE = "run_coordinator: {module: dagster.core.run_coordinator, class: QueuedRunCoordinator}\ntelemetry: {enabled: false}\n"
LAUNCH = """mutation($p: ExecutionParams!) { launchRun(executionParams: $p) { __typename
    ... on LaunchRunSuccess { run { runId tags { key value } } } ... on PythonError { message } } }"""
PAGE = {"Accept": "text/html"}
BROWSING = ("admin", "viewer", "member")


@pytest.fixture(scope="module")
def webserver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Dagster's own web server, under the path that the API serves it at."""
    home = tmp_path_factory.mktemp("webserver")
    (home / "dagster.yaml").write_text(INSTANCE)
    (home / "location.py").write_text(LOCATION)
    port = ports.free_port()
    command = [
        sys.executable,
        "-m",
        "dagster_webserver",
        "-h",
        "127.0.0.1",
        "-p",
        str(port),
        "--path-prefix",
        "/dagster",
    ]
    process = subprocess.Popen(
        [*command, "-f", str(home / "location.py")],
        cwd=home,
        env={**os.environ, "DAGSTER_HOME": str(home), "DAGSTER_DISABLE_TELEMETRY": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}/dagster"
    try:
        with httpx.Client(trust_env=False) as client:
            deadline = time.monotonic() + 240
            while not answers(client, f"{url}/server_info"):
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.1)
        yield url
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


def answers(client: httpx.Client, url: str) -> bool:
    try:
        return client.get(url).is_success
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def guarded_ui(services: Services, api_settings: Settings, webserver: str) -> Iterator[str]:
    """The address of an API where everybody must log in."""
    settings = api_settings.model_copy(
        update={
            "auth": api_settings.auth.model_copy(update={"mode": "required"}),
            "dagster": api_settings.dagster.model_copy(update={"url": webserver}),
        }
    )
    app = create_app(services, settings)
    with serving(app) as url:
        yield url


@pytest.fixture
def home(services: Services) -> People:
    return People(services.identity, services.identity.home)


@pytest.fixture
def people(services: Services, tenant: str) -> People:
    return People(services.identity, tenant)


@pytest.fixture
def browser(guarded_ui: str) -> Iterator[httpx.Client]:
    """Keeps cookies, and says where its pages come from."""
    with httpx.Client(base_url=guarded_ui, trust_env=False, timeout=30, headers={"Origin": guarded_ui}) as client:
        yield client


def log_in(browser: httpx.Client, people: People, role: str, **fields: str) -> httpx.Response:
    user = people.user(role, username=f"{role}-with-password", password=PASSWORD)
    form = {"username": user.username, "password": PASSWORD, **fields}
    return browser.post("/login/session", data=form)


def ask(client: httpx.Client, query: str, variables: Any = None, **request: Any) -> httpx.Response:
    return client.post("/dagster/graphql", json={"query": query, "variables": variables or {}}, **request)


def launch_parameters(tags: list[dict[str, str]]) -> dict[str, Any]:
    selector = {"repositoryLocationName": "location.py", "repositoryName": "__repository__", "jobName": "glance"}
    return {"p": {"selector": selector, "runConfigData": {}, "executionMetadata": {"tags": tags}}}


@pytest.mark.parametrize("role", ["admin", "operator", "viewer"])
def test_who_logs_in_sees_the_ui(browser: httpx.Client, home: People, role: str) -> None:
    entered = log_in(browser, home, role, next="/dagster/runs?view=all")
    assert entered.status_code == 303
    assert entered.headers["location"] == "/dagster/runs?view=all"
    page = browser.get("/dagster/runs", headers=PAGE)
    assert page.status_code == 200
    assert '"assetPrefix":"/dagster"' in page.text
    assert page.headers["x-frame-options"] == "DENY"
    assert ask(browser, "{ version }").json()["data"]["version"]


def test_the_cookie_is_for_this_site_and_for_no_script(browser: httpx.Client, home: People) -> None:
    cookie = log_in(browser, home, "viewer").headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert browser.get("/api/v1/auth/whoami").status_code == 401  # the API takes no cookies


def test_who_is_not_logged_in_is_sent_to_the_login(browser: httpx.Client) -> None:
    page = browser.get("/dagster/assets?x=1", headers=PAGE)
    assert page.status_code == 303
    assert page.headers["location"] == "/login?next=/dagster/assets%3Fx%3D1"
    form = browser.get(page.headers["location"])
    assert 'value="/dagster/assets?x=1"' in form.text
    assert ask(browser, "{ version }").status_code == 401
    assert browser.get("/dagster/logs/x").status_code == 401
    assert browser.get("/dagster/download_debug/x").status_code == 401


@pytest.mark.parametrize("role", ["member", "agent", "service"])
def test_others_are_not_let_in(browser: httpx.Client, home: People, role: str) -> None:
    refused = log_in(browser, home, role)
    assert refused.status_code == 403
    assert "set-cookie" not in refused.headers
    headers = home.headers(role)
    assert ask(browser, "{ version }", headers=headers).status_code == 403
    assert browser.get("/dagster/", headers=headers | PAGE).status_code == 303


def test_admins_of_other_tenants_are_not_let_in(browser: httpx.Client, people: People) -> None:
    assert ask(browser, "{ version }", headers=people.headers("admin")).json()["code"] == "ui_not_permitted"


def test_a_wrong_password_is_told_and_escaped(browser: httpx.Client) -> None:
    refused = browser.post("/login/session", data={"username": "<script>", "password": "x"})
    assert refused.status_code == 401
    assert "<script>" not in refused.text
    assert 'role="alert"' in refused.text


@pytest.mark.parametrize("wanted", ["https://evil.example/", "//evil.example", "/dagster\\evil", "/api/v1/x", ""])
def test_the_login_leads_nowhere_else(browser: httpx.Client, home: People, wanted: str) -> None:
    assert log_in(browser, home, "viewer", next=wanted).headers["location"] == "/dagster/"


def test_logging_out_ends_the_session(browser: httpx.Client, home: People) -> None:
    log_in(browser, home, "viewer")
    kept = dict(browser.cookies)
    assert "Log out" in browser.get("/login").text
    assert browser.post("/login/end").status_code == 303
    assert not browser.cookies
    browser.cookies.update(kept)
    assert ask(browser, "{ version }").status_code == 401


def test_launches_run_for_the_tenant_of_who_launches(browser: httpx.Client, home: People) -> None:
    log_in(browser, home, "operator")
    forged = [{"key": RUN_TENANT_TAG, "value": "acme"}, {"key": "team", "value": "blue"}]
    told = ask(browser, LAUNCH, launch_parameters(forged)).json()["data"]["launchRun"]
    assert told["__typename"] == "LaunchRunSuccess", told
    tags = {tag["key"]: tag["value"] for tag in told["run"]["tags"]}
    assert tags[RUN_TENANT_TAG] == home.tenant
    assert tags["team"] == "blue"


def test_a_viewer_changes_nothing(browser: httpx.Client, home: People) -> None:
    log_in(browser, home, "viewer")
    assert ask(browser, LAUNCH, launch_parameters([])).json()["code"] == "read_only"
    assert browser.post("/dagster/report_asset_materialization/x", json={}).status_code == 403
    form = {"query": "mutation { setNuxSeen }"}
    assert browser.post("/dagster/graphql", params=form).status_code == 400
    assert browser.get("/dagster/graphql", params=form).status_code == 403


def test_a_key_does_as_much_as_its_scopes(browser: httpx.Client, services: Services, home: People) -> None:
    actor = home.pair("admin").principal
    administration = services.identity.administration
    narrow = administration.create_key("narrow", scopes=["read:documents"], actor=actor)[1]
    looking = administration.create_key("looking", scopes=["read:dagster"], actor=actor)[1]
    assert ask(browser, "{ version }", headers={"X-API-Key": narrow}).status_code == 403
    assert ask(browser, "{ version }", headers={"X-API-Key": looking}).status_code == 200
    refused = ask(browser, "mutation { setNuxSeen }", headers={"X-API-Key": looking})
    assert refused.json()["code"] == "read_only"


@pytest.mark.parametrize("path", ["/dagster/graphql", "/dagster/runs"])
def test_pages_of_others_are_refused(browser: httpx.Client, home: People, path: str) -> None:
    log_in(browser, home, "admin")
    answer = browser.post(path, json={"query": "{ version }"}, headers={"Origin": "https://evil.example"})
    assert answer.json()["code"] == "origin_not_allowed"


def test_pages_of_others_log_nobody_in(browser: httpx.Client) -> None:
    answer = browser.post("/login/session", data={"username": "x"}, headers={"Origin": "null"})
    assert answer.json()["code"] == "origin_not_allowed"


def test_a_path_that_climbs_is_refused(browser: httpx.Client, home: People) -> None:
    log_in(browser, home, "viewer")
    answer = browser.send(browser.build_request("POST", "/dagster/x/%2e%2e/graphql", json={}))
    assert answer.status_code == 404


def open_socket(url: str, **options: Any) -> ClientConnection:
    address = url.replace("http", "ws", 1) + "/dagster/graphql"
    return connect(address, subprotocols=["graphql-ws"], proxy=None, **options)  # type: ignore[list-item]  # a NewType


def test_runs_are_watched_over_the_socket(guarded_ui: str, browser: httpx.Client, home: People) -> None:
    log_in(browser, home, "operator")
    run = ask(browser, LAUNCH, launch_parameters([])).json()["data"]["launchRun"]["run"]["runId"]
    cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    with open_socket(guarded_ui, additional_headers={"Cookie": cookie}, origin=guarded_ui) as socket:
        assert socket.subprotocol == "graphql-ws"
        socket.send(json.dumps({"type": "connection_init", "payload": {}}))
        assert json.loads(socket.recv(10))["type"] == "connection_ack"
        query = "subscription($r: ID!) { pipelineRunLogs(runId: $r) { __typename } }"
        payload = {"query": query, "variables": {"r": run}}
        socket.send(json.dumps({"id": "1", "type": "start", "payload": payload}))
        told = json.loads(socket.recv(10))
        assert told["payload"]["data"]["pipelineRunLogs"]["__typename"] == "PipelineRunLogsSubscriptionSuccess"


@pytest.mark.parametrize(("role", "origin"), [(None, None), ("member", None), ("admin", "https://evil.example")])
def test_a_socket_is_refused_before_it_opens(
    guarded_ui: str, home: People, role: str | None, origin: str | None
) -> None:
    headers = {} if role is None else home.headers(role)
    with (
        pytest.raises(InvalidStatus) as refused,
        open_socket(guarded_ui, additional_headers=headers, origin=origin),
    ):
        pass
    assert refused.value.response.status_code == 403


def test_at_home_nobody_has_to_log_in(services: Services, api_settings: Settings, webserver: str, tenant: str) -> None:
    dagster = api_settings.dagster.model_copy(update={"url": webserver})
    app = create_app(services, api_settings.model_copy(update={"dagster": dagster}))
    app.state.tenant = tenant
    with serving(app) as url, httpx.Client(base_url=url, trust_env=False, timeout=30) as client:
        assert client.get("/dagster/", headers=PAGE).status_code == 200
        tags = ask(client, LAUNCH, launch_parameters([])).json()["data"]["launchRun"]["run"]["tags"]
        assert {"key": RUN_TENANT_TAG, "value": tenant} in tags


def test_a_browser_gets_in_through_the_form_and_out_again(guarded_ui: str, home: People) -> None:
    users = {role: home.user(role, username=f"{role}-with-password", password=PASSWORD) for role in BROWSING}
    with chromium() as page:
        page.go(f"{guarded_ui}/dagster/timeline")
        page.until("location.pathname === '/login'")
        fill_in(page, users["admin"].username)
        page.until("location.pathname.startsWith('/dagster/')")
        page.until("/Timeline/.test(document.body.innerText)")
        assert mutated(page, LAUNCH, launch_parameters([]))["data"]["launchRun"]["__typename"] == "LaunchRunSuccess"
        page.go(f"{guarded_ui}/dagster/runs")
        page.until("/glance/.test(document.body.innerText)")
        log_out(page, guarded_ui)

        fill_in(page, users["viewer"].username)
        page.until("/Timeline/.test(document.body.innerText)")
        assert mutated(page, LAUNCH, launch_parameters([]))["code"] == "read_only"
        log_out(page, guarded_ui)

        fill_in(page, users["member"].username)
        assert "is for admins" in page.until("document.querySelector('[role=alert]')?.innerText")
        page.go(f"{guarded_ui}/dagster/runs")
        page.until(
            "location.pathname === '/login' && document.querySelector('input[name=next]')?.value === '/dagster/runs'"
        )


def fill_in(page: Page, username: str) -> None:
    """Write into the form as people do, and press its button."""
    page.until("document.querySelector('input[name=password]') !== null")
    entered = {"username": username, "password": PASSWORD}
    page.evaluate(
        f"for (const [name, value] of Object.entries({json.dumps(entered)}))"
        "  document.querySelector(`input[name=${name}]`).value = value;"
        "document.querySelector('form button').click()"
    )


def mutated(page: Page, query: str, variables: Any) -> Any:
    """What the page is told that asks as Dagster's own scripts do."""
    body = json.dumps(json.dumps({"query": query, "variables": variables}))
    page.evaluate(
        "window.told = null; fetch('/dagster/graphql', {method: 'POST', headers: {'Content-Type': 'application/json'},"
        f" body: {body}}}).then(answer => answer.json()).then(told => window.told = told); null"
    )
    return page.until("window.told")


def log_out(page: Page, url: str) -> None:
    page.go(f"{url}/login")
    page.until("document.querySelector('form[action=\"/login/end\"] button') !== null")
    page.evaluate("document.querySelector('form button').click()")


def test_what_is_secret_stays_here(services: Services, api_settings: Settings, home: People) -> None:
    seen: list[Any] = []

    async def upstream(scope: Any, receive: Any, send: Any) -> None:
        del receive
        seen.append(dict(scope["headers"]))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"set-cookie", b"a=b")]})
        await send({"type": "http.response.body", "body": b"{}"})

    with serving(quiet(upstream)) as behind:
        settings = api_settings.model_copy(
            update={"dagster": api_settings.dagster.model_copy(update={"url": f"{behind}/dagster"})}
        )
        with serving(create_app(services, settings)) as url:
            headers = {**home.headers("admin"), "Cookie": "aiw_session=x", "Connection": "keep-alive", "X-Kept": "1"}
            answer = httpx.get(f"{url}/dagster/", headers=headers, trust_env=False)
    assert "set-cookie" not in answer.headers
    assert seen
    assert seen[0][b"x-kept"] == b"1"
    assert {b"authorization", b"cookie", b"x-api-key"} & set(seen[0]) == set()


def test_a_web_server_that_is_gone_is_told(services: Services, api_settings: Settings) -> None:
    dagster = api_settings.dagster.model_copy(update={"url": f"http://127.0.0.1:{ports.free_port()}/dagster"})
    with serving(create_app(services, api_settings.model_copy(update={"dagster": dagster}))) as url:
        answer = httpx.get(f"{url}/dagster/", trust_env=False)
    assert answer.status_code == 503
    assert answer.json()["code"] == "ui_down"


def quiet(app: Any) -> Any:
    """With a lifespan that does nothing."""

    async def both(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await app(scope, receive, send)
            return
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    return both
