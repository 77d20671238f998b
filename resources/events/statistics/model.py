"""Figures of the event store, as a tenant sees it."""

from __future__ import annotations

from datetime import datetime

import msgspec


class TypeCount(msgspec.Struct, frozen=True):
    """How often a type of event was recorded, and when last."""

    type: str
    events: int
    last_position: int
    last_recorded_at: datetime


class EventStatistics(msgspec.Struct, frozen=True):
    """What is stored. `bytes` is the whole table's on disk, with its indexes: all tenants' together."""

    events: int
    streams: int
    types: tuple[TypeCount, ...]
    bytes: int
