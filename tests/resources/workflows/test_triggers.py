"""What starts workflows: rules that are made of triggers, times of schedules, and what makes two starts one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from resources.events.memory import MemoryEventStore
from resources.events.model import NewEvent, StreamId
from resources.events.routing.model import Routed, StoredRule
from resources.events.routing.postgres import PostgresRules
from resources.workflows.definitions import Published, WorkflowDefinitions
from resources.workflows.spec import WorkflowSpec
from resources.workflows.triggers import (
    Schedule,
    apply_rules,
    asset_watches_of,
    rules_of,
    schedules_of,
    start_of,
    webhook_starts,
)

if TYPE_CHECKING:
    from resources.database.postgres import Database
    from resources.events.model import RecordedEvent
    from resources.workflows.triggers import Start

NOON = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)


def spec_with(*triggers: dict[str, Any], name: str = "waits") -> WorkflowSpec:
    node = {"id": "say", "type": "template", "config": {"template": "x"}}
    return WorkflowSpec.model_validate({"name": name, "nodes": [node], "triggers": list(triggers)})


def published(*triggers: dict[str, Any], tenant: str = "t", name: str = "waits") -> Published:
    return Published(spec_with(*triggers, name=name), tenant, 1, "0" * 64, NOON)


def recorded(type: str, data: dict[str, Any], *, stream: StreamId | None = None) -> RecordedEvent:
    stored = MemoryEventStore().append(stream or StreamId("x", "1"), [NewEvent(type, data)], tenant="t")
    return stored.events[0]


def met(event: RecordedEvent, trigger: dict[str, Any]) -> Start | None:
    (rule,) = rules_of(spec_with(trigger))
    assert rule.why_not(event) is None, rule.why_not(event)
    return start_of(Routed(event, StoredRule("t", 1, True, rule, None, event.recorded_at), None))


# ---------------------------------------------------------------------- events


def test_an_event_fills_in_the_inputs() -> None:
    event = recorded("run.started", {"run_id": "r1", "job": "tea"})
    trigger = {"type": "event", "event": "run.*", "inputs": {"job": "{{ event.data.job }}", "fixed": 1}}
    start = met(event, trigger)
    assert start is not None
    assert (start.workflow, start.inputs, start.trigger) == ("waits", {"job": "tea", "fixed": 1}, "event")
    assert str(event.event_id) in start.key


def test_an_event_that_does_not_meet_the_condition_starts_nothing() -> None:
    event = recorded("run.started", {"run_id": "r1", "job": "tea"})
    assert met(event, {"type": "event", "event": "run.started", "when": "event.data.job == 'coffee'"}) is None
    assert met(event, {"type": "event", "event": "run.started", "when": "event.data.job == 'tea'"}) is not None


def test_the_end_of_a_run_hands_its_outputs_on() -> None:
    data = {
        "workflow_id": "r1", "workflow_type": "first", "output_data": {"n": 7}, "duration_ms": 1, "nodes_executed": 1,
    }  # fmt: skip
    event = recorded("workflow.completed", data, stream=StreamId("workflow", "r1"))
    start = met(event, {"type": "run", "workflow": "first", "inputs": {"n": "{{ run.outputs.n }}"}})
    assert start is not None
    assert (start.inputs, start.trigger, start.cause) == ({"n": 7}, "run", "r1")


def test_the_end_of_another_workflow_is_none_of_its_business() -> None:
    (rule,) = rules_of(spec_with({"type": "run", "workflow": "first"}))
    data = {"workflow_id": "r1", "workflow_type": "second", "duration_ms": 1, "nodes_executed": 1}
    assert rule.why_not(recorded("workflow.completed", data)) is not None


# ---------------------------------------------------------------------- rules


def test_publishing_puts_rules_in_force_and_archiving_ends_them(database: Database, tenant: str) -> None:
    rules, definitions = PostgresRules(database), WorkflowDefinitions(MemoryEventStore())
    spec = spec_with({"type": "event", "event": "run.started"}, {"type": "run", "workflow": "first"})
    apply_rules(definitions.publish(spec, tenant=tenant), rules)
    assert {(one.rule.name, one.enabled) for one in rules.list(tenant=tenant)} == {
        ("wf-waits-0", True),
        ("wf-waits-1", True),
    }
    apply_rules(definitions.archive("waits", tenant=tenant), rules)
    assert not any(one.enabled for one in rules.list(tenant=tenant))


def test_a_revision_without_the_trigger_ends_its_rule_alone(database: Database, tenant: str) -> None:
    rules, definitions = PostgresRules(database), WorkflowDefinitions(MemoryEventStore())
    both = spec_with({"type": "event", "event": "run.started"}, {"type": "event", "event": "run.failed"})
    apply_rules(definitions.publish(both, tenant=tenant), rules)
    other = spec_with({"type": "event", "event": "run.started"}, name="other")
    apply_rules(definitions.publish(other, tenant=tenant), rules)
    one = spec_with({"type": "event", "event": "run.started"})
    apply_rules(definitions.publish(one, tenant=tenant), rules)
    enabled = {stored.rule.name for stored in rules.list(tenant=tenant) if stored.enabled}
    assert enabled == {"wf-waits-0", "wf-other-0"}


def test_publishing_the_same_again_changes_no_rule(database: Database, tenant: str) -> None:
    rules, definitions = PostgresRules(database), WorkflowDefinitions(MemoryEventStore())
    for _ in range(2):
        apply_rules(definitions.publish(spec_with({"type": "event", "event": "run.*"}), tenant=tenant), rules)
    assert len(rules.versions("wf-waits-0", tenant=tenant)) == 1


def test_a_very_long_name_still_makes_a_rule() -> None:
    (rule,) = rules_of(spec_with({"type": "event", "event": "run.*"}, name="a" * 100))
    assert len(rule.name) <= 100


# ---------------------------------------------------------------------- the clock


def schedule(cron: str, timezone: str = "UTC", *, since: datetime = NOON) -> Schedule:
    return Schedule("waits", "t", cron, timezone, {}, since)


def test_a_schedule_is_due_once_at_its_time() -> None:
    one = schedule("30 12 * * *")
    at = NOON + timedelta(minutes=30)
    assert one.due(NOON, NOON + timedelta(minutes=29)) is None
    assert one.due(NOON + timedelta(minutes=29), at) == at
    assert one.due(at, at + timedelta(minutes=1)) is None


def test_of_missed_times_the_last_is_made_up_for() -> None:
    assert schedule("*/5 * * * *").due(NOON, NOON + timedelta(minutes=17)) == NOON + timedelta(minutes=15)


def test_a_time_that_was_missed_for_longer_than_a_day_is_not_made_up_for() -> None:
    monthly = schedule("0 0 1 4 *")
    assert monthly.due(NOON, datetime(2026, 4, 2, 1, 0, tzinfo=UTC)) is None


def test_nothing_is_due_before_it_was_published() -> None:
    assert schedule("* * * * *", since=NOON + timedelta(minutes=5)).due(NOON, NOON + timedelta(minutes=4)) is None


def test_a_schedule_follows_the_clock_of_its_zone_through_the_year() -> None:
    daily = schedule("0 8 * * *", "Europe/Berlin", since=datetime(2026, 1, 1, tzinfo=UTC))
    winter = daily.due(datetime(2026, 3, 27, 12, tzinfo=UTC), datetime(2026, 3, 28, 12, tzinfo=UTC))
    summer = daily.due(datetime(2026, 3, 29, 12, tzinfo=UTC), datetime(2026, 3, 30, 12, tzinfo=UTC))
    assert (winter, summer) == (
        datetime(2026, 3, 28, 7, tzinfo=UTC),
        datetime(2026, 3, 30, 6, tzinfo=UTC),
    )


@pytest.mark.parametrize(("night", "times"), [("2026-03-29", 1), ("2026-10-25", 1)])
def test_a_nightly_time_comes_once_when_the_clock_is_changed(night: str, times: int) -> None:
    begin = datetime.fromisoformat(f"{night}T00:00:00+00:00") - timedelta(hours=2)
    nightly = schedule("30 2 * * *", "Europe/Berlin", since=begin)
    minutes = [begin + timedelta(minutes=minute) for minute in range(6 * 60)]
    found = {due for minute in minutes if (due := nightly.due(minute, minute + timedelta(minutes=1))) is not None}
    assert len(found) == times


def test_a_time_of_a_schedule_has_one_key_whatever_the_revision() -> None:
    one, again = schedule("0 * * * *"), schedule("0 * * * *", since=NOON + timedelta(days=1))
    assert one.start(NOON).key == again.start(NOON).key
    assert one.start(NOON).key != one.start(NOON + timedelta(hours=1)).key


def test_the_short_form_is_a_schedule_too() -> None:
    spec = spec_with().model_copy(update={"schedule": "0 6 * * *"})
    (found,) = schedules_of(Published(spec, "t", 1, "0" * 64, NOON))
    assert (found.cron, found.timezone) == ("0 6 * * *", "UTC")


# ---------------------------------------------------------------------- assets and webhooks


def test_a_materialisation_starts_a_workflow_once() -> None:
    (watch,) = asset_watches_of(published({"type": "asset", "assets": ["documents/text"]}))
    one, other = watch.start("documents/text", 5, cause=None), watch.start("documents/text", 6, cause="r1")
    assert one.key == watch.start("documents/text", 5, cause="r2").key != other.key
    assert other.cause == "r1"


def test_a_delivery_starts_what_waits_for_the_webhook() -> None:
    hook = {"type": "webhook", "name": "orders", "inputs": {"id": "{{ body.id }}", "of": "{{ headers['user-agent'] }}"}}
    (start,) = webhook_starts(published(hook), "orders", delivery="d1", body={"id": 5}, headers={"user-agent": "shop"})
    assert start.inputs == {"id": 5, "of": "shop"}
    assert list(webhook_starts(published(hook), "others", delivery="d1", body={}, headers={})) == []
