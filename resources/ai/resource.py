"""The AI layer as Dagster resources: ops and assets ask for `dg.ResourceParam[AiCalls]` and `dg.ResourceParam[Embedder]`."""

import os
from collections.abc import Callable
from functools import cache
from typing import Literal

import dagster as dg
from pydantic import Field

from resources.ai.accounts import AiAccounts
from resources.ai.build import AiOptions, build_ai
from resources.ai.directory import OwnKeys
from resources.ai.embedder import Embedder
from resources.ai.memory import HashingEmbedder
from resources.ai.minilm import MiniLmEmbedder
from resources.ai.pipeline import AiCalls
from resources.database.postgres import Database
from resources.database.resource import shared_database

POOL_SIZE = 4


@cache
def embedder(model: Literal["minilm", "hashing"] = "minilm", *, threads: int = 1) -> Embedder:
    """This process's embedder of that configuration: a warm worker loads the model once, not once a run."""
    match model:
        case "minilm":
            return MiniLmEmbedder(threads=threads)
        case "hashing":
            return HashingEmbedder()


class EmbedderResource(dg.ConfigurableResource[Embedder]):
    """An embedding model that runs inside the worker."""

    model: Literal["minilm", "hashing"] = Field(
        default="minilm", description="minilm = all-MiniLM-L6-v2, offline; hashing = no model, for tests only"
    )
    threads: int = Field(default=1, ge=1, description="Cores that one call may use; several workers share the machine")

    def create_resource(self, context: dg.InitResourceContext) -> Embedder:
        del context
        return embedder(self.model, threads=self.threads)


class AccountsResource(dg.ConfigurableResource[AiAccounts]):
    """Books, budgets, prices and usage of calls, for who looks at them."""

    url: str = Field(description="postgresql:// address of the database")

    def create_resource(self, context: dg.InitResourceContext) -> AiAccounts:
        del context
        return AiAccounts.open(shared_database(self.url, POOL_SIZE))


def ai_resource(options: AiOptions, *, own_keys: Callable[[Database], OwnKeys] | None = None) -> dg.ResourceDefinition:
    """Calls of models, in the books and on the budgets of the platform's PostgreSQL database.

    `options` hold keys: they stay in this process, and are no configuration that the UI could show. `own_keys` finds those that
    tenants have of their own.
    """

    @dg.resource(
        config_schema={"url": dg.StringSource}, description="Calls of models: paid once, priced, within budgets"
    )
    def ai(context: dg.InitResourceContext) -> AiCalls:
        url: str = context.resource_config["url"]
        process = (url, os.getpid())
        if process not in calls:
            calls.clear()
            database = shared_database(url, POOL_SIZE)
            calls[process] = build_ai(database, options, own_keys=own_keys(database) if own_keys else None)
        return calls[process]

    # One a process: it holds clients of providers, and windows of their limits.
    calls: dict[tuple[str, int], AiCalls] = {}
    return ai.configured({"url": {"env": "AIW_DATABASE__URL"}})
