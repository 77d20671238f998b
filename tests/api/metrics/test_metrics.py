"""What `/metrics` says moves by exactly what was done, and by nothing that somebody made up."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from api.metrics.families import FAMILIES
from resources.ai.budgets.model import Budget
from resources.database.postgres import begin_as
from resources.events.model import NewEvent, StreamId
from resources.events.projections.projector import Projector
from resources.events.projections.totals import PlatformTotals
from resources.registry.model import Registration

if TYPE_CHECKING:
    import httpx
    from fastapi import FastAPI

    from api.dependencies import Services
    from api.metrics.collector import Collector
    from resources.database.postgres import Database

V1 = "/api/v1"
Found = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def scrape(http: httpx.Client) -> Found:
    answer = http.get(f"{V1}/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def of(found: Found, name: str, **labels: str) -> float:
    return found.get((name, tuple(sorted(labels.items()))), 0.0)


@pytest.fixture(autouse=True)
def collector(_app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> Collector:
    """What is read from the database is read at each scrape."""
    collector: Collector = _app.state.metrics
    monkeypatch.setattr(collector, "_every", 0.0)
    return collector


@pytest.mark.parametrize(
    ("path", "route", "status"),
    [
        ("/health", "/health", "200"),
        (f"{V1}/executions/there-is-none", f"{V1}/executions/{{run_id}}", "404"),
        (f"{V1}/events?after=0&limit=5", f"{V1}/events", "200"),
        (f"{V1}/prompts", f"{V1}/prompts", "200"),
        ("/workflows/none", f"{V1}/workflows/{{name}}", "404"),
        ("/docs/assets/nothing", "/docs/assets", "404"),
        ("/no/such/place", "unknown", "404"),
    ],
)
def test_three_requests_are_three_more(http: httpx.Client, path: str, route: str, status: str) -> None:
    before = scrape(http)
    for _ in range(3):
        assert http.get(path).status_code == int(status)
    after = scrape(http)
    labels = {"method": "GET", "route": route}
    for name, more in (
        ("aiw_http_requests_total", {"status": status}),
        ("aiw_http_request_duration_seconds_count", {}),
        ("aiw_http_request_duration_seconds_bucket", {"le": "+Inf"}),
    ):
        assert of(after, name, **labels, **more) - of(before, name, **labels, **more) == 3
    spent = "aiw_http_request_duration_seconds_sum"
    assert of(after, spent, **labels) > of(before, spent, **labels)


def test_what_somebody_makes_up_is_no_label(http: httpx.Client) -> None:
    scrape(http)
    series = set(scrape(http))
    for path in ("/canary-7f3a", f"{V1}/canary-7f3a", f"{V1}/documents/canary-7f3a", f"{V1}/workflows/canary-7f3a"):
        http.get(path, headers={"Authorization": "Bearer canary-7f3a", "X-Correlation-ID": "canary-7f3a"})
        http.get(path)
    http.request("CANARY7F3A", "/health")
    found = scrape(http)
    assert not [name for name in found if "canary" in str(name).lower()]
    made = {dict(labels)["route"] for name, labels in set(found) - series if name == "aiw_http_requests_total"}
    assert made <= {"unknown", f"{V1}/documents/{{document_id}}", f"{V1}/workflows/{{name}}", "/health"}


def test_all_that_is_told_is_in_the_table_and_of_its_kind(http: httpx.Client) -> None:
    families = {(family.name.removesuffix("_total"), family.kind): tuple(sorted(family.labels)) for family in FAMILIES}
    text = http.get(f"{V1}/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert text.headers["content-type"].startswith("application/openmetrics-text")
    for metric in openmetrics(text.text):  # type: ignore[no-untyped-call]  # the library leaves it so
        labels = families[metric.name, metric.type]
        assert {tuple(sorted(set(sample.labels) - {"le"})) for sample in metric.samples} == {labels}
        assert metric.documentation


def test_requests_under_way_and_without_a_correlation_id_are_counted(http: httpx.Client) -> None:
    before = scrape(http)
    assert of(before, "aiw_http_requests_in_flight") == 1  # the one that asks
    http.get("/live")
    http.get("/live", headers={"X-Correlation-ID": "a5f6b6c2-2d0f-4e6e-9f4e-3d6c1a2b3c4d"})
    after = scrape(http)
    name = "aiw_http_requests_uncorrelated_total"
    assert of(after, name) - of(before, name) == 2  # one of them is the scrape


def test_the_machine_the_processes_and_the_database_are_told(http: httpx.Client) -> None:
    found = scrape(http)
    for source in ("machine", "processes", "database", "events"):
        assert of(found, "aiw_source_up", source=source) == 1
    assert of(found, "aiw_process_memory_bytes", process="api") > 10_000_000
    assert of(found, "aiw_disk_bytes", state="free") > 0
    assert of(found, "aiw_system_cpu_seconds_total", mode="idle") > 0
    assert of(found, "aiw_database_connections", state="idle") >= 1
    assert of(found, "aiw_circuit_breakers", target="graph", state="closed") == 1


def test_the_summary_says_the_same(http: httpx.Client) -> None:
    found = scrape(http)
    told = http.get("/metrics/summary").json()
    requests = sum(number for (name, _), number in found.items() if name == "aiw_http_requests_total")
    assert told["http"]["requests"] == requests + 1  # the scrape itself is over by now
    assert told["sources"] == dict.fromkeys(("machine", "processes", "database", "events"), True)
    assert told["http"]["p95_ms"] > 0
    assert told["events"]["appended"] >= of(found, "aiw_events_appended_total")


def test_a_database_that_is_away_takes_nothing_else_along(
    http: httpx.Client, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    from resources.errors import UnavailableError

    def away() -> None:
        raise UnavailableError("The database is away.", dependency="database")

    monkeypatch.setitem(collector._sources, "database", away)
    found = scrape(http)
    assert of(found, "aiw_source_up", source="database") == 0
    assert of(found, "aiw_source_up", source="machine") == 1
    assert "aiw_projection_lag_events" not in {name for name, _ in found}
    assert of(found, "aiw_http_requests_in_flight") == 1


def test_many_who_ask_cost_one_read(http: httpx.Client, collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    first = scrape(http)
    monkeypatch.setattr(collector, "_every", 600.0)

    def unexpected() -> None:
        pytest.fail("it was read again")

    for name in list(collector._sources):
        monkeypatch.setitem(collector._sources, name, unexpected)
    assert of(scrape(http), "aiw_events_appended_total") == of(first, "aiw_events_appended_total")


def test_what_workflows_and_models_did_is_told_when_the_read_models_know_it(
    http: httpx.Client, services: Services, tenant: str
) -> None:
    projector = Projector(services.events, services.projections)
    projector.update(PlatformTotals())
    before = scrape(http)
    own = {"workflow_id": tenant}
    asked = {"request_id": "r", "provider": "scripted", "model": "tiny", "prompt_tokens": 7, "cost_usd": "0.5"}
    events = [
        NewEvent("workflow.started", own | {"workflow_type": "tea"}),
        NewEvent("workflow.node_completed", own | {"node_id": "n", "node_type": "template", "duration_ms": 20}),
        NewEvent("workflow.completed", own | {"duration_ms": 1500, "nodes_executed": 1}),
        NewEvent("ai.response_received", asked),
    ]
    services.events.append(StreamId("workflow", tenant), events, tenant=tenant)
    projector.update(PlatformTotals())
    after = scrape(http)
    model = {"provider": "scripted", "model": "tiny"}
    for name, labels, more in (
        ("aiw_workflow_runs_total", {"status": "completed"}, 1),
        ("aiw_workflow_run_duration_seconds_sum", {}, 1.5),
        ("aiw_workflow_run_duration_seconds_bucket", {"le": "2.5"}, 1),
        ("aiw_workflow_nodes_total", {"type": "template", "outcome": "completed"}, 1),
        ("aiw_workflow_node_duration_seconds_count", {"type": "template"}, 1),
        ("aiw_ai_requests_total", model | {"outcome": "answered"}, 1),
        ("aiw_ai_tokens_total", model | {"type": "prompt"}, 7),
        ("aiw_ai_cost_usd_total", model, 0.5),
    ):
        assert of(after, name, **labels) - of(before, name, **labels) == pytest.approx(more), name
    assert of(after, "aiw_projection_lag_events", projection="platform_totals") == 0
    assert tenant not in str(after)


def test_what_waits_and_what_is_spent_is_told(
    http: httpx.Client, services: Services, database: Database, tenant: str
) -> None:
    before = scrape(http)
    now = datetime.now(UTC)
    capability = f"brew-{tenant}"
    agent = Registration("ada", "https://agents.example/x", (capability,))
    services.agents.register(agent, tenant=tenant, now=now)
    services.agents.register(replace(agent, name="bob"), tenant=tenant, now=now - timedelta(days=1))
    budget = services.ai.budgets.put(Budget("provider", "day", Decimal(10), tenant=tenant, subject=tenant))
    with database.transaction() as connection:
        begin_as(connection, None)
        connection.execute(
            "INSERT INTO aiw.ai_spend (budget_id, subject, period_start, tenant, spent, reserved)"
            " VALUES (%s, %s, aiw.ai_period_start('day', NULL, NULL, now()), %s, 4, 96)",
            (budget.budget_id, tenant, tenant),
        )
    with database.transaction() as connection:
        connection.execute("INSERT INTO aiw.run_queue (run_id, job) VALUES (%s, 'x')", (tenant,))
    try:
        after = scrape(http)
    finally:
        with database.transaction() as connection:
            connection.execute("DELETE FROM aiw.run_queue WHERE run_id = %s", (tenant,))
        services.ai.budgets.remove(budget.budget_id, tenant=tenant)
    waiting = "aiw_workflow_runs_active"
    assert of(after, waiting, state="waiting") - of(before, waiting, state="waiting") == 1
    assert of(after, "aiw_ai_budget_used_ratio", scope="provider", unit="usd") >= 10
    assert of(after, "aiw_registered_agents", capability=capability) == 1
