"""Connections to PostgreSQL: one small pool a process, transactions that know their tenant, errors in our own words.

The pool is opened on first use and belongs to the process that opened it: a forked child (a warm worker) gets a new one
instead of its parent's sockets. Every connection looks in the schemas `aiw` and `public`.
"""

from __future__ import annotations

import os
import select
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg
from psycopg_pool import ConnectionPool, PoolTimeout

from resources.errors import InvalidInputError, Problem, UnavailableError, UpstreamError

if TYPE_CHECKING:
    from collections.abc import Iterator

AGAIN = "Try again."
"""What may be done about a failure that may pass."""

Connection = psycopg.Connection[tuple[Any, ...]]

SCHEMA = "aiw"
_RECONNECT_SECONDS = 2.0  # then the next request tries afresh, rather than wait for an attempt that is minutes away
_DRAIN_SECONDS = 0.5
SET_TENANT = "SELECT set_config('aiw.tenant', %s, true)"
AS_TENANT = "SELECT set_config('role', 'aiw_app', true), set_config('aiw.tenant', %s, true)"
AS_SYSTEM = "SELECT set_config('role', 'aiw_system', true)"
_AS_NOBODY = "SELECT set_config('role', 'none', true), set_config('aiw.tenant', '', true)"


class PoolState(NamedTuple):
    """Connections that are open, those of them that are free, who waits for one, and what has gone wrong since the start.

    An error is a request that got no connection in time, an attempt to connect that failed, or a connection that was lost.
    """

    size: int
    idle: int
    waiting: int
    errors: int


class Database:
    """A PostgreSQL database that slices run their transactions on. Safe to share between threads."""

    def __init__(
        self,
        url: str,
        *,
        pool_size: int = 8,
        connect_timeout: float = 5.0,
        statement_timeout: float = 60.0,
        application_name: str = "aiw",
    ) -> None:
        self.url = url
        self._pool_size = pool_size
        self._connect_timeout = connect_timeout
        self._connection_options: dict[str, Any] = {
            "application_name": application_name,
            "connect_timeout": max(1, round(connect_timeout)),
            "options": f"-c search_path={SCHEMA},public -c statement_timeout={round(statement_timeout * 1000)}",
        }
        self._pool: ConnectionPool[Connection] | None = None
        self._pool_owner = 0
        self._opening = threading.Lock()
        self._drained_at = 0.0
        self._shared = threading.local()

    @contextmanager
    def together(self) -> Iterator[None]:
        """Make all transactions of this thread in the block one: what they do is committed when it ends, or not at all.

        For changes that several stores make as one. Who catches an error inside of the block can only give up: the
        transaction is spoilt. Raises as `transaction` does.
        """
        if self._shared_connection() is not None:
            yield
            return
        with self.transaction() as connection:
            connection.execute(_AS_NOBODY)
            self._shared.connection = connection
            try:
                yield
            finally:
                self._shared.connection = None

    @contextmanager
    def transaction(self, *, tenant: str | None = None) -> Iterator[Connection]:
        """One transaction: committed when the block ends, rolled back when it raises.

        Row-level security shows the rows of `tenant` alone; without one it shows none of any tenant's.
        Raises UnavailableError when no connection can be had in time or the server goes away.
        """
        shared = self._shared_connection()
        if shared is not None:
            shared.execute(_AS_NOBODY)  # whoever was before is not who comes now
            if tenant is not None:
                shared.execute(SET_TENANT, (tenant,))
            yield shared
            return
        try:
            with self._open_pool().connection(timeout=self._connect_timeout) as connection:
                if tenant is not None:
                    _begin(connection, SET_TENANT, tenant)
                yield connection
        except (PoolTimeout, psycopg.OperationalError) as error:
            if isinstance(error, psycopg.errors.QueryCanceled):
                raise
            raise UnavailableError(
                "The database cannot be reached. Check that it runs and that AIW_DATABASE__URL points to it.",
                dependency="database",
            ) from error

    @contextmanager
    def scoped(self, tenant: str | None, what: str, *, again: str = AGAIN) -> Iterator[Connection]:
        """A transaction of the tenant, whatever role has logged in; None = of the platform, which sees all of them.

        Raises as `transaction` and `in_our_words` do; `what` and `again` are the latter's.
        """
        with self.transaction() as connection, in_our_words(what, again=again):
            begin_as(connection, tenant)
            yield connection

    def connect(self, *, autocommit: bool = True) -> Connection:
        """A connection of the caller's own, outside of the pool: for LISTEN, advisory locks and administration."""
        try:
            return psycopg.connect(self.url, autocommit=autocommit, **self._connection_options)
        except psycopg.OperationalError as error:
            raise UnavailableError(
                "The database cannot be reached. Check that it runs and that AIW_DATABASE__URL points to it.",
                dependency="database",
            ) from error

    def ping(self) -> float:
        """Seconds that one round trip takes. Raises UnavailableError."""
        started = time.perf_counter()
        with self.transaction() as connection:
            connection.execute("SELECT 1")
        return time.perf_counter() - started

    def pool(self) -> PoolState:
        """How the pool of this process is; one that nobody has used yet has no connections."""
        pool = self._pool_here()
        told = {} if pool is None else pool.get_stats()
        return PoolState(
            size=told.get("pool_size", 0),
            idle=told.get("pool_available", 0),
            waiting=told.get("requests_waiting", 0),
            errors=sum(told.get(name, 0) for name in ("requests_errors", "connections_errors", "connections_lost")),
        )

    def close(self) -> None:
        """Close the pool of this process. The next use opens a new one."""
        if self._pool is not None and self._pool_owner == os.getpid():
            self._pool.close()
        self._pool = None

    def _shared_connection(self) -> Connection | None:
        connection: Connection | None = getattr(self._shared, "connection", None)
        return connection

    def _open_pool(self) -> ConnectionPool[Connection]:
        if (pool := self._pool_here()) is not None:
            return pool
        with self._opening:  # two threads that come first must not open two pools, of which nobody would close one
            if (pool := self._pool_here()) is not None:
                return pool
            pool = ConnectionPool(
                self.url,
                connection_class=psycopg.Connection[tuple[Any, ...]],
                kwargs=self._connection_options,
                min_size=1,
                max_size=self._pool_size,
                timeout=self._connect_timeout,
                max_idle=300.0,
                reconnect_timeout=_RECONNECT_SECONDS,
                check=self._check,
                open=True,
                name="aiw",
            )
            self._pool = pool
            self._pool_owner = os.getpid()
            return pool

    def _check(self, connection: Connection) -> None:
        """Where one connection is dead, so are the others: a server that was away has ended all of them.

        The pool would find that out one by one, with growing pauses, and refuse work for seconds although the server is back.
        A server that ends a connection says so: as long as there is nothing to be read from it, it needs no round trip.
        """
        if not _has_news(connection):
            return
        try:
            ConnectionPool.check_connection(connection)
        except psycopg.Error:
            now = time.monotonic()
            if self._pool is not None and now - self._drained_at > _DRAIN_SECONDS:
                self._drained_at = now
                self._pool.drain()
            raise

    def _pool_here(self) -> ConnectionPool[Connection] | None:
        return self._pool if self._pool_owner == os.getpid() else None


@contextmanager
def in_our_words(what: str, *, again: str = AGAIN) -> Iterator[None]:
    """PostgreSQL's errors as ours: what may pass is UnavailableError, what will not is UpstreamError, text with a NUL character,
    which PostgreSQL has no place for, is InvalidInputError.

    `what` is what was asked for, as in "the messages cannot be reached"; `again` says how to repeat it.
    """
    try:
        yield
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        message = f"{what[:1].upper()}{what[1:]} cannot be reached ({first_line(error)}). {again}"
        raise UnavailableError(message, dependency="database") from error
    except psycopg.Error as error:
        if isinstance(error, psycopg.errors.UntranslatableCharacter) or "NUL (0x00)" in str(error):
            problem = Problem("body", "holds a NUL character", "leave it out")
            message = f"What is told of {what} holds a NUL character. Leave it out."
            raise InvalidInputError(message, code="validation_failed", problems=(problem,)) from error
        raise UpstreamError(f"The database refused what was asked of {what}: {first_line(error)}") from error


def begin_as(connection: Connection, tenant: str | None) -> None:
    """Make the transaction that begins one of the tenant, whatever role has logged in; None = of the platform."""
    if tenant is None:
        _begin(connection, AS_SYSTEM)
    else:
        _begin(connection, AS_TENANT, tenant)


def _begin(connection: Connection, settings: str, *values: str) -> None:
    """Begin, and say who it is, in one round trip where the driver would make two. Raises psycopg.Error."""
    if connection.pgconn.transaction_status != psycopg.pq.TransactionStatus.IDLE:
        connection.execute(settings, values)  # it has begun already
        return
    escaping = psycopg.pq.Escaping(connection.pgconn)
    for value in values:
        settings = settings.replace("%s", bytes(escaping.escape_literal(value.encode())).decode(), 1)
    result = connection.pgconn.exec_(f"BEGIN; {settings}".encode())
    if connection.pgconn.status != psycopg.pq.ConnStatus.OK:  # the server is gone, which has no error class of its own
        raise psycopg.OperationalError(connection.pgconn.error_message.decode(errors="replace").strip())
    if result.status != psycopg.pq.ExecStatus.TUPLES_OK:
        raise psycopg.errors.error_from_result(result, encoding="utf-8")


def first_line(error: psycopg.Error) -> str:
    """What happened, without the statement that PostgreSQL repeats under it."""
    return str(error).partition("\n")[0] or type(error).__name__


def _has_news(connection: Connection) -> bool:
    """Whether the server has said something to an idle connection: mostly that it is no more."""
    poll = select.poll()
    try:
        poll.register(connection.fileno(), select.POLLIN | select.POLLHUP | select.POLLERR)
    except psycopg.Error:
        return True  # it is closed on this side
    return bool(poll.poll(0))
