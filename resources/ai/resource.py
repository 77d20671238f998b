"""The embedding model as a Dagster resource: ops and assets ask for `dg.ResourceParam[Embedder]`."""

from functools import cache
from typing import Literal

import dagster as dg
from pydantic import Field

from resources.ai.embedder import Embedder
from resources.ai.memory import HashingEmbedder
from resources.ai.minilm import MiniLmEmbedder


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
