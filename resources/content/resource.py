"""The content stores as Dagster resources: ops ask for `dg.ResourceParam[DocumentStore]` or `dg.ResourceParam[ChunkIndex]`."""

import dagster as dg
from pydantic import Field

from resources.content.jobs.postgres import PostgresAnalysisJobs
from resources.content.postgres import PostgresChunkIndex, PostgresDocumentStore
from resources.database.resource import shared_database

_URL = Field(description="postgresql://user:password@host:port/database")
_POOL_SIZE = Field(default=4, description="Connections that one process opens at most")


class DocumentStoreResource(dg.ConfigurableResource[PostgresDocumentStore]):
    """Documents in the platform's PostgreSQL database."""

    url: str = _URL
    pool_size: int = _POOL_SIZE

    def create_resource(self, context: dg.InitResourceContext) -> PostgresDocumentStore:
        del context
        return PostgresDocumentStore(shared_database(self.url, self.pool_size))


class ChunkIndexResource(dg.ConfigurableResource[PostgresChunkIndex]):
    """Chunks and their vectors in the platform's PostgreSQL database."""

    url: str = _URL
    pool_size: int = _POOL_SIZE

    def create_resource(self, context: dg.InitResourceContext) -> PostgresChunkIndex:
        del context
        return PostgresChunkIndex(shared_database(self.url, self.pool_size))


class AnalysisJobsResource(dg.ConfigurableResource[PostgresAnalysisJobs]):
    """Analyses that were asked for, in the platform's PostgreSQL database."""

    url: str = _URL
    pool_size: int = _POOL_SIZE

    def create_resource(self, context: dg.InitResourceContext) -> PostgresAnalysisJobs:
        del context
        return PostgresAnalysisJobs(shared_database(self.url, self.pool_size))
