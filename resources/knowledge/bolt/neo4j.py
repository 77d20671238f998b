"""A Bolt server through the official neo4j driver: connections, transactions, and what to do when others came first.

The driver's own retries start with a pause of a second and leave ConstraintError out, which ArcadeDB raises when two
transactions merge the same new key. The loop here knows both servers' codes and pauses for milliseconds.
"""

from __future__ import annotations

import os
import random
import threading
import time
from typing import TYPE_CHECKING, Any, Final, TypeVar

import neo4j
from neo4j.exceptions import (
    AuthError,
    ConfigurationError,
    DriverError,
    Neo4jError,
    ServiceUnavailable,
    SessionExpired,
)

from resources.errors import ConflictError, UnavailableError, UpstreamError
from resources.knowledge.dialects import dialect_of, is_conflict
from resources.knowledge.queries import PING
from resources.knowledge.weaving import BATCH, Row

if TYPE_CHECKING:
    from collections.abc import Callable

    from resources.knowledge.dialects import Dialect
    from resources.resilience.breaker import CircuitBreaker

T = TypeVar("T")

_FIRST_PAUSE: Final = 0.002
_LONGEST_PAUSE: Final = 0.1
_CONNECTION_TRIES: Final = 2
_LEAST_TRIES: Final = 5


class BoltServer:
    """One database of a Bolt server. Safe to share between threads; a forked child opens connections of its own."""

    def __init__(
        self,
        url: str,
        *,
        user: str,
        password: str,
        database: str,
        pool_size: int = 8,
        connect_timeout: float = 5.0,
        conflict_timeout: float = 30.0,
        breaker: CircuitBreaker | None = None,
        http_url: str | None = None,
    ) -> None:
        """`http_url` is ArcadeDB's, for what its Cypher cannot do."""
        self._url = url
        self._http_url = http_url
        self._known: Dialect | None = None
        self._auth = (user, password)
        self._database = database
        self._pool_size = pool_size
        self._connect_timeout = connect_timeout
        self._conflict_timeout = conflict_timeout
        self._breaker = breaker
        self._driver: neo4j.Driver | None = None
        self._owner = 0
        self._opening = threading.Lock()

    def ping(self) -> float:
        """Seconds that one round trip takes. Also asked while the server is left alone: so one hears that it is back."""
        self._open()
        started = time.perf_counter()
        self._tried(self._reading(PING))
        return time.perf_counter() - started

    def close(self) -> None:
        """Close the connections of this process. The next use opens new ones."""
        if self._driver is not None and self._owner == os.getpid():
            self._driver.close()
        self._driver = None

    def _open(self) -> neo4j.Driver:
        if self._owner != os.getpid():
            # After a fork: the parent's sockets are not ours, and its lock may have been held.
            self._opening = threading.Lock()
            self._driver = None
            self._owner = os.getpid()
        with self._opening:
            if self._driver is None:
                self._driver = neo4j.GraphDatabase.driver(
                    self._url,
                    auth=self._auth,
                    connection_timeout=self._connect_timeout,
                    connection_acquisition_timeout=self._connect_timeout,
                    max_connection_pool_size=self._pool_size,
                    liveness_check_timeout=0,  # of a server that hangs we hear after connect_timeout, not never
                    notifications_min_severity="OFF",
                    telemetry_disabled=True,
                    user_agent="aiw",
                )
            return self._driver

    def _dialect(self) -> Dialect:
        """What the server speaks, as it introduces itself the first time."""
        if self._known is None:
            self._known = self._run(lambda: dialect_of(self._open().get_server_info().agent))
        return self._known

    def _read(self, query: str, **parameters: Any) -> list[Row]:
        return self._run(self._reading(query, **parameters))

    def _change(self, query: str, **parameters: Any) -> list[Row]:
        """One statement that changes something, as a transaction of its own."""
        return self._run(self._reading(query, access=neo4j.WRITE_ACCESS, **parameters))

    def _each(self, query: str, rows: list[Row], *, tenant: str) -> list[Row]:
        """What the query returns for all rows, which it is given in batches; nothing is asked when there are none."""
        return [
            found
            for start in range(0, len(rows), BATCH)
            for found in self._read(query, tenant=tenant, rows=rows[start : start + BATCH])
        ]

    def _reading(self, query: str, *, access: str = neo4j.READ_ACCESS, **parameters: Any) -> Callable[[], list[Row]]:
        def read() -> list[Row]:
            with self._open().session(database=self._database, default_access_mode=access) as session:
                return session.run(query, parameters).data()

        return read

    def _write(self, change: Callable[[neo4j.Transaction], T]) -> T:
        """One transaction, committed unless `change` rolled it back."""

        def write() -> T:
            with (
                self._open().session(database=self._database) as session,
                session.begin_transaction() as transaction,
            ):
                result = change(transaction)
                if not transaction.closed():
                    transaction.commit()
                return result

        return self._run(write)

    def _run(self, work: Callable[[], T]) -> T:
        """As `_tried`, unless the server did not answer for some time and is left alone."""
        if self._breaker is None:
            return self._tried(work)
        return self._breaker.call(lambda: self._tried(work), failed=lambda error: isinstance(error, UnavailableError))

    def _tried(self, work: Callable[[], T]) -> T:
        """The result of `work`, repeated as long as others come first, and once for a connection that went stale.

        What takes longer than the time for conflicts is tried a few times all the same: a large document comes through, too.
        Safe because every change may be made twice: what it changes is decided anew from what is there.
        """
        deadline = time.monotonic() + self._conflict_timeout
        pause = _FIRST_PAUSE
        connections = conflicts = 0
        while True:
            try:
                return work()
            except (AuthError, ConfigurationError) as error:
                raise _unavailable("refuses the connection; user name and password may be wrong") from error
            except (ServiceUnavailable, SessionExpired, OSError) as error:
                connections += 1
                if connections >= _CONNECTION_TRIES:
                    raise _unavailable("cannot be reached") from error
            except Neo4jError as error:
                if not is_conflict(error.code):
                    raise UpstreamError(
                        f"The graph store refused a statement: {error.message}", dependency="graph", reason=error.code
                    ) from error
                conflicts += 1
                if time.monotonic() > deadline and conflicts >= _LEAST_TRIES:
                    raise ConflictError(
                        f"Other writers of the graph came first for {self._conflict_timeout:g} s. Try again later.",
                        code="graph_contended",
                        retryable=True,
                    ) from error
                time.sleep(random.uniform(0, pause))  # noqa: S311  jitter, not a secret
                pause = min(pause * 2, _LONGEST_PAUSE)
            except DriverError as error:
                raise _unavailable("has no free connection, or broke one") from error


def _unavailable(what: str) -> UnavailableError:
    return UnavailableError(
        f"The graph store {what}. Check that it runs and that AIW_GRAPH__URL points to it.",
        dependency="graph",
    )
