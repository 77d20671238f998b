"""What the database knows of the state of the whole platform, for its metrics: of all tenants together, and of none by name.

A handful of statements, each on an index and bounded: by what waits or runs, by the number of budgets, by a limit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from resources.database.postgres import AS_SYSTEM, in_our_words

if TYPE_CHECKING:
    from resources.database.postgres import Connection, Database

SECONDS: Final = 2.0
"""How long each statement may take."""

MOST_CAPABILITIES: Final = 100

_TIMEOUT = "SELECT set_config('statement_timeout', %s, true)"
_HEAD = "SELECT coalesce(max(position), 0) FROM aiw.event"
_LAGS = """SELECT p.name, greatest(0, %s - g.position) FROM aiw.projection p
    JOIN aiw.projection_generation g ON g.projection = p.name AND g.generation = p.active"""
_LETTERS = """SELECT s.name, count(l.id) FROM aiw.subscription s
    LEFT JOIN aiw.dead_letter l ON l.subscription = s.name AND l.status IN ('failed', 'retrying') GROUP BY s.name"""
_RUNS = "SELECT CASE WHEN host IS NULL THEN 'waiting' ELSE 'running' END, count(*) FROM aiw.run_queue GROUP BY 1"
# Windows that slide are told by their buckets, which are at most an hour old.
_BUDGETS = """SELECT b.scope, b.unit, max(CASE WHEN b.amount > 0 THEN s.used / b.amount WHEN s.used > 0 THEN 1 ELSE 0 END)
    FROM aiw.ai_budget b CROSS JOIN LATERAL (
        SELECT sum(w.spent + w.reserved) AS used FROM aiw.ai_spend w WHERE w.budget_id = b.budget_id
            AND CASE WHEN b.period = ANY (ARRAY['minute', 'hour'])
                THEN w.period_start > now() - CASE b.period WHEN 'minute' THEN interval '1 minute' ELSE interval '1 hour' END
                ELSE w.period_start = aiw.ai_period_start(b.period, b.starts_at, b.ends_at, now()) END
        GROUP BY w.subject ORDER BY 1 DESC LIMIT 1
    ) AS s GROUP BY b.scope, b.unit"""
_AGENTS = """SELECT capability, count(*) FROM aiw.registered_agent a CROSS JOIN unnest(a.capabilities) AS capability
    WHERE a.last_seen > now() - %s * interval '1 second' GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT %s"""


class Figures(msgspec.Struct, frozen=True):
    """Numbers by what they are numbers of. `budgets`: the share of its limit that is spent, of that most spent of each scope and
    unit; `agents`: by capability, those that were heard of lately; `letters`: dead letters that wait for somebody.
    """

    head: int
    lags: dict[str, int]
    letters: dict[str, int]
    runs: dict[str, int]
    budgets: dict[tuple[str, str], float]
    agents: dict[str, int]


class PostgresFigures:
    """Safe to share between threads. `heard_within` seconds an agent must have told that it lives."""

    def __init__(self, database: Database, *, heard_within: float) -> None:
        self._database = database
        self._heard_within = heard_within

    def read(self) -> Figures:
        """All of them, as they are now. Raises UnavailableError, also when it takes too long."""
        with self._database.transaction() as connection, in_our_words("the figures of the platform"):
            connection.execute(AS_SYSTEM)
            connection.execute(_TIMEOUT, (f"{SECONDS:g}s",))
            (head,) = connection.execute(_HEAD).fetchone() or (0,)
            return Figures(
                head=head,
                lags=_pairs(connection, _LAGS, head),
                letters=_pairs(connection, _LETTERS),
                runs={"waiting": 0, "running": 0} | _pairs(connection, _RUNS),
                budgets={(scope, unit): float(share) for scope, unit, share in connection.execute(_BUDGETS)},
                agents=_pairs(connection, _AGENTS, self._heard_within, MOST_CAPABILITIES),
            )


def _pairs(connection: Connection, statement: str, *values: Any) -> dict[str, int]:
    return {name: int(number) for name, number in connection.execute(statement, values)}
