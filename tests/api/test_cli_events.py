"""`aiw events`, against a live API and a real database."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from api.cli.app import app
from resources.events.subscriptions.consumer import Consumer
from resources.events.subscriptions.model import Subscription
from resources.events.subscriptions.postgres import PostgresSubscriptions
from tests.api.events import append, started, workflow, working

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import httpx
    from typer.testing import Result

    from api.dependencies import Services
    from resources.database.postgres import Database
    from resources.settings import Settings

    Aiw = Callable[..., Result]


@pytest.fixture
def aiw(api_url: str, database_url: str, tenant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Aiw:
    """Calls `aiw events` on the tenant's platform."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("AIW_DATABASE__URL", database_url)
    monkeypatch.setenv("AIW_TENANT", tenant)

    def call(*arguments: str, input: str | None = None) -> Result:
        return CliRunner().invoke(app, ["--api-url", api_url, "events", *arguments], input=input)

    return call


def told(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_append_takes_tags_and_an_expectation(aiw: Aiw) -> None:
    data = '{"run_id": "r1", "job": "tea"}'
    given = (
        "append",
        "run.started",
        data,
        "--stream",
        "run/r1",
        "--expected-version",
        "0",
        "--tag",
        "kind=x",
        "--json",
    )
    assert told(aiw(*given))["metadata"]["tags"] == {"kind": "x"}
    refused = aiw(*given)
    assert refused.exit_code == 1
    assert "run/r1" in refused.stderr
    assert aiw("append", "run.started", data, "--tag", "novalue").exit_code == 2


def test_read_chooses_and_goes_back_in_time(aiw: Aiw, http: httpx.Client) -> None:
    append(http, started("a", stream="run/a", metadata={"tags": {"kind": "x"}}), started("b", stream="run/a"))
    assert len(told(aiw("read", "--type", "run.*", "--json"))["events"]) == 2
    assert len(told(aiw("read", "--tag", "kind=x", "--json"))["events"]) == 1
    newest = told(aiw("read", "--stream", "run/a", "--backwards", "--limit", "1", "--json"))
    assert [event["version"] for event in newest["events"]] == [2]
    assert len(told(aiw("read", "--stream", "run/a", "--up-to-version", "1", "--json"))["events"]) == 1
    assert aiw("read", "--backwards").exit_code == 2
    assert aiw("read", "--stream", "run/a", "--type", "run.*").exit_code == 2
    assert aiw("read", "--stream", "run/nowhere").exit_code == 1


def test_show_tells_what_a_stream_adds_up_to(aiw: Aiw, http: httpx.Client) -> None:
    workflow(http, "w-1")
    assert told(aiw("show", "workflow/w-1", "--json"))["state"]["status"] == "completed"
    assert "running" in aiw("show", "workflow/w-1", "--at-version", "2").stdout
    assert aiw("show", "workflow/w-1", "--at-time", "2020-01-01T00:00:00Z").exit_code == 1


def test_stats_tell_what_there_is_and_who_is_behind(aiw: Aiw, http: httpx.Client) -> None:
    append(http, started("r1"), started("r2"))
    found = told(aiw("stats", "--json"))
    assert found["events"] == 2
    assert "workflow_stats" in found["lag"]["projections"]
    assert "run.started" in aiw("stats").stdout


def test_an_export_can_be_imported_elsewhere_once(aiw: Aiw, http: httpx.Client, tmp_path: Path, tenant: str) -> None:
    append(http, started("r1", stream="run/a"), started("r2", stream="run/a"))
    manifest = told(aiw("export", "out", "--json"))
    assert (manifest["tenant"], manifest["events"]) == (tenant, 2)
    assert len((tmp_path / "out" / "events.jsonl").read_text().splitlines()) == 2
    twin = f"{tenant}-twin"
    assert [told(aiw("import", "out", "--tenant", twin, "--json"))["new"] for _ in range(2)] == [2, 0]
    copy = told(aiw("export", "copy", "--tenant", twin, "--json"))
    assert copy["events"] == 2
    assert aiw("export", "out").exit_code == 1
    (tmp_path / "out" / "events.jsonl").write_text("{}\n")
    spoiled = aiw("import", "out", "--tenant", twin)
    assert spoiled.exit_code == 1
    assert "not what was exported" in spoiled.stderr


def test_projections_are_built_anew_and_read(aiw: Aiw, http: httpx.Client, api_settings: Settings) -> None:
    workflow(http, "w-1")
    with working(api_settings):
        done = told(aiw("projections", "rebuild", "workflow_stats", "--json"))
    assert (done["state"], done["share"]) == ("completed", 1.0)
    rows = told(aiw("projections", "rows", "workflow_stats", "--prefix", "type/", "--json"))["rows"]
    assert [(row["key"], row["data"]["completed"]) for row in rows] == [("type/tea", 1)]
    assert "type/tea" in aiw("projections", "rows", "workflow_stats").stdout
    assert "workflow_stats" in aiw("projections", "list").stdout
    assert aiw("projections", "cancel", "workflow_stats").exit_code == 0
    assert aiw("projections", "rebuild", "nowhere").exit_code == 1


def test_a_replay_is_planned_made_and_listed(
    aiw: Aiw, http: httpx.Client, api_settings: Settings, database: Database, tenant: str
) -> None:
    append(http, started("r1"), started("r2"))
    inbox = f"inbox-{tenant}"
    PostgresSubscriptions(database).define(Subscription(inbox, tenant=tenant))
    target = ("--to", f"subscription:{inbox}")
    plan = told(aiw("replay", "start", *target, "--effects", "--dry-run", "--json"))
    assert (plan["events"], plan["targets"]) == (2, [f"subscription:{inbox}"])
    assert "--effects" in aiw("replay", "start", *target, "--dry-run").stdout
    assert aiw("replay", "start", *target).exit_code == 1
    with working(api_settings):
        done = told(aiw("replay", "start", *target, "--effects", "--rate", "1000", "--json"))
    assert (done["state"], done["events"]) == ("completed", 2)
    assert done["id"] in aiw("replay", "list").stdout
    assert told(aiw("replay", "show", done["id"], "--json"))["state"] == "completed"
    waiting = told(aiw("replay", "start", *target, "--effects", "--no-wait", "--json"))
    assert told(aiw("replay", "cancel", waiting["id"], "--json"))["state"] == "cancelled"
    assert aiw("replay", "start", "--to", "nowhere").exit_code == 1
    assert aiw("replay", "start", *target, "--stream", "nonsense").exit_code == 1


def test_dead_letters_are_listed_retried_and_discarded(
    aiw: Aiw, http: httpx.Client, services: Services, database: Database, tenant: str
) -> None:
    append(http, started("r1"), started("r2"))
    inbox = f"inbox-{tenant}"
    worker = PostgresSubscriptions(database)
    worker.define(Subscription(inbox, tenant=tenant, max_attempts=1))

    def fail(_event: object) -> None:
        raise ValueError("cannot digest it")

    Consumer(inbox, events=services.events, subscriptions=worker, deliver=fail).run_once()
    first, second = (letter["id"] for letter in told(aiw("dlq", "list", inbox, "--json"))["dead_letters"])
    assert "cannot digest it" in aiw("dlq", "list", inbox, "--status", "failed").stdout
    data = '{"run_id": "mended", "job": "tea"}'
    assert told(aiw("dlq", "retry", inbox, str(first), "--data", data, "--json"))["status"] == "retrying"
    assert told(aiw("dlq", "discard", inbox, str(second), "--json"))["status"] == "discarded"
    assert aiw("dlq", "retry", inbox, str(first), "--data", "{").exit_code == 1
    assert aiw("dlq", "discard", inbox, str(second)).exit_code == 1
    assert inbox in aiw("dlq", "subscriptions").stdout
    assert aiw("dlq", "pause", inbox).exit_code == 0
    assert "paused" in aiw("dlq", "subscriptions").stdout
    assert aiw("dlq", "resume", inbox).exit_code == 0
    worker.close()


def test_rules_are_tried_set_listed_and_disabled(aiw: Aiw, http: httpx.Client, tmp_path: Path) -> None:
    append(http, started("r1"))
    rule = {"types": ["run.*"], "action": {"kind": "workflow", "workflow": "study_guide"}}
    (tmp_path / "rule.json").write_text(json.dumps(rule))
    tried = told(aiw("route", "--dry-run", "--rule", "rule.json", "--json"))
    assert (tried["matched"], tried["events"]) == (1, 1)
    assert "study_guide" in aiw("route", "--dry-run", "--rule", "rule.json").stdout
    assert told(aiw("route", "--json")) == []
    assert told(aiw("route", "set", "on-run", "rule.json", "--json"))["version"] == 1
    assert (
        told(aiw("route", "set", "on-run", "-", "--json", input=json.dumps({**rule, "types": ["run.failed"]})))[
            "version"
        ]
        == 2
    )
    assert "on-run" in aiw("route").stdout
    nothing = aiw("route", "--dry-run", "--name", "on-run", "--all").stdout
    assert "fits none of run.failed" in nothing
    assert told(aiw("route", "disable", "on-run", "--json"))["enabled"] is False
    assert len(told(aiw("route", "versions", "on-run", "--json"))) == 3
    assert "disabled" in aiw("route", "list").stdout
    for content in ("{", "[1]"):
        (tmp_path / "wrong.json").write_text(content)
        assert aiw("route", "set", "wrong", "wrong.json").exit_code == 1
    assert aiw("route", "set", "wrong", "nowhere.json").exit_code == 1
