"""Plugins as a Dagster resource: ops ask for `dg.ResourceParam[Plugins]`."""

from functools import lru_cache

import dagster as dg
from pydantic import Field

from resources.database.resource import shared_database
from resources.events.postgres import PostgresEventStore
from resources.plugins.library import Plugins
from resources.plugins.postgres import PostgresPlugins
from resources.plugins.wasmtime import WasmtimeRuntime


class PluginsResource(dg.ConfigurableResource[Plugins]):
    """Runs the plugins that the tenant has installed."""

    url: str = Field(description="postgresql://user:password@host:port/database")
    pool_size: int = Field(default=4, description="Connections that one process opens at most")

    def create_resource(self, context: dg.InitResourceContext) -> Plugins:
        del context
        return _plugins(self.url, self.pool_size)


@lru_cache(maxsize=8)
def _plugins(url: str, pool_size: int) -> Plugins:
    database = shared_database(url, pool_size)
    return Plugins(
        PostgresPlugins(database), WasmtimeRuntime(), PostgresEventStore(database), together=database.together
    )
