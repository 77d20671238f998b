from __future__ import annotations

from typing import Any

from resources.events.memory import MemoryEventStore
from resources.events.model import NewEvent, StreamId
from resources.events.projections.memory import MemoryProjections
from resources.events.projections.projector import Projector
from resources.events.projections.totals import AI_BOUNDS, MOST_NAMES, OTHER, PLATFORM, PlatformTotals

ASKED = {"request_id": "r", "provider": "openai", "model": "gpt-x"}
NODE = {"workflow_id": "w", "node_id": "n"}


def totals(*events: tuple[str, str, dict[str, Any]]) -> dict[str, Any]:
    """The rows; each event is of a tenant, a type and data."""
    store, projections = MemoryEventStore(), MemoryProjections()
    for tenant, type_, data in events:
        store.append(StreamId("s", "1"), [NewEvent(type_, data)], tenant=tenant)
    Projector(store, projections).update(PlatformTotals())
    assert not projections.rows(PlatformTotals.name, tenant="a")
    return dict(projections.rows(PlatformTotals.name, tenant=PLATFORM, limit=1000))


def test_workflows_of_all_tenants_are_added_up() -> None:
    ended = {"duration_ms": 700, "nodes_executed": 1}
    rows = totals(
        ("a", "workflow.started", {"workflow_id": "1", "workflow_type": "x"}),
        ("a", "workflow.completed", {"workflow_id": "1"} | ended),
        ("b", "workflow.started", {"workflow_id": "2", "workflow_type": "x"}),
        ("b", "workflow.failed", {"workflow_id": "2", "error_message": "no"}),
    )["workflows"]
    assert (rows["started"], rows["completed"], rows["failed"]) == (2, 1, 1)
    assert (sum(rows["seconds"][:-1]), rows["seconds"][-1]) == (1, 0.7)


def test_nodes_are_told_by_type_and_outcome() -> None:
    rows = totals(
        ("a", "workflow.node_completed", NODE | {"node_type": "template", "duration_ms": 12}),
        ("b", "workflow.node_retried", NODE | {"node_type": "http", "attempt": 1, "error_message": "no"}),
        ("b", "workflow.node_failed", NODE | {"node_type": "http", "error_message": "no"}),
        ("b", "workflow.node_skipped", NODE),
    )
    assert rows["node/template"]["completed"] == 1
    assert (rows["node/http"]["retried"], rows["node/http"]["failed"]) == (1, 1)
    assert rows[f"node/{OTHER}"]["skipped"] == 1


def test_calls_of_models_and_tools_are_told_with_tokens_cost_and_time() -> None:
    tokens = {"prompt_tokens": 10, "completion_tokens": 5, "cost_usd": "0.25", "duration_ms": 300}
    tool = {"call_id": "c", "service": "s", "tool": "t"}
    rows = totals(
        ("a", "ai.response_received", ASKED | tokens),
        ("b", "ai.response_received", ASKED | tokens | {"cost_usd": "0.1"}),
        ("b", "ai.response_received", ASKED | {"quality_metrics": {"memo": "hit"}, "cost_usd": "0"}),
        ("b", "ai.call_failed", ASKED | {"outcome": "lost", "cost_usd": None}),
        ("b", "ai.rate_limit_hit", ASKED | {"limit_type": "provider"}),
        ("b", "service.call_completed", tool | {"duration_ms": 5}),
        ("b", "service.call_failed", tool | {"error_message": "no"}),
    )
    row = rows["ai/openai/gpt-x"]
    assert row["outcomes"] == {"answered": 2, "remembered": 1, "lost": 1, "rate_limited": 1}
    assert (row["prompt"], row["completion"], row["cost_usd"], row["unpriced"]) == (20, 10, "0.35", 1)
    assert row["seconds"][AI_BOUNDS.index(0.5)] == 2
    assert (rows["tools"]["completed"], rows["tools"]["failed"]) == (1, 1)


def test_alerts_of_budgets_tell_near_from_over() -> None:
    alert = {"budget_id": "b", "scope": "tenant", "subject": "secret-project", "unit": "usd", "period": "day"}
    amounts = {"limit": "10", "spent": "8"}
    rows = totals(
        ("a", "ai.budget_threshold_reached", alert | amounts | {"threshold": "0.8"}),
        ("a", "ai.budget_threshold_reached", alert | amounts | {"threshold": "1"}),
    )
    assert rows["budget/tenant/usd"] == {"nearly": 1, "exceeded": 1}
    assert "secret-project" not in str(rows)


def test_names_that_somebody_makes_up_end_as_one() -> None:
    events = [("a", "workflow.node_skipped", NODE | {"node_type": f"t{number}"}) for number in range(MOST_NAMES + 7)]
    rows = totals(*events, ("a", "workflow.node_skipped", NODE | {"node_type": "a canary with spaces"}))
    assert len([key for key in rows if key.startswith("node/")]) == MOST_NAMES + 1
    assert rows[f"node/{OTHER}"]["skipped"] == 8
    assert "canary" not in str(rows)


def test_no_event_is_too_large_to_be_counted() -> None:
    huge = {"prompt_tokens": 2**63 - 1, "completion_tokens": 0, "cost_usd": "9E+999999", "duration_ms": 2**63 - 1}
    row = totals(*[("a", "ai.response_received", ASKED | huge)] * 3)["ai/openai/gpt-x"]
    assert row["outcomes"] == {"answered": 3}
    assert (row["prompt"], row["unpriced"], row["seconds"][-1]) == (3 * 10**9, 3, 3 * 10**6)
