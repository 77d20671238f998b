"""What node types call other machines through, and backfills, as Dagster resources."""

from functools import cache

import dagster as dg
from pydantic import Field

from resources.ai.egress import EgressPolicy
from resources.database.resource import shared_database
from resources.workflows.postgres import PostgresBackfills
from resources.workflows.web import WebClient


@cache
def web_client(allowed: tuple[str, ...] = ()) -> WebClient:
    """This process's client: its circuit breakers remember from run to run."""
    return WebClient(EgressPolicy.model_validate({"allowed": allowed}))


class WebResource(dg.ConfigurableResource[WebClient]):
    """HTTP to public addresses, and to the networks that the operator allows."""

    allowed: list[str] = Field(default=[], description="Networks besides the public ones, such as 10.0.0.0/8")

    def create_resource(self, context: dg.InitResourceContext) -> WebClient:
        del context
        return web_client(tuple(self.allowed))


class BackfillsResource(dg.ConfigurableResource[PostgresBackfills]):
    """What was asked to be started for the past."""

    url: str = Field(description="postgresql://user:password@host:port/database")

    def create_resource(self, context: dg.InitResourceContext) -> PostgresBackfills:
        del context
        return PostgresBackfills(shared_database(self.url, 4))
