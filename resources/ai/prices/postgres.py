"""Price overrides in PostgreSQL (migration 0030)."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from resources.ai.prices.model import PriceOverride
from resources.events.postgres import AS_SYSTEM, AS_TENANT, in_our_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from resources.database.postgres import Connection, Database

_COLUMNS = (
    """provider, model, effective_from, input_mtok, output_mtok, cache_read_mtok, cache_write_mtok, tenant, note"""
)
_ADD = f"INSERT INTO aiw.ai_price ({_COLUMNS}) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) RETURNING version"
_LIST = f"SELECT {_COLUMNS}, version FROM aiw.ai_price WHERE tenant IS NULL OR tenant = %s ORDER BY version"


class PostgresPrices:
    """Safe to share between threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, override: PriceOverride) -> PriceOverride:
        parameters = (
            override.provider,
            override.model,
            override.effective_from,
            override.input_mtok,
            override.output_mtok,
            override.cache_read_mtok,
            override.cache_write_mtok,
            override.tenant,
            override.note,
        )
        with self._visible_to(override.tenant) as connection:
            (version,) = connection.execute(_ADD, parameters).fetchone() or (None,)
        return replace(override, version=version)

    def list(self, *, tenant: str | None) -> Sequence[PriceOverride]:
        with self._visible_to(tenant) as connection:
            return [PriceOverride(*row) for row in connection.execute(_LIST, (tenant,))]

    @contextmanager
    def _visible_to(self, tenant: str | None) -> Iterator[Connection]:
        with self._database.transaction() as connection, in_our_words():
            if tenant is None:
                connection.execute(AS_SYSTEM)
            else:
                connection.execute(AS_TENANT, (tenant,))
            yield connection
