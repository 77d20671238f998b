"""Single rows of many tenants, read together: what waits at the same moment goes to the database in one round trip.

Each answer was read after it was asked for, under its own tenant's row-level security (migration 0058). Nothing is kept. For an
event loop: one connection, opened on first use, and no thread. The driver's cursors are left out: they find out anew for each
statement how its values are written.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal

import psycopg
from psycopg import generators
from psycopg.pq import ExecStatus

from resources.database.postgres import SCHEMA
from resources.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Kind = Literal["document", "execution", "events"]
"""What is read by name; of `events` that is a page: the position behind which it begins, and its length (migration 0155)."""

MAX_TOGETHER = 200
_PAUSE = 1.0  # seconds until the database is tried again
_NAME = b"find_rows"
_PREPARE = "PREPARE find_rows (text[], text[], text[]) AS SELECT place, content FROM aiw.find_rows($1, $2, $3)"

_Waiting = tuple[Kind, str, str, "asyncio.Future[bytes | None]"]


class Lookups:
    """Belongs to the event loop that uses it; another one makes it begin anew."""

    def __init__(
        self, url: str, *, connect_timeout: float = 5.0, statement_timeout: float = 60.0, application_name: str = "aiw"
    ) -> None:
        self._url = url
        self._options: dict[str, Any] = {
            "application_name": application_name,
            "client_encoding": "utf8",
            "connect_timeout": max(1, round(connect_timeout)),
            "options": f"-c search_path={SCHEMA},public -c statement_timeout={round(statement_timeout * 1000)} -c TimeZone=UTC",
        }
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connection: psycopg.AsyncConnection[tuple[Any, ...]] | None = None
        self._waiting: list[_Waiting] = []
        self._worker: asyncio.Task[None] | None = None
        self._closed_until = 0.0

    async def find(self, kind: Kind, name: str, *, tenant: str) -> bytes | None:
        """The row as JSON; None if the tenant has none of this name. Raises UnavailableError."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            if self._connection is not None:
                self._connection.pgconn.finish()  # its loop is another one, and may be gone
            self._loop, self._connection, self._waiting, self._worker = loop, None, [], None
        if self._closed_until and monotonic() < self._closed_until:
            raise _unavailable()
        answer: asyncio.Future[bytes | None] = loop.create_future()
        self._waiting.append((kind, tenant, name, answer))
        if self._worker is None:
            self._worker = loop.create_task(self._work())
        return await answer

    async def close(self) -> None:
        """Give the connection back. The next use opens a new one."""
        if self._loop is asyncio.get_running_loop() and self._worker is not None:
            await asyncio.wait([self._worker])
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _work(self) -> None:
        """Answer what waits, and what has come to wait meanwhile."""
        try:
            while self._waiting:
                await asyncio.sleep(0)  # who is about to ask may come along
                together, self._waiting = self._waiting[:MAX_TOGETHER], self._waiting[MAX_TOGETHER:]
                try:
                    await self._answer(together)
                except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must hear of it
                    await self._failed(together, error)
        finally:
            self._worker = None

    async def _answer(self, together: Sequence[_Waiting]) -> None:
        connection = self._connection or await self._open()
        kinds, tenants, names, answers = zip(*together, strict=True)
        connection.pgconn.send_query_prepared(_NAME, [_array(kinds), _array(tenants), _array(names)])
        (result,) = await connection.wait(generators.execute(connection.pgconn))
        if result.status != ExecStatus.TUPLES_OK:
            raise psycopg.errors.error_from_result(result)
        for row in range(result.ntuples):
            answer = answers[int(result.get_value(row, 0) or 0) - 1]
            if not answer.done():
                answer.set_result(result.get_value(row, 1))

    async def _open(self) -> psycopg.AsyncConnection[tuple[Any, ...]]:
        self._connection = await psycopg.AsyncConnection.connect(self._url, autocommit=True, **self._options)
        await self._connection.execute(_PREPARE)
        self._closed_until = 0.0
        return self._connection

    async def _failed(self, together: Sequence[_Waiting], error: Exception) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()
        self._closed_until = monotonic() + _PAUSE
        for *_, answer in together:
            if not answer.done():
                answer.set_exception(_unavailable(error))


def _array(values: Iterable[str]) -> bytes:
    """As PostgreSQL reads it."""
    return ("{" + ",".join(['"' + it.replace("\\", "\\\\").replace('"', '\\"') + '"' for it in values]) + "}").encode()


def _unavailable(cause: Exception | None = None) -> UnavailableError:
    error = UnavailableError(
        "The database cannot be reached. Check that it runs and that AIW_DATABASE__URL points to it.",
        dependency="database",
    )
    error.__cause__ = cause
    return error
