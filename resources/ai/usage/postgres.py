"""Usage from the table of calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resources.ai.ledger.postgres import COLUMNS, as_record
from resources.ai.usage.model import Bucket
from resources.events.postgres import AS_TENANT, in_our_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from resources.ai.ledger.model import CallRecord
    from resources.ai.usage.model import Granularity
    from resources.database.postgres import Database

_SHORT_TOKENS = 100
_PAGE = 2000
_BUCKETS = f"""SELECT date_trunc(%(granularity)s, created_at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC', provider, model, user_id,
        workflow, count(*), count(*) FILTER (WHERE memo = 'hit'),
        count(*) FILTER (WHERE outcome IN ('failed', 'cancelled', 'lost')),
        count(*) FILTER (WHERE memo <> 'hit' AND coalesce(input_tokens, 0) + coalesce(output_tokens, 0) < {_SHORT_TOKENS}),
        count(*) FILTER (WHERE cost IS NULL),
        coalesce(sum(input_tokens), 0)::bigint, coalesce(sum(output_tokens), 0)::bigint, coalesce(sum(cost), 0),
        coalesce(sum(saved_cost), 0), count(latency_ms) FILTER (WHERE memo <> 'hit'),
        coalesce(sum(latency_ms) FILTER (WHERE memo <> 'hit'), 0),
        coalesce(sum(output_tokens) FILTER (WHERE memo <> 'hit' AND latency_ms IS NOT NULL), 0)::bigint
    FROM aiw.ai_calls
    WHERE tenant = %(tenant)s AND kind <> 'tool' AND created_at >= %(since)s AND created_at < %(until)s
    GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5"""
_RECORDS = f"""SELECT {COLUMNS} FROM aiw.ai_calls
    WHERE tenant = %(tenant)s AND created_at >= %(since)s AND created_at < %(until)s
        AND (created_at, call_id) > (%(after)s, %(after_id)s)
    ORDER BY created_at, call_id LIMIT {_PAGE}"""
_FIRST_ID = "00000000-0000-0000-0000-000000000000"


class PostgresUsage:
    """Safe to share between threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def buckets(self, granularity: Granularity, *, tenant: str, since: datetime, until: datetime) -> Sequence[Bucket]:
        parameters = {"granularity": granularity, "tenant": tenant, "since": since, "until": until}
        with self._database.transaction() as connection, in_our_words():
            connection.execute(AS_TENANT, (tenant,))
            rows = connection.execute(_BUCKETS, parameters).fetchall()
        names = tuple(Bucket.model_fields)
        return [Bucket.model_validate(dict(zip(names, row, strict=True))) for row in rows]

    def records(self, *, tenant: str, since: datetime, until: datetime) -> Iterator[CallRecord]:
        after, after_id = since, _FIRST_ID
        while True:
            parameters = {"tenant": tenant, "since": since, "until": until, "after": after, "after_id": after_id}
            with self._database.transaction() as connection, in_our_words():
                connection.execute(AS_TENANT, (tenant,))
                page = [as_record(tenant, row) for row in connection.execute(_RECORDS, parameters)]
            yield from page
            if len(page) < _PAGE:
                return
            after, after_id = page[-1].created_at, str(page[-1].call_id)
