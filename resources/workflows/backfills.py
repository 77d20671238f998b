"""Backfills: a workflow, started for many past events or many partitions, at a rate.

First a plan, which says exactly which runs there will be, and which there are already: an event that has started the workflow by
its trigger has the very key that the backfill would use. Then the plan is written down and worked off, and nothing else starts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from resources.errors import InvalidInputError, LimitExceededError
from resources.events.catalog import CATALOG
from resources.events.routing.model import Routed, Rule, StartWorkflow, StoredRule, expand, fits
from resources.workflows.triggers import rules_of, start_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime
    from uuid import UUID

    from resources.events.model import RecordedEvent
    from resources.events.store import EventStore
    from resources.workflows.spec import WorkflowSpec

MAX_RUNS: Final = 10_000
_PAGE = 500

State = Literal["running", "completed", "cancelled"]


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """One run of a plan. `run_id`: it was started before, for the same key, and is not started again."""

    reason: str
    key: str
    inputs: dict[str, Any] = field(default_factory=dict)
    partition: str | None = None
    correlation_id: str | None = None
    run_id: str | None = None


@dataclass(frozen=True, slots=True)
class Backfill:
    """One backfill. `total` counts all of the plan, of which so many were started, and so many could not be."""

    id: UUID
    tenant: str
    workflow: str
    state: State
    rate: float
    total: int
    started: int
    failed: int
    created_by: str | None
    created_at: datetime
    ended_at: datetime | None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Due:
    """A planned run whose turn it is."""

    backfill: Backfill
    number: int
    run: PlannedRun


def plan_events(
    spec: WorkflowSpec,
    events: EventStore,
    *,
    tenant: str,
    types: Sequence[str],
    inputs: dict[str, Any],
    launched: Callable[[str], str | None],
    after: int = 0,
    up_to: int | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    again: UUID | None = None,
) -> list[PlannedRun]:
    """A run for each event of the types, with what the workflow's trigger for the type says, or with `inputs` over `event`.

    `again`: start also what was started before, under keys with this id. Raises InvalidInputError, LimitExceededError.
    """
    rules = [
        rule for rule in rules_of(spec) if any(fits(pattern, name) for name in _known(types) for pattern in rule.types)
    ]
    if inputs or not rules:
        rules = [_rule_for(spec, types, inputs)]
    found: list[PlannedRun] = []
    for event in _events(events, _known(types), tenant=tenant, after=after, up_to=up_to, since=since, until=until):
        for rule in rules:
            if rule.why_not(event) is not None:
                continue
            stored = StoredRule(tenant, 0, True, rule, None, event.recorded_at)
            start = start_of(Routed(event, stored, None))
            if start is None:
                continue
            key = start.key if again is None else f"{start.key}:{again}"
            reason = f"{event.type} at {event.position}"
            found.append(PlannedRun(reason, key, start.inputs, None, start.correlation_id, launched(key)))
            _refuse_too_many(found)
    return found


def plan_partitions(partitions: Sequence[str], *, backfill: UUID) -> list[PlannedRun]:
    """A run for each partition, whether there were runs of it or not."""
    found = [
        PlannedRun(f"partition {partition}", f"backfill:{backfill}:{partition}", {}, partition)
        for partition in dict.fromkeys(partitions)
    ]
    _refuse_too_many(found)
    return found


def _known(types: Sequence[str]) -> set[str]:
    return expand(types, CATALOG.types)


def _rule_for(spec: WorkflowSpec, types: Sequence[str], inputs: dict[str, Any]) -> Rule:
    if not types:
        raise InvalidInputError("Name the types of events to start the workflow for.", code="query_invalid")
    name = f"backfill-{spec.name}"[:100].rstrip("_-")
    return Rule(name=name, types=tuple(types), action=StartWorkflow(workflow=spec.name, inputs=inputs))


def _events(
    events: EventStore,
    types: set[str],
    *,
    tenant: str,
    after: int,
    up_to: int | None,
    since: datetime | None,
    until: datetime | None,
) -> Iterator[RecordedEvent]:
    while page := events.read_all(after_position=after, up_to_position=up_to, types=types, limit=_PAGE, tenant=tenant):
        for event in page:
            if (since is None or event.recorded_at >= since) and (until is None or event.recorded_at < until):
                yield event
        after = page[-1].position


def _refuse_too_many(found: Sequence[PlannedRun]) -> None:
    if len(found) > MAX_RUNS:
        raise LimitExceededError(f"A backfill starts at most {MAX_RUNS} runs. Choose less.", code="backfill_too_large")
