import uuid
from typing import Any

import dagster as dg
import httpx
import pytest

from api.launcher import Runs
from assets.partitions import CORRELATION_TAG, TENANT_TAG
from resources.errors import UnavailableError


@dg.op
def greet() -> str:
    return "hello"


@dg.op
def stumble(greeting: str) -> None:
    raise dg.Failure(description=f"cannot say {greeting!r} twice")


@dg.job
def pleasantries() -> None:
    greet()


@dg.job
def embarrassment() -> None:
    stumble(greet())


def executed(job: dg.JobDefinition, instance: dg.DagsterInstance, tenant: str) -> str:
    tags = {TENANT_TAG: tenant, CORRELATION_TAG: "from-the-caller", "dagster/partition": "guide-md-0123456789"}
    return job.execute_in_process(instance=instance, tags=tags, raise_on_error=False).run_id


def shown(http: httpx.Client, run_id: str) -> dict[str, Any]:
    answer = http.get(f"/api/v1/runs/{run_id}")
    assert answer.status_code == 200
    run: dict[str, Any] = answer.json()
    return run


def test_a_run_is_shown_with_its_steps(http: httpx.Client, dagster_instance: dg.DagsterInstance, tenant: str) -> None:
    run = shown(http, executed(pleasantries, dagster_instance, tenant))
    assert (run["job"], run["status"], run["finished"], run["error"]) == ("pleasantries", "success", True, None)
    assert (run["partition"], run["correlation_id"]) == ("guide-md-0123456789", "from-the-caller")
    assert [(step["key"], step["status"]) for step in run["steps"]] == [("greet", "success")]


def test_a_failed_run_says_why(http: httpx.Client, dagster_instance: dg.DagsterInstance, tenant: str) -> None:
    run = shown(http, executed(embarrassment, dagster_instance, tenant))
    assert run["status"] == "failure"
    assert run["error"] == "cannot say 'hello' twice"


def test_an_unknown_run_is_not_found(http: httpx.Client) -> None:
    answer = http.get(f"/api/v1/runs/{uuid.uuid4()}")
    assert answer.status_code == 404
    assert answer.json()["code"] == "run_not_found"


def test_a_run_of_another_tenant_is_not_found(http: httpx.Client, dagster_instance: dg.DagsterInstance) -> None:
    run_id = executed(pleasantries, dagster_instance, "t-somebody-else")
    assert http.get(f"/api/v1/runs/{run_id}").status_code == 404


def test_without_a_home_of_dagster_runs_are_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    with pytest.raises(UnavailableError, match="DAGSTER_HOME"):
        Runs().check()
