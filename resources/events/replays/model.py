"""What is to be replayed, and how far a replay is."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from resources.errors import NotFoundError
from resources.events.model import StreamId, new_event_id

ReplayState = Literal["running", "completed", "cancelled", "failed"]


class Selection(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which events: a range of positions, a stream, or a story; narrowed by types. Bounds are as in `read_all`."""

    tenant: str | None = None
    after_position: int = 0
    up_to_position: int | None = None
    types: tuple[str, ...] | None = None
    stream: StreamId | None = None
    correlation_id: str | None = None


class ReplayRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """What somebody asks for. `rate` is in events per second; None = as fast as possible.

    Without `effects`, targets that act on the world (start runs, call services) are left out.
    """

    selection: Selection
    targets: tuple[str, ...]
    rate: float | None = None
    effects: bool = False
    id: UUID = msgspec.field(default_factory=new_event_id)


class ReplayStatus(msgspec.Struct, frozen=True):
    """How far it is: all selected events up to `position` are delivered, `up_to` is where it will end."""

    request: ReplayRequest
    state: ReplayState
    position: int
    up_to: int
    events: int
    error: str | None
    started_at: datetime
    updated_at: datetime


class ReplayPlan(msgspec.Struct, frozen=True):
    """What a replay would do."""

    events: int
    by_type: Mapping[str, int]
    targets: tuple[str, ...]
    left_out: tuple[str, ...]
    seconds: float | None


def unknown_replay(replay_id: UUID) -> NotFoundError:
    """No replay has this id, or not for this tenant."""
    return NotFoundError(f"There is no replay {str(replay_id)!r}.")
