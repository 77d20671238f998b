"""The database as a Dagster resource: ops and assets ask for `dg.ResourceParam[Database]`."""

import dagster as dg
from pydantic import Field

from resources.database.postgres import Database


class DatabaseResource(dg.ConfigurableResource[Database]):
    """A pool of connections to the platform's PostgreSQL database."""

    url: str = Field(description="postgresql://user:password@host:port/database")
    pool_size: int = Field(default=4, description="Connections that one process opens at most")

    def create_resource(self, context: dg.InitResourceContext) -> Database:
        del context
        return Database(self.url, pool_size=self.pool_size, application_name="aiw-run")
