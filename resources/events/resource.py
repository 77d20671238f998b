"""The event store, and what is made from it, as Dagster resources: ops ask for `dg.ResourceParam[EventStore]` and so on."""

from functools import lru_cache

import dagster as dg
from pydantic import Field

from resources.database.resource import shared_database
from resources.events.postgres import PostgresEventStore
from resources.events.projections.postgres import PostgresProjections
from resources.events.routing.postgres import PostgresRules
from resources.events.subscriptions.postgres import PostgresSubscriptions


class EventStoreResource(dg.ConfigurableResource[PostgresEventStore]):
    """The event store in the platform's PostgreSQL database."""

    url: str = Field(description="postgresql://user:password@host:port/database")
    pool_size: int = Field(default=4, description="Connections that one process opens at most")

    def create_resource(self, context: dg.InitResourceContext) -> PostgresEventStore:
        del context
        return _store(self.url, self.pool_size)


class ProjectionStoreResource(dg.ConfigurableResource[PostgresProjections]):
    """The read models."""

    url: str = Field(description="postgresql://user:password@host:port/database")
    pool_size: int = Field(default=4, description="Connections that one process opens at most")

    def create_resource(self, context: dg.InitResourceContext) -> PostgresProjections:
        del context
        return PostgresProjections(shared_database(self.url, self.pool_size))


class RuleStoreResource(dg.ConfigurableResource[PostgresRules]):
    """The routing rules."""

    url: str = Field(description="postgresql://user:password@host:port/database")
    pool_size: int = Field(default=4, description="Connections that one process opens at most")

    def create_resource(self, context: dg.InitResourceContext) -> PostgresRules:
        del context
        return PostgresRules(shared_database(self.url, self.pool_size))


class SubscriptionStoreResource(dg.ConfigurableResource[PostgresSubscriptions]):
    """The durable subscriptions. For looking and handing over; workers have an instance each."""

    url: str = Field(description="postgresql://user:password@host:port/database")
    pool_size: int = Field(default=4, description="Connections that one process opens at most")

    def create_resource(self, context: dg.InitResourceContext) -> PostgresSubscriptions:
        del context
        return PostgresSubscriptions(shared_database(self.url, self.pool_size))


@lru_cache(maxsize=8)
def _store(url: str, pool_size: int) -> PostgresEventStore:
    return PostgresEventStore(shared_database(url, pool_size))
