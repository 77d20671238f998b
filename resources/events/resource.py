"""The event store as a Dagster resource: ops and sensors ask for `dg.ResourceParam[EventStore]`."""

from functools import lru_cache

import dagster as dg
from pydantic import Field

from resources.database.postgres import Database
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
    """One a process: runs are many and short, and opening a connection takes longer than most of what they do with it."""
    return PostgresEventStore(Database(url, pool_size=pool_size, application_name="aiw-events"))
