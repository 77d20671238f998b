"""The database as a Dagster resource: ops and assets ask for `dg.ResourceParam[Database]`."""

from functools import lru_cache

import dagster as dg
from pydantic import Field

from resources.database.postgres import Database


@lru_cache(maxsize=8)
def shared_database(url: str, pool_size: int) -> Database:
    """One a process: runs are many and short, and opening connections takes longer than most of what they do with them."""
    return Database(url, pool_size=pool_size, application_name="aiw-run")


class DatabaseResource(dg.ConfigurableResource[Database]):
    """A pool of connections to the platform's PostgreSQL database."""

    url: str = Field(description="postgresql://user:password@host:port/database")
    pool_size: int = Field(default=4, description="Connections that one process opens at most")

    def create_resource(self, context: dg.InitResourceContext) -> Database:
        del context
        return shared_database(self.url, self.pool_size)
