"""How far the read models are behind, and when that is worth an alarm."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from resources.errors import UnavailableError
from resources.events.catalog import RunStarted, WorkflowCreated
from resources.events.memory import MemoryEventStore
from resources.events.model import StreamId
from resources.events.projections import PROJECTIONS
from resources.events.projections.lag import LATE, check_lag, lag_of
from resources.events.projections.memory import MemoryProjections
from resources.events.projections.projector import Projector

NOW = datetime.now(UTC)
LATER = timedelta(days=1)


@pytest.fixture
def events() -> MemoryEventStore:
    return MemoryEventStore()


@pytest.fixture
def projections(events: MemoryEventStore) -> MemoryProjections:
    """All of them, up to date."""
    projections = MemoryProjections()
    for projection in PROJECTIONS:
        Projector(events, projections).update(projection)
    return projections


def create(events: MemoryEventStore) -> None:
    events.append(StreamId("workflow", "w"), [WorkflowCreated(workflow_id="w", workflow_type="tea").new()])


def test_what_is_up_to_date_has_no_lag(events: MemoryEventStore, projections: MemoryProjections) -> None:
    lag = lag_of(events, projections.status("workflow_stats"), now=NOW + LATER)
    assert (lag.positions, lag.seconds) == (0, 0.0)
    assert f"{len(PROJECTIONS)} read models" in check_lag(events, projections, now=NOW + LATER)


def test_the_lag_is_the_age_of_the_oldest_event_that_waits(
    events: MemoryEventStore, projections: MemoryProjections
) -> None:
    create(events)
    lag = lag_of(events, projections.status("workflow_stats"), now=NOW + LATER)
    assert lag.positions == 1
    assert lag.seconds > LATE
    with pytest.raises(UnavailableError, match=r"workflow_stats is .* s behind"):
        check_lag(events, projections, now=NOW + LATER)


def test_events_of_no_interest_make_nobody_late(events: MemoryEventStore, projections: MemoryProjections) -> None:
    events.append(StreamId("run", "r"), [RunStarted(run_id="r", job="tea").new()])
    assert lag_of(events, projections.status("workflow_stats"), now=NOW + LATER).seconds == 0.0
    check_lag(events, projections, now=NOW + LATER)


def test_a_projection_that_failed_is_named(events: MemoryEventStore, projections: MemoryProjections) -> None:
    projections.note_failure("ai_usage", "cannot digest it")
    with pytest.raises(UnavailableError, match="ai_usage failed: cannot digest it"):
        check_lag(events, projections, now=NOW)
    projections.define("somebody-elses", version=1)
    projections.start("ai_usage")
    projections.note_failure("somebody-elses", "no matter")
    check_lag(events, projections, now=NOW)
