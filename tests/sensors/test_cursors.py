"""The arithmetic of cursors."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.events.model import EventMetadata, RecordedEvent, StreamId
from sensors.cursors import next_cursor, parse_cursor, plan_document_runs


def received(position: int, document: str = "a-1", *, correlation_id: str | None = None) -> RecordedEvent:
    now = datetime(2026, 11, 1, tzinfo=UTC)
    return RecordedEvent(
        position=position,
        event_id=uuid.UUID(int=position),
        tenant="acme",
        stream=StreamId("document", document),
        version=1,
        type="document.received",
        schema_version=1,
        data={"document_id": document},
        metadata=EventMetadata(correlation_id=correlation_id),
        occurred_at=now,
        recorded_at=now,
        checksum="",
    )


@pytest.mark.parametrize(("cursor", "position"), [(None, 0), ("", 0), ("0", 0), ("17", 17)])
def test_a_cursor_is_a_position(cursor: str | None, position: int) -> None:
    assert parse_cursor(cursor) == position


def test_a_cursor_that_is_no_number_is_not_taken_for_the_beginning() -> None:
    with pytest.raises(ValueError, match="seven"):
        parse_cursor("seven")


@given(st.lists(st.integers(1, 10_000), unique=True, max_size=50).map(sorted), st.integers(0, 10_000))
def test_the_cursor_after_a_page_is_its_last_position_and_survives_an_empty_one(
    positions: list[int], before: int
) -> None:
    events = [received(position) for position in positions]
    assert parse_cursor(next_cursor(before, events)) == (positions[-1] if positions else before)


@given(st.lists(st.integers(1, 10_000), unique=True, max_size=50).map(sorted))
def test_runs_are_planned_one_an_event_in_order_with_keys_that_no_other_has(positions: list[int]) -> None:
    planned = plan_document_runs([received(position, f"d-{position % 3}") for position in positions])
    assert [run.position for run in planned] == positions
    assert len({run.run_key for run in planned}) == len(positions)
    assert [run.partition for run in planned] == [f"d-{position % 3}" for position in positions]


def test_a_run_knows_whose_event_started_it() -> None:
    (run,) = plan_document_runs([received(5, correlation_id="request-1")])
    assert (run.tenant, run.correlation_id, run.position) == ("acme", "request-1", 5)
