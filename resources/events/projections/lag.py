"""How far the read models are behind what happened."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from resources.errors import UnavailableError
from resources.events.projections import PROJECTIONS

if TYPE_CHECKING:
    from datetime import datetime

    from resources.events.projections.model import ProjectionStatus
    from resources.events.projections.store import ProjectionStore
    from resources.events.store import EventStore

LATE = 60.0
"""Seconds after which a read model counts as not kept up to date."""


class ProjectionLag(msgspec.Struct, frozen=True):
    """`positions` until the newest event, of all types; `seconds` since the oldest event that is not in the rows yet."""

    positions: int
    seconds: float


def lag_of(events: EventStore, status: ProjectionStatus, *, now: datetime) -> ProjectionLag:
    """The lag of one projection. Raises UnavailableError."""
    head = events.head(tenant=None)
    if head <= status.position:
        return ProjectionLag(0, 0.0)
    types = next((projection.types for projection in PROJECTIONS if projection.name == status.name), None)
    oldest = events.read_all(after_position=status.position, types=types, limit=1, tenant=None)
    seconds = max(0.0, (now - oldest[0].recorded_at).total_seconds()) if oldest else 0.0
    return ProjectionLag(head - status.position, seconds)


def check_lag(events: EventStore, projections: ProjectionStore, *, now: datetime) -> str:
    """A remark for people. Raises UnavailableError when a projection of the platform has failed or is late."""
    names = {projection.name for projection in PROJECTIONS}
    known = [status for status in projections.list() if status.name in names]
    found = [(status, lag_of(events, status, now=now)) for status in known]
    wrong = [f"{status.name} failed: {status.error}" for status, _ in found if status.state == "failed"]
    wrong += [f"{status.name} is {lag.seconds:.0f} s behind" for status, lag in found if lag.seconds > LATE]
    if wrong:
        raise UnavailableError("; ".join(wrong), dependency="projections")
    worst = max((lag.seconds for _, lag in found), default=0.0)
    return f"{len(found)} read models, at most {worst:.1f} s behind"
