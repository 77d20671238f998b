"""Approvals over HTTP and at the shell."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from api.cli.app import build
from resources.agents.approvals import Approvals
from resources.events.catalog import AgentApprovalRequested

if TYPE_CHECKING:
    import httpx

    from api.dependencies import Services


@pytest.fixture
def approval(services: Services, tenant: str) -> str:
    asked = AgentApprovalRequested(
        approval_id=str(uuid.uuid4()),
        agent_run_id="r",
        agent="clerk",
        tool="send",
        arguments={"to": "ann"},
        reason="each use of this tool is approved",
        run_id="run-1",
    )
    return Approvals(services.events).ask(asked, tenant=tenant).id


def test_what_waits_is_listed_and_decided_once(http: httpx.Client, approval: str) -> None:
    (listed,) = http.get("/api/v1/approvals").json()
    assert (listed["id"], listed["tool"], listed["arguments"]) == (approval, "send", {"to": "ann"})
    granted = http.post(f"/api/v1/approvals/{approval}/grant")
    assert (granted.status_code, granted.json()["status"]) == (200, "granted")
    again = http.post(f"/api/v1/approvals/{approval}/deny", json={"comment": "no"})
    assert (again.status_code, again.json()["code"]) == (409, "approval_decided")
    assert http.get("/api/v1/approvals").json() == []
    assert http.get(f"/api/v1/approvals/{approval}").json()["status"] == "granted"


def test_an_approval_that_there_is_not_is_not_found(http: httpx.Client) -> None:
    assert http.get(f"/api/v1/approvals/{uuid.uuid4()}").status_code == 404


def test_the_shell_lists_and_denies(api_url: str, approval: str) -> None:
    runner = CliRunner()
    listed = runner.invoke(build(), ["--api-url", api_url, "approvals", "list", "--json"])
    assert approval in listed.output
    denied = runner.invoke(build(), ["--api-url", api_url, "approvals", "deny", approval, "--comment", "not now"])
    assert denied.exit_code == 0
    assert "send of clerk: denied" in denied.output
