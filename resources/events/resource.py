"""The event store as a Dagster resource: ops and sensors ask for `dg.ResourceParam[EventStore]`."""

from functools import lru_cache

import dagster as dg
from pydantic import Field

from resources.database.resource import shared_database
from resources.events.postgres import PostgresEventStore


class EventStoreResource(dg.ConfigurableResource[PostgresEventStore]):
    """The event store in the platform's PostgreSQL database."""

    url: str = Field(description="postgresql://user:password@host:port/database")
    pool_size: int = Field(default=4, description="Connections that one process opens at most")

    def create_resource(self, context: dg.InitResourceContext) -> PostgresEventStore:
        del context
        return _store(self.url, self.pool_size)


@lru_cache(maxsize=8)
def _store(url: str, pool_size: int) -> PostgresEventStore:
    return PostgresEventStore(shared_database(url, pool_size))
