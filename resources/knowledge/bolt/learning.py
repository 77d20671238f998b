"""What a graph on a Bolt server holds beside concepts: lessons, passages, vectors, paths that are kept, and learners."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from resources.errors import NotFoundError, UpstreamError
from resources.knowledge import queries, weaving
from resources.knowledge.bolt.neo4j import BoltServer
from resources.knowledge.contribution import roots_of
from resources.knowledge.model import Edge, Merge, SavedPath, StepResource
from resources.knowledge.state import ChunkNames

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from numpy.typing import NDArray

    from resources.knowledge.state import LearnerProgress
    from resources.knowledge.weaving import Row

_OVERHEAD: Final = 8
"""So many times more is asked of an index than is wanted, because it does not know whose is what."""
_WORDS: Final = re.compile(r"\w+")


class BoltLearning(BoltServer):
    """The half of a GraphStore that is about learners and what they learn from."""

    def resources(self, wanted: Mapping[str, Collection[str]], *, tenant: str) -> dict[str, list[StepResource]]:
        """For each concept those of its documents that are to be read, the one most about it first."""
        found: dict[str, list[StepResource]] = {concept: [] for concept in wanted}
        pairs = [{"concept": key, "document": one} for key in sorted(wanted) for one in sorted(set(wanted[key]))]
        for row in self._each(queries.RESOURCES, pairs, tenant=tenant):
            spans = zip(row.pop("begins") or (), row.pop("ends") or (), strict=True)
            found[row.pop("concept")].append(StepResource(**row, passages=tuple(spans)))
        for several in found.values():
            several.sort(key=lambda one: (-one.weight, one.document_id))
        return found

    def named_in(self, document_id: str, *, tenant: str) -> Sequence[ChunkNames]:
        """The document's passages with the concepts that each names, in order."""
        rows = self._read(queries.NAMED_IN, tenant=tenant, document=document_id)
        found = [
            ChunkNames(row["ordinal"], row["begins"], row["ends"], tuple(sorted(set(row["concepts"])))) for row in rows
        ]
        return sorted(found, key=lambda one: one.ordinal)

    # --- paths that are kept, and learners ---------------------------------------------------------------------------

    def put_path(self, path: SavedPath, *, tenant: str) -> None:
        """Keep a path, in place of the one with its id."""
        self._write(lambda tx: weaving.put_path(tx, path, tenant=tenant))

    def path(self, path_id: str, *, tenant: str) -> SavedPath:
        """A path that is kept. Raises NotFoundError."""
        rows = self._read(queries.PATH, tenant=tenant, id=path_id)
        if not rows:
            raise NotFoundError(f"There is no learning path {path_id!r}.", code="path_not_found")
        return SavedPath.model_validate_json(rows[0]["path"])

    def paths(self, *, tenant: str, over: str | None = None) -> Sequence[SavedPath]:
        """The paths that are kept, or those of them that lead over a concept (an id), in order of name."""
        rows = (
            self._read(queries.PATHS, tenant=tenant)
            if over is None
            else self._read(queries.PATHS_OVER, tenant=tenant, id=over)
        )
        found = [SavedPath.model_validate_json(row["path"]) for row in rows]
        return sorted(found, key=lambda path: (path.name, path.id))

    def drop_path(self, path_id: str, *, tenant: str) -> bool:
        """Keep the path no longer. False when it was not there."""
        rows = self._change(queries.DELETE_PATH, tenant=tenant, id=path_id)
        return bool(rows and rows[0]["gone"])

    def put_progress(self, said: Collection[LearnerProgress], *, tenant: str) -> None:
        """Keep how far users have come, in place of what is kept of these users and concepts."""
        if said:
            self._write(lambda tx: weaving.put_progress(tx, said, tenant=tenant))

    def drop_progress(self, user: str, concept: str, *, tenant: str) -> None:
        """As if the user had said nothing of the concept."""
        self._change(queries.DELETE_PROGRESS, tenant=tenant, user=user, concept=concept)

    def learners(self, concept_id: str, *, tenant: str) -> dict[str, int]:
        """How many users have said what of a concept, by status."""
        return {row["status"]: row["total"] for row in self._read(queries.LEARNERS, tenant=tenant, id=concept_id)}

    # --- vectors and words -------------------------------------------------------------------------------------------

    def write_vectors(self, vectors: Mapping[str, NDArray[np.float32]], *, model_id: str, tenant: str) -> None:
        """Keep the vectors of concepts' names beside them. Not a change of the graph; unknown concepts are left out."""
        rows: list[Row] = [{"id": key, "vector": vector.tolist()} for key, vector in sorted(vectors.items())]
        for start in range(0, len(rows), weaving.BATCH):
            batch = rows[start : start + weaving.BATCH]
            self._change(queries.WRITE_VECTORS, tenant=tenant, model=model_id, rows=batch)

    def vectors(self, concept_ids: Collection[str], *, model_id: str, tenant: str) -> dict[str, NDArray[np.float32]]:
        """The vectors of these concepts' names by that model, as far as they are kept."""
        ids: list[Row] = [{"id": key} for key in sorted(set(concept_ids))]
        found: dict[str, NDArray[np.float32]] = {}
        for start in range(0, len(ids), weaving.BATCH):
            batch = ids[start : start + weaving.BATCH]
            for row in self._read(queries.VECTORS, tenant=tenant, model=model_id, rows=batch):
                found[row["id"]] = np.asarray(row["vector"], np.float32)
        return found

    def nearest(
        self, vector: NDArray[np.float32], *, model_id: str, tenant: str, limit: int = 10
    ) -> list[tuple[str, float]]:
        """The concepts whose names are nearest in meaning, with the cosine, the nearest first."""
        asked: dict[str, Any] = {"tenant": tenant, "model": model_id, "vector": vector.tolist(), "limit": limit}
        rows: list[Row] = []
        try:
            rows = self._read(queries.NEAREST, index=self._dialect().vectors, asked=limit * _OVERHEAD, **asked)
        except UpstreamError:
            rows = []  # there is no index, or it has not been filled: what follows needs none
        if len(rows) < limit:
            rows = self._read(queries.COMPARED, **asked)
        scored = [(row["id"], float(np.asarray(row["vector"], np.float32) @ vector)) for row in rows]
        return sorted(scored, key=lambda item: (-item[1], item[0]))[:limit]

    def matching(self, text: str, *, tenant: str, limit: int = 10) -> list[str]:
        """The concepts whose names share words with the text, those that share the rarest first."""
        words = " ".join(dict.fromkeys(_WORDS.findall(text.casefold())))
        if not words:
            return []
        try:
            rows = self._read(queries.MATCHING, index=self._dialect().words, words=words, tenant=tenant, limit=limit)
        except UpstreamError:
            return []  # there is no such index
        return [row["id"] for row in rows]

    # --- prerequisites that were cut -----------------------------------------------------------------------------------

    def write_cuts(self, edges: Sequence[Edge], *, tenant: str) -> None:
        """Keep the prerequisites that are left out so that none closes a cycle, in place of those before."""
        told = json.dumps([edge.model_dump(mode="json") for edge in edges])
        self._change(queries.SAVE_CUTS, tenant=tenant, cut=told)

    def cuts(self, *, tenant: str) -> list[Edge]:
        """What `write_cuts` kept last."""
        rows = self._read(queries.CUTS, tenant=tenant)
        return [Edge.model_validate(edge) for row in rows for edge in json.loads(row["cut"] or "[]")]

    def merges(self, *, tenant: str) -> Sequence[Merge]:
        """The log of merges, the newest decision first."""
        rows = self._read(queries.MERGES, tenant=tenant)
        found = [Merge.model_validate_json(row["merge"]) for row in rows]
        return sorted(found, key=lambda merge: (merge.at, merge.id), reverse=True)

    def _roots(self, tenant: str) -> dict[str, str]:
        return roots_of(self.merges(tenant=tenant))
