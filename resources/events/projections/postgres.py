"""Read models in PostgreSQL (migration 0013). Rows and checkpoint are written by one transaction: exactly once."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import orjson

from resources.errors import NotFoundError
from resources.events import arrays
from resources.events.postgres import AS_SYSTEM, AS_TENANT, in_our_words
from resources.events.projections.model import ProjectionStatus, RebuildStatus, storable_key

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from resources.database.postgres import Connection, Database
    from resources.events.projections.model import Row, RowKey, Rows

_DEFINE = """INSERT INTO aiw.projection (name, version, active, state) VALUES (%s, %s, 1, 'building')
    ON CONFLICT DO NOTHING"""
_FIRST = """INSERT INTO aiw.projection_generation (projection, generation, version)
    SELECT name, active, version FROM aiw.projection WHERE name = %s ON CONFLICT DO NOTHING"""
_STATUS = """SELECT p.name, p.version, p.state, a.position, a.events, p.error, p.updated_at,
        r.generation, r.version, r.position, r.events, r.started_at
    FROM aiw.projection p
    JOIN aiw.projection_generation a ON a.projection = p.name AND a.generation = p.active
    LEFT JOIN aiw.projection_generation r ON r.projection = p.name AND r.generation = p.rebuilding
    WHERE %(name)s::text IS NULL OR p.name = %(name)s ORDER BY p.name"""
_LOCK_ACTIVE = """SELECT g.generation, g.position FROM aiw.projection p
    JOIN aiw.projection_generation g ON g.projection = p.name AND g.generation = p.active
    WHERE p.name = %s AND p.state <> 'stopped' FOR UPDATE OF g SKIP LOCKED"""
_LOCK_ONE = """SELECT generation, position FROM aiw.projection_generation
    WHERE projection = %s AND generation = %s FOR UPDATE SKIP LOCKED"""
_LOAD = """SELECT tenant, key, data FROM aiw.projection_row
    JOIN unnest(%b, %b) AS wanted(t, k) ON tenant = t AND key = k
    WHERE projection = %s AND generation = %s"""
_SAVE = """INSERT INTO aiw.projection_row (projection, generation, tenant, key, data)
    SELECT %s, %s, t, k, d::jsonb FROM unnest(%b, %b, %b) AS new(t, k, d)
    ON CONFLICT (projection, generation, tenant, key) DO UPDATE SET data = excluded.data"""
_DELETE = """DELETE FROM aiw.projection_row USING unnest(%s::text[], %s::text[]) AS gone(t, k)
    WHERE projection = %s AND generation = %s AND tenant = t AND key = k"""
_WORKS = """UPDATE aiw.projection SET state = 'active', error = NULL, updated_at = now()
    FROM moved WHERE name = moved.projection AND active = moved.generation AND state IN ('building', 'failed')"""
_CHECKPOINT = f"""WITH moved AS (UPDATE aiw.projection_generation
        SET position = %s, events = events + %s, updated_at = now() WHERE projection = %s AND generation = %s
        RETURNING projection, generation)
    {_WORKS}"""
_ADVANCE = f"""WITH free AS (SELECT g.projection, g.generation FROM aiw.projection p
        JOIN aiw.projection_generation g ON g.projection = p.name AND g.generation = p.active
        WHERE p.name = ANY (%s) AND p.state <> 'stopped' AND g.position = %s FOR UPDATE OF g SKIP LOCKED),
    moved AS (UPDATE aiw.projection_generation g SET position = %s, updated_at = now()
        FROM free WHERE g.projection = free.projection AND g.generation = free.generation
        RETURNING g.projection, g.generation)
    {_WORKS}"""

_LOCK = "SELECT version, active, rebuilding FROM aiw.projection WHERE name = %s FOR UPDATE"
_VERSION = "SELECT version FROM aiw.projection_generation WHERE projection = %s AND generation = %s"
_BEGIN = """INSERT INTO aiw.projection_generation (projection, generation, version)
    SELECT %s, max(generation) + 1, %s FROM aiw.projection_generation WHERE projection = %s RETURNING generation"""
_REBUILDING = "UPDATE aiw.projection SET rebuilding = %s, state = 'rebuilding', updated_at = now() WHERE name = %s"
_POSITIONS = """SELECT generation, position, version FROM aiw.projection_generation
    WHERE projection = %s AND generation = ANY (%s) FOR UPDATE"""
_SWAP = """UPDATE aiw.projection SET active = %s, version = %s, rebuilding = NULL, state = 'active', error = NULL,
    updated_at = now() WHERE name = %s"""
_CANCEL = "UPDATE aiw.projection SET rebuilding = NULL, state = 'active', updated_at = now() WHERE name = %s"
_DROP = "DELETE FROM aiw.projection_generation WHERE projection = %s AND generation = %s"
_IS_REBUILDING = "SELECT rebuilding FROM aiw.projection WHERE name = %s"
_SET_STATE = "UPDATE aiw.projection SET state = %s, error = %s, updated_at = now() WHERE name = %s"

_SIZE = "SELECT count(*) FROM aiw.read_model WHERE projection = %s"
_GET = "SELECT data FROM aiw.read_model WHERE projection = %s AND tenant = %s AND key = %s"
_GET_MANY = "SELECT key, data FROM aiw.read_model WHERE projection = %s AND tenant = %s AND key = ANY(%s)"
_ROWS = """SELECT key, data FROM aiw.read_model
    WHERE projection = %s AND tenant = %s AND starts_with(key, %s) AND key > %s ORDER BY key LIMIT %s"""


_NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")


class _Batch:
    def __init__(self, connection: Connection, name: str, generation: int, position: int) -> None:
        self._connection = connection
        self._place = (name, generation)
        self.position = position

    def load(self, keys: Iterable[RowKey]) -> Mapping[RowKey, Row]:
        wanted = list(keys)
        columns = (arrays.TextArray([tenant for tenant, _ in wanted]), arrays.TextArray([key for _, key in wanted]))
        rows = self._connection.execute(_LOAD, (*columns, *self._place))
        return {(tenant, key): data for tenant, key, data in rows}

    def save(self, rows: Rows, *, position: int, events: int) -> None:
        changed = list(rows.changed())
        if changed:
            columns = (
                arrays.TextArray([tenant for (tenant, _), _ in changed]),
                arrays.TextArray([key for (_, key), _ in changed]),
                arrays.JsonArray([_storable(row) for _, row in changed]),
            )
            self._connection.execute(_SAVE, (*self._place, *columns))
        if rows.removed:
            removed = ([tenant for tenant, _ in rows.removed], [key for _, key in rows.removed])
            self._connection.execute(_DELETE, (*removed, *self._place))
        self._connection.execute(_CHECKPOINT, (position, events, *self._place))


class PostgresProjections:
    """Safe to share between threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def define(self, name: str, *, version: int) -> None:
        with self._transaction() as connection:
            connection.execute(_DEFINE, (name, version))
            connection.execute(_FIRST, (name,))

    def status(self, name: str) -> ProjectionStatus:
        with self._transaction() as connection:
            row = connection.execute(_STATUS, {"name": name}).fetchone()
        if row is None:
            raise _unknown(name)
        return _as_status(row)

    def list(self) -> Sequence[ProjectionStatus]:
        with self._transaction() as connection:
            return [_as_status(row) for row in connection.execute(_STATUS, {"name": None})]

    @contextmanager
    def batch(self, name: str, *, generation: int | None = None) -> Iterator[_Batch | None]:
        with self._transaction() as connection:
            query, parameters = (_LOCK_ACTIVE, (name,)) if generation is None else (_LOCK_ONE, (name, generation))
            row = connection.execute(query, parameters).fetchone()
            yield None if row is None else _Batch(connection, name, *row)

    def advance(self, names: Collection[str], *, after: int, to: int) -> None:
        with self._transaction() as connection:
            connection.execute(_ADVANCE, (list(names), after, to))

    def begin_rebuild(self, name: str, *, version: int) -> int:
        with self._transaction() as connection:
            _, _, rebuilding = self._locked(connection, name)
            if rebuilding is not None:
                if connection.execute(_VERSION, (name, rebuilding)).fetchone() == (version,):
                    return rebuilding
                connection.execute(_DROP, (name, rebuilding))
            (generation,) = connection.execute(_BEGIN, (name, version, name)).fetchone() or (0,)
            connection.execute(_REBUILDING, (generation, name))
            return int(generation)

    def finish_rebuild(self, name: str, generation: int) -> bool:
        with self._transaction() as connection:
            _, active, _ = self._locked(connection, name)
            rows = connection.execute(_POSITIONS, (name, [active, generation])).fetchall()
            positions = {number: (position, version) for number, position, version in rows}
            if generation not in positions or positions[generation][0] < positions[active][0]:
                return False
            connection.execute(_SWAP, (generation, positions[generation][1], name))
            connection.execute(_DROP, (name, active))
            return True

    def cancel_rebuild(self, name: str) -> None:
        with self._transaction() as connection:
            _, _, rebuilding = self._locked(connection, name)
            if rebuilding is not None:
                connection.execute(_CANCEL, (name,))
                connection.execute(_DROP, (name, rebuilding))

    def is_cancelled(self, name: str, generation: int) -> bool:
        with self._transaction() as connection:
            return connection.execute(_IS_REBUILDING, (name,)).fetchone() != (generation,)

    def note_failure(self, name: str, error: str) -> None:
        self._set_state(name, "failed", error.replace("\x00", "\N{REPLACEMENT CHARACTER}")[:10_000])

    def stop(self, name: str) -> None:
        self._set_state(name, "stopped", None)

    def start(self, name: str) -> None:
        self._set_state(name, "building", None)

    def size(self, name: str) -> int:
        with self._transaction() as connection:
            (count,) = connection.execute(_SIZE, (name,)).fetchone() or (0,)
        return int(count)

    def get(self, name: str, key: str, *, tenant: str) -> Row | None:
        with self._database.transaction() as connection, in_our_words():
            connection.execute(AS_TENANT, (tenant,))
            row = connection.execute(_GET, (name, tenant, storable_key(key))).fetchone()
        return row[0] if row else None

    def get_many(self, name: str, keys: Collection[str], *, tenant: str) -> Mapping[str, Row]:
        asked = {storable_key(key): key for key in keys}
        with self._database.transaction() as connection, in_our_words():
            connection.execute(AS_TENANT, (tenant,))
            found = connection.execute(_GET_MANY, (name, tenant, list(asked)))
            return {asked[key]: data for key, data in found}

    def rows(
        self, name: str, *, tenant: str, prefix: str = "", after: str = "", limit: int = 100
    ) -> Sequence[tuple[str, Row]]:
        with self._database.transaction() as connection, in_our_words():
            connection.execute(AS_TENANT, (tenant,))
            return [(key, data) for key, data in connection.execute(_ROWS, (name, tenant, prefix, after, limit))]

    def _set_state(self, name: str, state: str, error: str | None) -> None:
        with self._transaction() as connection:
            if connection.execute(_SET_STATE, (state, error, name)).rowcount != 1:
                raise _unknown(name)

    def _locked(self, connection: Connection, name: str) -> tuple[int, int, int | None]:
        row = connection.execute(_LOCK, (name,)).fetchone()
        if row is None:
            raise _unknown(name)
        version, active, rebuilding = row
        return version, active, rebuilding

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with self._database.transaction() as connection, in_our_words():
            connection.execute(AS_SYSTEM)
            yield connection


def _storable(row: Row) -> bytes:
    """JSON that jsonb accepts: it knows no NUL, which an event may well contain, but numbers of any size, which sums come to."""
    try:
        text = orjson.dumps(row)
    except orjson.JSONEncodeError:
        text = json.dumps(row, allow_nan=False).encode()
    return _NUL.sub(rb"\1\\ufffd", text) if b"\\u0000" in text else text


def _as_status(row: tuple[Any, ...]) -> ProjectionStatus:
    name, version, state, position, events, error, updated_at, *rebuild = row
    rebuilding = RebuildStatus(*rebuild) if rebuild[0] is not None else None
    return ProjectionStatus(name, version, state, position, events, error, rebuilding, updated_at)


def _unknown(name: str) -> NotFoundError:
    return NotFoundError(f"There is no projection {name!r}.")
