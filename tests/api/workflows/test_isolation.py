"""Two tenants on one platform with a real Dagster: both use everything, and neither finds anything of the other."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from pydantic import SecretStr

from api.app import create_app
from api.client import ApiClient
from resources.ai.prices.model import PriceOverride
from resources.errors import ConflictError, LimitExceededError, NotPermittedError
from resources.settings import AuthSettings, Settings
from resources.tenants.model import Limits, Status
from tests.api.auth.people import People, bearer
from tests.api.conftest import MASTER_KEY
from tests.api.harness import serving
from tests.api.workflows.conftest import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi import FastAPI

    from api.workflows.schemas import ExecutionOut
    from tests.api.workflows.conftest import Platform

pytestmark = pytest.mark.timeout(240)

V1 = "/api/v1"
CANARY = "canary5b2e"
ENDLESS = {"/api/v1/events/tail"}
WORKFLOW = """
name: {name}
inputs: {{who: {{default: world}}}}
nodes:
  greet: {{type: template, config: {{template: "{name} {{{{ inputs.who }}}}"}}}}
outputs: {{greeting: "{{{{ nodes.greet.output.text }}}}"}}
"""
ASKING = """
name: asking
inputs: {text: {type: string}}
nodes:
  ask: {type: prompt, config: {prompt: "{{ inputs.text }}"}}
"""
SLOW = "{name: slow, nodes: {wait: {type: delay, config: {seconds: 60}}}}"

# What asks for something by its name.
THEIRS: list[tuple[str, str, Any]] = [
    ("POST", "/runs/{run_id}/cancel", None),
    ("POST", "/runs/{run_id}/rerun", {"from": "all"}),
    ("POST", "/workflows/{name}/run", {"inputs": {}}),
    ("POST", "/workflows/{name}/execute", {"inputs": {}}),
    ("GET", "/runs/{run_id}", None),
    ("GET", "/runs/{run_id}/logs", None),
    ("GET", "/runs/{run_id}/stream", None),
    ("GET", "/executions/{run_id}", None),
    ("GET", "/executions/{run_id}/outputs", None),
    ("GET", "/workflows/status/{run_id}", None),
    ("GET", "/workflows/{run_id}/status", None),
    ("GET", "/workflows/{name}", None),
    ("GET", "/workflows/{name}/graph", None),
    ("DELETE", "/workflows/{name}", None),
    ("GET", "/documents/{document_id}", None),
    ("GET", "/registry/agents/{agent_id}", None),
    ("DELETE", "/registry/agents/{agent_id}", None),
    ("GET", "/users/{user_id}", None),
    ("PATCH", "/users/{user_id}", {"role": "viewer"}),
    ("DELETE", "/keys/{key_id}", None),
    ("GET", "/routes/{name}", None),
    ("DELETE", "/routes/{name}", None),
    ("DELETE", "/realtime/rules/{name}", None),
]


@pytest.fixture(scope="module")
def guarded_app(whole: Platform) -> FastAPI:
    settings = Settings(_env_file=None, auth=AuthSettings(mode="required", master_key=SecretStr(MASTER_KEY)))
    return create_app(whole.services, settings)


@pytest.fixture(scope="module")
def address(guarded_app: FastAPI) -> Iterator[str]:
    with serving(guarded_app) as url:
        yield url


@pytest.fixture(scope="module")
def first(whole: Platform) -> People:
    return People(whole.services.identity, f"first-{uuid.uuid4().hex[:10]}")


@pytest.fixture(scope="module")
def second(whole: Platform) -> People:
    return People(whole.services.identity, f"second-{uuid.uuid4().hex[:10]}")


def use_everything(api: ApiClient, word: str) -> dict[str, Any]:
    """Something of each kind, with `word` in it; gives what it is called."""
    api.publish_workflow(WORKFLOW.format(name=word).encode())
    run_id = api.run_workflow(word, {"who": word}).run_id
    wait_for(lambda: api.execution(run_id).status == "completed", f"the end of {run_id}")
    document = api.upload(f"All about {word}.".encode(), name=f"{word}.txt", media_type="text/plain")
    event = api.append_event("run.started", {"run_id": word, "job": word}, stream=f"run/{word}")
    message = api.publish_message(f"news.{word}", {"text": word})
    rule = {"types": ["run.*"], "action": {"kind": "topic", "topic": word}}
    api.save_route(word, rule)
    api.save_message_rule(word, {"when": {"topic": word}, "then": {"priority": 3}})
    agent = api.register_agent(word, f"http://127.0.0.1:9/{word}", [word])
    user = api.create_user(word, role="viewer")
    key = api.create_key(word, scopes=["read"])
    api.put_budget(Decimal(1), scope="project", subject=word)
    assert api.outputs(run_id) == {"greeting": f"{word} {word}"}
    return {
        "run_id": run_id,
        "name": word,
        "document_id": document.document.id,
        "event": event.position,
        "message_id": message["message_id"],
        "agent_id": str(agent.id),
        "user_id": str(user.id),
        "key_id": key.id,
        "topic": f"news.{word}",
        "type": "run",
        "id": word,
    }


@pytest.fixture(scope="module")
def theirs(address: str, first: People) -> dict[str, Any]:
    """What the first tenant has."""
    with ApiClient(address, token=first.pair("admin").access_token) as api:
        return use_everything(api, CANARY)


def test_a_second_tenant_uses_everything_and_sees_nothing_of_the_first(
    address: str, guarded_app: FastAPI, theirs: dict[str, Any], second: People
) -> None:
    token = second.pair("admin").access_token
    with ApiClient(address, token=token) as api:
        own = use_everything(api, "own77")
        assert [found.run_id for found in api.executions().executions] == [own["run_id"]]
    listed = [path for path, methods in guarded_app.openapi()["paths"].items() if "get" in methods and "{" not in path]
    told = {}
    with httpx.Client(base_url=address, headers=bearer(token), trust_env=False, timeout=60) as http:
        for path in sorted(set(listed) - ENDLESS):
            answer = http.get(path, params={"q": "all about", "to": "all", "limit": 100}, follow_redirects=False)
            told[path] = CANARY in answer.text
    assert not [path for path, seen in told.items() if seen]
    assert theirs["run_id"] != own["run_id"]


def test_what_the_first_has_is_not_there_for_the_second(
    address: str, theirs: dict[str, Any], first: People, second: People
) -> None:
    """With a Dagster that would do it: none of these fails for want of one."""
    told, own = {}, {}
    with httpx.Client(base_url=address + V1, trust_env=False, timeout=60) as http:
        for method, path, body in THEIRS:
            name = f"{method} {path}"
            told[name] = http.request(
                method, path.format(**theirs), json=body, headers=bearer(second.pair("admin").access_token)
            ).status_code
            if method == "GET" and "stream" not in path:
                own[name] = http.get(
                    path.format(**theirs), headers=bearer(first.pair("admin").access_token)
                ).status_code
    assert told == dict.fromkeys(told, 404)
    assert own == dict.fromkeys(own, 200)


def test_runs_are_counted_and_those_beyond_the_quota_wait_or_are_refused(address: str, whole: Platform) -> None:
    people = People(whole.services.identity, f"third-{uuid.uuid4().hex[:10]}")
    limits = Limits(runs_per_day=2, concurrent_runs=1)
    people.identity.administration.change_tenant(people.tenant, limits=limits, actor=None)
    with ApiClient(address, token=people.pair("admin").access_token) as api:
        api.publish_workflow(SLOW.encode())
        runs = [api.run_workflow("slow", key=f"key-{number}").run_id for number in range(2)]
        try:
            assert api.run(runs[1]).status == "queued"
            with pytest.raises(LimitExceededError) as refused:
                api.run_workflow("slow")
            assert (refused.value.code, refused.value.details["limit"]) == ("runs_quota_exceeded", 2)
            assert refused.value.retry_after is not None
            assert api.run_workflow("slow", key="key-0").run_id == runs[0]  # one that there is already
            assert api.quota(people.tenant).runs_per_day.used == 2
        finally:
            for run_id in reversed(runs):
                api.cancel_run(run_id)


def test_money_beyond_the_quota_is_not_spent(address: str, whole: Platform) -> None:
    people = People(whole.services.identity, f"fifth-{uuid.uuid4().hex[:10]}")
    limits = Limits(usd_per_month=Decimal(5))
    people.identity.administration.change_tenant(people.tenant, limits=limits, actor=None)
    whole.services.ai.price_store.add(
        PriceOverride(
            provider="offline",
            model="offline/extractive-v1",
            effective_from=datetime.now(UTC),
            input_mtok=Decimal(10_000),
            output_mtok=Decimal(0),
            tenant=people.tenant,
        )
    )
    with ApiClient(address, token=people.pair("admin").access_token) as api:
        with pytest.raises(NotPermittedError):
            api.add_price("offline", "offline/extractive-v1", input_mtok="0", output_mtok="0")
        api.publish_workflow(ASKING.encode())

        def ended(words: int) -> ExecutionOut:
            run_id = api.run_workflow("asking", {"text": "Tea is hot. " * words}).run_id
            wait_for(lambda: api.execution(run_id).status in {"completed", "failed"}, f"the end of {run_id}")
            return api.execution(run_id)

        taken = ended(5)
        assert (taken.status, taken.error) == ("completed", None)
        spent = api.quota(people.tenant).usd_per_month.used
        assert spent is not None
        assert 0 < spent < 5
        refused = ended(500)
        assert (refused.status, "budget" in (refused.error or "")) == ("failed", True)
        assert api.quota(people.tenant).usd_per_month.used == spent


def test_a_suspended_tenant_starts_nothing(address: str, whole: Platform) -> None:
    people = People(whole.services.identity, f"fourth-{uuid.uuid4().hex[:10]}")
    administration, token = people.identity.administration, people.pair("admin").access_token
    administration.change_tenant(people.tenant, status=Status.SUSPENDED, actor=None)
    answer = httpx.post(f"{address}{V1}/workflows/hello/run", json={}, headers=bearer(token), trust_env=False)
    assert answer.status_code == 401
    with pytest.raises(ConflictError):
        administration.create_tenant(people.tenant, actor=None)
