"""Search by meaning: the question becomes a vector, its nearest chunks the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resources.errors import InvalidInputError, Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resources.ai.embedder import Embedder
    from resources.content.model import SearchHit
    from resources.content.store import ChunkIndex

MAX_QUERY = 1000
MAX_LIMIT = 100


class SearchService:
    """Finds passages. Safe for threads if the embedder is."""

    def __init__(self, embedder: Embedder, index: ChunkIndex) -> None:
        self._embedder = embedder
        self._index = index

    def search(self, query: str, *, tenant: str, limit: int = 10) -> Sequence[SearchHit]:
        """The nearest passages, best first.

        Raises InvalidInputError for a blank query, one of more than 1,000 characters, or a limit outside of 1..100.
        """
        text = " ".join(query.split())
        problems = []
        if not text or len(text) > MAX_QUERY:
            problems.append(Problem("query", f"must have 1 to {MAX_QUERY} characters", f"it has {len(text)}"))
        if not 1 <= limit <= MAX_LIMIT:
            problems.append(Problem("limit", f"must be between 1 and {MAX_LIMIT}", f"it is {limit}"))
        if problems:
            raise InvalidInputError(
                "The search cannot be made: " + "; ".join(map(str, problems)) + ".",
                code="query_invalid",
                problems=tuple(problems),
            )
        vector = self._embedder.embed([text])[0]
        return self._index.search(vector, model_id=self._embedder.model_id, tenant=tenant, limit=limit)
