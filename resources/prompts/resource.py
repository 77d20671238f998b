"""The library of prompts as a Dagster resource: ops and sensors ask for `dg.ResourceParam[PromptLibrary]`."""

from functools import lru_cache

import dagster as dg
from pydantic import Field

from resources.database.resource import shared_database
from resources.events.postgres import PostgresEventStore
from resources.prompts.bundled import bundled_prompts
from resources.prompts.engine import PromptEngine
from resources.prompts.library import PromptLibrary


class PromptLibraryResource(dg.ConfigurableResource[PromptLibrary]):
    """Prompts that come with the platform, and those of tenants."""

    url: str = Field(description="postgresql://user:password@host:port/database")
    pool_size: int = Field(default=4, description="Connections that one process opens at most")

    def create_resource(self, context: dg.InitResourceContext) -> PromptLibrary:
        del context
        return _library(self.url, self.pool_size)


@lru_cache(maxsize=8)
def _library(url: str, pool_size: int) -> PromptLibrary:
    events = PostgresEventStore(shared_database(url, pool_size))
    return PromptLibrary(events, PromptEngine(), bundled=bundled_prompts())
