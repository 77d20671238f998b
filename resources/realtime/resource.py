"""Publishing as a Dagster resource: sensors and ops ask for `dg.ResourceParam[Publisher]`."""

from functools import lru_cache

import dagster as dg
from pydantic import Field

from resources.database.resource import shared_database
from resources.realtime.postgres import PostgresMessages
from resources.realtime.publisher import Publisher
from resources.realtime.rules.model import Router
from resources.realtime.rules.postgres import PostgresRealtimeRules


class PublisherResource(dg.ConfigurableResource[Publisher]):
    """Publishes messages to realtime topics."""

    url: str = Field(description="postgresql://user:password@host:port/database")
    pool_size: int = Field(default=4, description="Connections that one process opens at most")

    def create_resource(self, context: dg.InitResourceContext) -> Publisher:
        del context
        return _publisher(self.url, self.pool_size)


@lru_cache(maxsize=8)
def _publisher(url: str, pool_size: int) -> Publisher:
    database = shared_database(url, pool_size)
    return Publisher(PostgresMessages(database), Router(PostgresRealtimeRules(database)))
