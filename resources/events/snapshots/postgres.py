"""Snapshots in PostgreSQL (migration 0011)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from resources.events.model import StreamId
from resources.events.postgres import AS_TENANT, in_our_words
from resources.events.snapshots.model import Snapshot

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from resources.database.postgres import Database

_SAVE = """INSERT INTO aiw.event_snapshot (tenant, stream_type, stream_id, version, position, recorded_at, state_version,
        encoding, checksum, state, taken_at)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
    ON CONFLICT (tenant, stream_type, stream_id, version) DO UPDATE SET position = excluded.position,
        recorded_at = excluded.recorded_at, state_version = excluded.state_version, encoding = excluded.encoding,
        checksum = excluded.checksum, state = excluded.state, taken_at = excluded.taken_at"""
_PRUNE = """DELETE FROM aiw.event_snapshot WHERE tenant = %(tenant)s AND stream_type = %(type)s AND stream_id = %(id)s
    AND version NOT IN (SELECT version FROM aiw.event_snapshot
        WHERE tenant = %(tenant)s AND stream_type = %(type)s AND stream_id = %(id)s ORDER BY version DESC LIMIT %(keep)s)"""
_NEWEST = """SELECT version, position, recorded_at, state_version, encoding, checksum, state, taken_at
    FROM aiw.event_snapshot WHERE tenant = %(tenant)s AND stream_type = %(type)s AND stream_id = %(id)s"""
_REMOVE = """DELETE FROM aiw.event_snapshot
    WHERE tenant = %s AND stream_type = %s AND stream_id = %s AND version = %s"""


class PostgresSnapshots:
    """Safe to share between threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save(self, snapshot: Snapshot, *, keep: int) -> None:
        stream = snapshot.stream
        place = {"tenant": snapshot.tenant, "type": stream.type, "id": stream.id, "keep": keep}
        row = (
            snapshot.tenant,
            stream.type,
            stream.id,
            snapshot.version,
            snapshot.position,
            snapshot.recorded_at,
            snapshot.state_version,
            snapshot.encoding,
            snapshot.checksum,
            snapshot.state,
            snapshot.taken_at,
        )
        with self._database.transaction() as connection, in_our_words():
            connection.execute(AS_TENANT, (snapshot.tenant,))
            connection.execute(_SAVE, row)
            connection.execute(_PRUNE, place)

    def newest(
        self,
        stream: StreamId,
        *,
        up_to_version: int | None = None,
        up_to_position: int | None = None,
        up_to_time: datetime | None = None,
        tenant: str,
    ) -> Sequence[Snapshot]:
        query, parameters = _NEWEST, {"tenant": tenant, "type": stream.type, "id": stream.id}
        bounds: dict[str, Any] = {"version": up_to_version, "position": up_to_position, "recorded_at": up_to_time}
        for column, bound in bounds.items():
            if bound is not None:
                query += f" AND {column} <= %({column})s"
                parameters[column] = bound
        with self._database.transaction() as connection, in_our_words():
            connection.execute(AS_TENANT, (tenant,))
            rows = connection.cursor(binary=True).execute(f"{query} ORDER BY version DESC", parameters)
            return [Snapshot(tenant, StreamId(stream.type, stream.id), *row) for row in rows]

    def remove(self, stream: StreamId, version: int, *, tenant: str) -> None:
        with self._database.transaction() as connection, in_our_words():
            connection.execute(AS_TENANT, (tenant,))
            connection.execute(_REMOVE, (tenant, stream.type, stream.id, version))
