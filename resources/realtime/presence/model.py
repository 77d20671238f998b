"""How somebody is: made from all the devices on which they are.

A user is offline only when no device is left. One device that is busy makes the user busy; without activity for ten minutes an
online device counts as away. Devices of a process that has not been heard of are not believed.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

OFFLINE_AFTER = timedelta(seconds=300)
AWAY_AFTER = timedelta(seconds=600)
TYPING_SECONDS = 10.0
SWEEP_SECONDS = 60.0
HUB_SILENT = timedelta(seconds=20)
"""After this time without a sign of its process a device does not count as a session."""
MAX_DEVICES = 10


class Status(StrEnum):
    """What one can be."""

    ONLINE = "online"
    AWAY = "away"
    BUSY = "busy"
    OFFLINE = "offline"


class Device(msgspec.Struct, frozen=True):
    """One connection of a user. `hub` is the process that holds it."""

    id: str
    tenant: str
    user: str
    hub: str
    joined_at: datetime
    active_at: datetime
    status: Status = Status.ONLINE
    note: str | None = None

    def status_at(self, now: datetime) -> Status:
        if self.status is Status.ONLINE and now - self.active_at >= AWAY_AFTER:
            return Status.AWAY
        return self.status


class Joined(msgspec.Struct, frozen=True):
    """How many devices there were when one joined, itself counted: of its user, and of its tenant."""

    of_user: int
    of_tenant: int


class Presence(msgspec.Struct, frozen=True):
    """How a user is; `last_seen` is the last activity, None when it is not known."""

    user: str
    status: Status
    devices: int
    last_seen: datetime | None
    note: str | None = None


def presence_of(user: str, devices: Iterable[Device], now: datetime) -> Presence:
    """What the devices of a user add up to."""
    known = sorted(devices, key=lambda device: device.active_at)
    states = {device.status_at(now) for device in known}
    status = next((one for one in (Status.BUSY, Status.ONLINE, Status.AWAY) if one in states), Status.OFFLINE)
    note = next((device.note for device in reversed(known) if device.note is not None), None)
    return Presence(user, status, len(known), known[-1].active_at if known else None, note)
