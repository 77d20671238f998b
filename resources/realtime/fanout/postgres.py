"""News by PostgreSQL's NOTIFY: in the commit of what they are about, or by themselves."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import orjson

from resources.errors import PlatformError
from resources.realtime.fanout.listener import CHANNEL, Listener
from resources.telemetry.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from resources.database.postgres import Connection, Database
    from resources.realtime.model import Notice
    from resources.realtime.store import Fanout

log = get_logger(__name__)

_NOTIFY = f"SELECT pg_notify('{CHANNEL}', payload) FROM unnest(%s::text[]) AS payload"


class PostgresFanout:
    """What hears also of events and of runs, which are told by NOTIFY in any case."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._listener = Listener(database)

    def tell(self, notices: Collection[Notice]) -> None:
        if notices:
            with self._database.transaction() as connection:
                _notify(connection, notices)

    def watch(self, notice: Callable[[Sequence[Notice]], None]) -> Callable[[], None]:
        return self._listener.watch(notice)

    def close(self) -> None:
        self._listener.close()


class Changes:
    """Transactions whose news are told: by NOTIFY in their commit, or by another fanout right behind it."""

    def __init__(self, database: Database, what: str, fanout: Fanout | None) -> None:
        """`what` is what errors say was asked for."""
        self._database = database
        self._what = what
        self._fanout = fanout

    @contextmanager
    def of(self, tenant: str | None) -> Iterator[tuple[Connection, list[Notice]]]:
        """A transaction of the tenant (None = of the platform) and a list for what is to be told of it."""
        news: list[Notice] = []
        with self._database.scoped(tenant, self._what) as connection:
            yield connection, news
            if news and self._fanout is None:
                _notify(connection, news)
        if news and self._fanout is not None:
            tell_gently(self._fanout, news)


def tell_gently(fanout: Fanout, news: Collection[Notice]) -> None:
    """Tell of what is stored already. That it cannot be told delays it and is no failure: who reads, looks now and then."""
    try:
        fanout.tell(news)
    except PlatformError as error:
        log.warning("realtime.not_told", notices=len(news), error=error.message)


def _notify(connection: Connection, notices: Collection[Notice]) -> None:
    connection.execute(_NOTIFY, ([encode(notice).decode() for notice in notices],))


def encode(notice: Notice) -> bytes:
    """A notice as it travels; `listener.decode` reads it."""
    return orjson.dumps([notice.kind, notice.tenant, notice.ids])
