"""The vectors of concepts' names: computed once for each name, and kept in the graph for all who compare meanings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from resources.knowledge.dialects import DIMENSIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from resources.ai.embedder import Embedder
    from resources.knowledge.model import Concept
    from resources.knowledge.store import GraphStore

_BATCH: Final = 256


class ConceptVectors:
    """Vectors of names by one model. Safe to share between threads if the embedder is."""

    def __init__(self, store: GraphStore, embedder: Embedder) -> None:
        self._store = store
        self._embedder = embedder

    def of(self, concepts: Sequence[Concept], *, tenant: str) -> tuple[NDArray[np.float32], int]:
        """A row for each concept, and how many of them had to be computed; these are kept from now on.

        Those of a model of other dimensions than the store's index are computed each time.
        """
        model_id = self._embedder.model_id
        kept = self._store.vectors([concept.id for concept in concepts], model_id=model_id, tenant=tenant)
        missing = [concept for concept in concepts if concept.id not in kept]
        for start in range(0, len(missing), _BATCH):
            batch = missing[start : start + _BATCH]
            rows = self._embedder.embed([concept.name for concept in batch])
            new = {concept.id: row for concept, row in zip(batch, rows, strict=True)}
            if self._embedder.dimensions == DIMENSIONS:
                self._store.write_vectors(new, model_id=model_id, tenant=tenant)
            kept |= new
        if not concepts:
            return np.empty((0, self._embedder.dimensions), np.float32), 0
        return np.stack([kept[concept.id] for concept in concepts]), len(missing)
