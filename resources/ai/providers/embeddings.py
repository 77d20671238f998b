"""An embedding model inside of this process (`resources/ai/embedder.py`) as a provider."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from resources.ai.model import Embeddings
from resources.ai.provider import ProviderRefusedError

if TYPE_CHECKING:
    from resources.ai.embedder import Embedder
    from resources.ai.model import EmbedRequest


class LocalEmbeddings:
    """Vectors without a network and without cost. The model is the embedder's own `model_id`, or its name before the @."""

    def __init__(self, embedder: Embedder, *, name: str = "local") -> None:
        self.name: Final = name
        self._embedder = embedder

    async def embed(self, request: EmbedRequest) -> Embeddings:
        known = self._embedder.model_id
        if request.model not in {known, known.partition("@")[0]}:
            raise ProviderRefusedError(
                f"{self.name!r} has no embedding model {request.model!r}, only {known!r}.", code="model_unknown"
            )
        if request.dimensions not in {None, self._embedder.dimensions}:
            raise ProviderRefusedError(
                f"{known!r} gives {self._embedder.dimensions} dimensions, not {request.dimensions}.",
                code="provider_refused",
            )
        vectors = await asyncio.to_thread(self._embedder.embed, request.texts)
        return Embeddings(
            vectors=tuple(tuple(row) for row in vectors.tolist()), usage=None, provider=self.name, model=known
        )

    async def close(self) -> None:
        """The model is shared with the rest of the process."""
