"""The graph store as a Dagster resource: ops and assets ask for `dg.ResourceParam[GraphStore]`."""

from functools import cache

import dagster as dg
from pydantic import Field

from resources.knowledge.neo4j import BoltGraphStore
from resources.knowledge.store import GraphStore


@cache
def graph_store(url: str, user: str, password: str, database: str, *, pool_size: int = 4) -> GraphStore:
    """This process's store of that address: a warm worker connects once, not once a run. Survives a fork."""
    return BoltGraphStore(url, user=user, password=password, database=database, pool_size=pool_size)


class GraphStoreResource(dg.ConfigurableResource[GraphStore]):
    """The knowledge graph, over Bolt: ArcadeDB (embedded) or Neo4j."""

    url: str = Field(description="bolt://host:port, neo4j://… or neo4j+s://…")
    user: str = Field(default="root", description="User name")
    password: str = Field(description="Password; give it as dg.EnvVar, so that the UI does not show it")
    database: str = Field(default="graph", description="Database name; always sent, never left to the server")
    pool_size: int = Field(default=4, ge=1, description="Connections that one process opens at most")

    def create_resource(self, context: dg.InitResourceContext) -> GraphStore:
        del context
        return graph_store(self.url, self.user, self.password, self.database, pool_size=self.pool_size)
