"""The AI layer as Dagster resources: ops and assets ask for `dg.ResourceParam[AiCalls]` and `dg.ResourceParam[Embedder]`."""

import os
from functools import cache
from typing import Literal

import dagster as dg
from pydantic import Field

from resources.ai.build import AiOptions, build_ai
from resources.ai.embedder import Embedder
from resources.ai.memory import HashingEmbedder
from resources.ai.minilm import MiniLmEmbedder
from resources.ai.pipeline import AiCalls
from resources.database.resource import shared_database


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


class AiResource(dg.ConfigurableResource[AiCalls]):
    """Calls of models, in the books and on the budgets of the platform's PostgreSQL database."""

    url: str = Field(description="postgresql://user:password@host:port/database")
    options: str = Field(
        default="{}", description="AiOptions as JSON. It holds keys: give it as dg.EnvVar, which the UI does not show"
    )
    pool_size: int = Field(default=4, description="Connections that one process opens at most")

    def create_resource(self, context: dg.InitResourceContext) -> AiCalls:
        del context
        return _calls(self.url, self.pool_size, self.options, os.getpid())


@cache
def _calls(url: str, pool_size: int, options: str, process: int) -> AiCalls:
    """One a process: it holds clients of providers, and windows of their limits."""
    del process
    return build_ai(shared_database(url, pool_size), AiOptions.model_validate_json(options))
