"""Replays' progress in PostgreSQL (migration 0014)."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec
from psycopg.types.json import Jsonb

from resources.events.postgres import AS_SYSTEM, in_our_words
from resources.events.replays.model import ReplayRequest, ReplayState, ReplayStatus, unknown_replay

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from uuid import UUID

    from resources.database.postgres import Connection, Database

_COLUMNS = "definition, state, position, up_to, events, error, started_at, updated_at"
_BEGIN = """INSERT INTO aiw.event_replay (id, tenant, definition, state, position, up_to)
    VALUES (%s, %s, %s, 'running', %s, %s) ON CONFLICT DO NOTHING"""
_GET = f"SELECT {_COLUMNS} FROM aiw.event_replay WHERE id = %s AND (%s::text IS NULL OR tenant = %s)"
_LIST = f"""SELECT {_COLUMNS} FROM aiw.event_replay
    WHERE (%(state)s::text IS NULL OR state = %(state)s) AND (%(tenant)s::text IS NULL OR tenant = %(tenant)s)
    ORDER BY started_at DESC, id DESC LIMIT %(limit)s"""
_ADVANCE = """UPDATE aiw.event_replay SET position = %s, events = events + %s, updated_at = now()
    WHERE id = %s RETURNING state"""
_FINISH = """UPDATE aiw.event_replay SET state = %s, error = %s, updated_at = now()
    WHERE id = %s AND state = 'running'"""

_LOCK = "SELECT pg_try_advisory_lock(hashtextextended(%s, 7301402615))"


class PostgresReplays:
    """Safe to share between threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, request: ReplayRequest, *, up_to: int) -> ReplayStatus:
        selection = request.selection
        row = (request.id, selection.tenant, Jsonb(msgspec.to_builtins(request)), selection.after_position, up_to)
        with self._transaction() as connection:
            connection.execute(_BEGIN, row)
            return _get(connection, request.id)

    def get(self, replay_id: UUID, *, tenant: str | None = None) -> ReplayStatus:
        with self._transaction() as connection:
            return _get(connection, replay_id, tenant)

    def list(
        self, *, state: ReplayState | None = None, tenant: str | None = None, limit: int = 100
    ) -> Sequence[ReplayStatus]:
        parameters = {"state": state, "tenant": tenant, "limit": limit}
        with self._transaction() as connection:
            return [_status(row) for row in connection.execute(_LIST, parameters)]

    def advance(self, replay_id: UUID, *, position: int, events: int) -> ReplayState:
        with self._transaction() as connection:
            row = connection.execute(_ADVANCE, (position, events, replay_id)).fetchone()
        if row is None:
            raise unknown_replay(replay_id)
        state: ReplayState = row[0]
        return state

    @contextmanager
    def hold(self, replay_id: UUID) -> Iterator[bool]:
        connection = self._database.connect()
        try:
            with in_our_words():
                mine = connection.execute(_LOCK, (f"replay {replay_id}",)).fetchone() == (True,)
            yield mine
        finally:
            connection.close()

    def finish(self, replay_id: UUID, state: ReplayState, *, error: str | None = None) -> None:
        with self._transaction() as connection:
            _get(connection, replay_id)
            connection.execute(_FINISH, (state, error and error.replace("\x00", " ")[:10_000], replay_id))

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with self._database.transaction() as connection, in_our_words():
            connection.execute(AS_SYSTEM)
            yield connection


def _get(connection: Connection, replay_id: UUID, tenant: str | None = None) -> ReplayStatus:
    row = connection.execute(_GET, (replay_id, tenant, tenant)).fetchone()
    if row is None:
        raise unknown_replay(replay_id)
    return _status(row)


def _status(row: tuple[Any, ...]) -> ReplayStatus:
    definition, *rest = row
    return ReplayStatus(msgspec.convert(definition, ReplayRequest), *rest)
