"""The logs of runs, as Dagster keeps them in PostgreSQL."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any

import orjson

from resources.database.postgres import in_our_words
from resources.events.model import DEFAULT_TENANT
from resources.realtime.model import RUN_TENANT_TAG, RunEntry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resources.database.postgres import Database

_RUN_LOG = """SELECT e.id, e.event, e."timestamp", e.step_key, e.dagster_event_type, t.value FROM dagster.event_logs e
    LEFT JOIN dagster.run_tags t ON t.run_id = e.run_id AND t.key = %(tag)s
    WHERE e.run_id = %(run)s AND e.id > %(after)s AND e.id <= %(up_to)s ORDER BY e.id LIMIT 1000"""


class PostgresRunLog:
    """Dagster's log of runs, in the schema `dagster` of the same database. Reads it, and nothing else."""

    def __init__(self, database: Database, *, default_tenant: str = DEFAULT_TENANT) -> None:
        self._database = database
        self._default_tenant = default_tenant

    def read(self, run_id: str, *, after: int, up_to: int) -> Sequence[RunEntry]:
        """Entries of a run above `after`, in order, a thousand at most. Raises UnavailableError, UpstreamError."""
        wanted = {"run": run_id, "after": after, "up_to": up_to, "tag": RUN_TENANT_TAG}
        with self._database.transaction() as connection, in_our_words("the logs of runs"):
            rows = connection.execute(_RUN_LOG, wanted).fetchall()
        return [_entry(row, self._default_tenant) for row in rows]


def _entry(row: Sequence[Any], default_tenant: str) -> RunEntry:
    entry_id, event, at, step, kind, tenant = row
    known = orjson.loads(event)
    told = known.get("dagster_event") or {}
    content = {
        "event": "dagster.log" if kind is None else f"dagster.{kind.lower()}",
        "step": step,
        "level": known.get("level"),
        "message": known.get("user_message") or told.get("message"),
    }
    return RunEntry(entry_id, tenant or default_tenant, at.replace(tzinfo=UTC), content)
