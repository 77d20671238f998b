"""What is written: one event, one value, one change of a run's row."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from dagster._core.events.log import EventLogEntry


class Encoded(str):
    """An event in JSON that is already escaped for COPY."""

    __slots__ = ()


class EventRow(NamedTuple):
    """One row of `event_logs`."""

    run_id: str
    event: EventLogEntry | Encoded
    type: str | None
    timestamp: float
    step_key: str | None
    of_job: bool = False
    closes_a_broken_run: bool = False


class OutputRow(NamedTuple):
    """One row of `aiw.node_outputs`."""

    tenant: str
    run_id: str
    step_key: str
    output: str
    mapping_key: str
    codec: str
    size: int
    checksum: str
    body: bytes | None
    uri: str | None


class RunUpdate(NamedTuple):
    """A run has begun, or ended well. Made only while the run's status is one of `allowed`."""

    run_id: str
    status: str
    timestamp: float
    column: str
    allowed: tuple[str, ...]
