"""Who is there, in PostgreSQL (migration 0040)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from resources.realtime.fanout.postgres import Changes
from resources.realtime.model import Notice
from resources.realtime.presence.model import HUB_SILENT, OFFLINE_AFTER, Device, Joined, Presence, Status, presence_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from resources.database.postgres import Database
    from resources.realtime.store import Fanout

WHAT = "the presence of users"
_DEVICE = "id, tenant, user_id, hub, joined_at, active_at, status, note"
_JOIN = f"""INSERT INTO aiw.presence_device ({_DEVICE})
    SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::timestamptz[], %s::timestamptz[],
        %s::text[], %s::text[])
    ON CONFLICT (id) DO UPDATE SET active_at = excluded.active_at"""
_BEAT = """INSERT INTO aiw.realtime_hub (hub, seen_at) SELECT unnest(%s::text[]), %s
    ON CONFLICT (hub) DO UPDATE SET seen_at = greatest(realtime_hub.seen_at, excluded.seen_at)"""
_COUNT_SESSIONS = """SELECT w.tenant, w.user_id, count(*) FROM
    (SELECT DISTINCT * FROM unnest(%s::text[], %s::text[]) AS u(tenant, user_id)) AS w
    JOIN aiw.presence_device d ON d.tenant = w.tenant AND d.user_id = w.user_id
    JOIN aiw.realtime_hub h ON h.hub = d.hub AND h.seen_at > %s GROUP BY 1, 2"""
_COUNT_SOCKETS = """SELECT d.tenant, count(*) FROM aiw.presence_device d
    JOIN aiw.realtime_hub h ON h.hub = d.hub AND h.seen_at > %s WHERE d.tenant = ANY (%s) GROUP BY 1"""
_ONE_AT_A_TIME = """SELECT pg_advisory_xact_lock(hashtextextended(tenant, 7301402653)) FROM
    (SELECT DISTINCT tenant FROM unnest(%s::text[]) AS u(tenant) ORDER BY tenant) AS wanted"""
_COUNT_DEVICES = "SELECT count(*) FROM aiw.presence_device WHERE hub = %s"
_LEAVE = "DELETE FROM aiw.presence_device WHERE id = ANY (%s) RETURNING tenant, user_id"
_UPDATE_DEVICE = """UPDATE aiw.presence_device SET active_at = %(at)s, status = coalesce(%(status)s, status),
    note = CASE WHEN %(status)s::text IS NULL THEN note ELSE %(note)s END
    WHERE id = %(id)s RETURNING tenant, user_id"""
_DEVICES = f"""SELECT {_DEVICE} FROM aiw.presence_device d
    WHERE d.tenant = %(tenant)s AND (%(users)s::text[] IS NULL OR d.user_id = ANY (%(users)s))
        AND EXISTS (SELECT FROM aiw.realtime_hub h WHERE h.hub = d.hub AND h.seen_at > %(alive)s)"""
_LOST_DEVICES = """DELETE FROM aiw.presence_device d
    WHERE NOT EXISTS (SELECT FROM aiw.realtime_hub h WHERE h.hub = d.hub AND h.seen_at > %s)
        AND d.joined_at <= %s RETURNING tenant, user_id"""
_LOST_HUBS = "DELETE FROM aiw.realtime_hub WHERE seen_at <= %s"


class PostgresPresence:
    """Devices in an unlogged table, which a crash of the server empties: `beat` tells then that they must join again."""

    def __init__(self, database: Database, fanout: Fanout | None = None) -> None:
        """`fanout` tells of changes; None = NOTIFY, in their commit."""
        self._changes = Changes(database, WHAT, fanout)

    def join(self, devices: Sequence[Device]) -> Sequence[Joined]:
        if not devices:
            return []
        rows = [msgspec.structs.astuple(device) for device in devices]
        columns = [list(column) for column in zip(*rows, strict=True)]
        newest = max(device.joined_at for device in devices)
        with self._changes.of(None) as (connection, news):
            connection.execute(_BEAT, (sorted({device.hub for device in devices}), newest))
            connection.execute(_ONE_AT_A_TIME, (columns[1],))
            connection.execute(_JOIN, columns)
            sockets = dict(connection.execute(_COUNT_SOCKETS, (newest - HUB_SILENT, columns[1])).fetchall())
            found = connection.execute(_COUNT_SESSIONS, (columns[1], columns[2], newest - HUB_SILENT)).fetchall()
            news.extend(_told({(device.tenant, device.user) for device in devices}))
        sessions = {(tenant, user): count for tenant, user, count in found}
        joined = []
        for device in reversed(devices):  # whoever came later in the batch was not there yet
            whose = device.tenant, device.user
            joined.append(Joined(sessions.get(whose, 0), sockets.get(device.tenant, 0)))
            sessions[whose] = sessions.get(whose, 0) - 1
            sockets[device.tenant] = sockets.get(device.tenant, 0) - 1
        return joined[::-1]

    def leave(self, ids: Collection[str]) -> None:
        if ids:
            with self._changes.of(None) as (connection, news):
                news.extend(_told(set(connection.execute(_LEAVE, (list(ids),)).fetchall())))

    def update(self, id: str, *, at: datetime, status: Status | None = None, note: str | None = None) -> None:
        with self._changes.of(None) as (connection, news):
            found = connection.execute(_UPDATE_DEVICE, {"id": id, "at": at, "status": status, "note": note})
            news.extend(_told(set(found.fetchall())))

    def beat(self, hub: str, *, at: datetime) -> int:
        with self._changes.of(None) as (connection, _):
            connection.execute(_BEAT, ([hub], at))
            row = connection.execute(_COUNT_DEVICES, (hub,)).fetchone()
        return row[0] if row else 0

    def devices(self, users: Collection[str] | None, *, tenant: str, now: datetime) -> Sequence[Device]:
        wanted = None if users is None else sorted(users)
        with self._changes.of(None) as (connection, _):
            rows = connection.execute(_DEVICES, {"tenant": tenant, "users": wanted, "alive": now - OFFLINE_AFTER})
            return sorted((_device(row) for row in rows), key=lambda device: (device.user, device.id))

    def find(self, users: Collection[str] | None, *, tenant: str, now: datetime) -> Sequence[Presence]:
        by_user: dict[str, list[Device]] = {user: [] for user in users or ()}
        for device in self.devices(users, tenant=tenant, now=now):
            by_user.setdefault(device.user, []).append(device)
        return [presence_of(user, by_user[user], now) for user in sorted(by_user)]

    def sweep(self, now: datetime) -> int:
        silent = now - OFFLINE_AFTER
        with self._changes.of(None) as (connection, news):
            lost = connection.execute(_LOST_DEVICES, (silent, silent)).fetchall()
            connection.execute(_LOST_HUBS, (silent - timedelta(hours=1),))
            news.extend(_told(set(lost)))
        return len(lost)


def _told(users: set[tuple[str, str]]) -> list[Notice]:
    return [Notice("presence", tenant, (user,)) for tenant, user in sorted(users)]


def _device(row: Sequence[Any]) -> Device:
    device_id, tenant, user, hub, joined_at, active_at, status, note = row
    return Device(device_id, tenant, user, hub, joined_at, active_at, Status(status), note)
