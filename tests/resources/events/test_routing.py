from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from resources.errors import InvalidInputError, NotFoundError
from resources.events.memory import MemoryEventStore
from resources.events.model import NewEvent, StreamId
from resources.events.routing.memory import MemoryRules
from resources.events.routing.model import Condition, Forward, Publish, Rule, StartWorkflow, fits, route
from resources.events.routing.postgres import PostgresRules

if TYPE_CHECKING:
    from resources.events.model import RecordedEvent
    from resources.events.routing.store import RuleStore


@pytest.fixture(params=["memory", "postgres"])
def rules(request: pytest.FixtureRequest) -> RuleStore:
    return MemoryRules() if request.param == "memory" else PostgresRules(request.getfixturevalue("database"))


def rule(name: str = "large", **changes: Any) -> Rule:
    given = {"name": name, "types": ("document.*",), "action": StartWorkflow(workflow="summary")}
    return Rule(**(given | changes))


def event(**data: Any) -> RecordedEvent:
    store = MemoryEventStore()
    given = {
        "document_id": "d",
        "sha256": "0" * 64,
        "uri": "u",
        "name": "n",
        "media_type": "text/plain",
        "size_bytes": 10,
    }
    return store.append(StreamId("document", "d"), [NewEvent("document.received", given | data)]).events[0]


@pytest.mark.parametrize(
    ("pattern", "type", "expected"),
    [
        ("document.received", "document.received", True),
        ("document.received", "document.ready", False),
        ("document.*", "document.ready", True),
        ("document.*", "document.page.ready", False),
        ("document.**", "document.page.ready", True),
        ("document.**", "document", False),
        ("*.failed", "run.failed", True),
        ("*.failed", "run.node.failed", False),
        ("**", "run.failed", True),
        ("documents.*", "document.ready", False),
    ],
)
def test_patterns(pattern: str, type: str, *, expected: bool) -> None:
    assert fits(pattern, type) is expected


@pytest.mark.parametrize(
    ("path", "operator", "value", "expected"),
    [
        ("size_bytes", ">", 9, True),
        ("size_bytes", ">", 10, False),
        ("size_bytes", ">=", 10, True),
        ("size_bytes", "<", 11, True),
        ("size_bytes", "<=", 9, False),
        ("size_bytes", ">", "9", False),
        ("name", "==", "n", True),
        ("name", "!=", "n", False),
        ("name", "in", ["n", "m"], True),
        ("tags", "contains", "urgent", True),
        ("tags", "contains", "later", False),
        ("tags.0", "==", "urgent", True),
        ("tags.7", "==", "urgent", False),
        ("media_type", "like", "text/*", True),
        ("media_type", "like", "image/*", False),
        ("size_bytes", "like", "1*", False),
        ("nothing", "==", None, False),
        ("nothing.at.all", "exists", False, True),
        ("name", "exists", True, True),
        ("name", "exists", False, False),
    ],
)
def test_conditions(path: str, operator: Any, value: Any, *, expected: bool) -> None:
    data = event(tags=["urgent"]).data
    assert Condition(path=path, operator=operator, value=value).holds(data) is expected


def test_what_does_not_match_tells_why(rules: RuleStore, tenant: str) -> None:
    stored = rules.save(rule(conditions=(Condition(path="size_bytes", operator=">", value=100),)), tenant=tenant)
    other = rules.save(rule("other", types=("run.*",)), tenant=tenant)
    streams = rules.save(rule("streams", stream_types=("order",)), tenant=tenant)
    off = rules.save(rule("off"), enabled=False, tenant=tenant)
    import msgspec

    small = msgspec.structs.replace(event(), tenant=tenant)
    large = msgspec.structs.replace(event(size_bytes=1000), tenant=tenant)
    answers = route([small, large], [stored, other, streams, off])
    assert [(found.rule.rule.name, found.matched) for found in answers] == [
        ("large", False),
        ("other", False),
        ("streams", False),
        ("large", True),
        ("other", False),
        ("streams", False),
    ]
    assert answers[0].reason == "size_bytes > 100 does not hold"
    assert answers[3].run_key == f"{large.event_id}:large"


def test_rules_of_one_tenant_never_see_anothers_events(rules: RuleStore, tenant: str) -> None:
    assert route([event()], [rules.save(rule(), tenant=tenant)]) == []


def test_a_change_is_a_new_version_and_no_change_is_none(rules: RuleStore, tenant: str) -> None:
    first = rules.save(rule(), changed_by="ada", tenant=tenant)
    assert rules.save(rule(), changed_by="bob", tenant=tenant) == first
    second = rules.save(rule(types=("run.*",)), tenant=tenant)
    third = rules.save(rule(types=("run.*",)), enabled=False, tenant=tenant)
    assert [found.version for found in rules.versions("large", tenant=tenant)] == [3, 2, 1]
    assert rules.get("large", tenant=tenant) == third
    assert rules.get("large", version=2, tenant=tenant) == second
    assert rules.list(tenant=tenant) == [third]


def test_rules_belong_to_a_tenant(rules: RuleStore, tenant: str) -> None:
    stored = rules.save(rule(action=Forward(subscription="s")), tenant=tenant)
    assert rules.list(tenant=f"{tenant}-other") == []
    assert stored in rules.list(tenant=None)
    with pytest.raises(NotFoundError):
        rules.get("large", tenant=f"{tenant}-other")
    with pytest.raises(NotFoundError):
        rules.get("large", version=9, tenant=tenant)
    with pytest.raises(InvalidInputError):
        rules.save(rule(), tenant="*")


@pytest.mark.parametrize("pattern", ["", "Document.*", "document.", "**.failed", "a.**.b", "a b"])
def test_a_wrong_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(ValidationError, match="pattern"):
        rule(types=(pattern,))


def test_actions_are_told_apart() -> None:
    loaded = Rule.model_validate(rule(action=Publish(topic="news")).model_dump(mode="json"))
    assert loaded.action == Publish(topic="news")
