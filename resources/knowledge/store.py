"""The graph store's port."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from resources.knowledge.model import (
        Concept,
        ConceptView,
        Edge,
        EdgeType,
        Extraction,
        GraphCounts,
        Merge,
        SavedPath,
        StepResource,
        Support,
    )
    from resources.knowledge.state import Changes, ChunkNames, EdgeKey, GraphState, LearnerProgress, Scores


class GraphStore(Protocol):
    """Concepts and edges of all tenants, each supported by documents, or by what a person states.

    The promise: `weave` replaces exactly what the document supported before; a concept or an edge lives as long as at
    least one document supports it. No verb of one tenant ever sees or changes another's graph. Verbs raise
    UnavailableError when the store cannot be reached.
    """

    def prepare(self) -> None:
        """Create constraints and indexes where they are missing."""

    def weave(self, extraction: Extraction, *, tenant: str) -> bool:
        """Make `extraction` the document's whole contribution. Returns whether it says anything new.

        Repeating it changes nothing: what another run has read before stays as that run's.
        """

    def retract(self, document_id: str, *, tenant: str) -> bool:
        """Remove the document's contribution, and whatever no other document supports; whether there was one."""

    def revise(self, document_id: str, make: Callable[[Extraction | None], Extraction | None], *, tenant: str) -> bool:
        """As `weave` and `retract`, for who must see what was said before: `make` says what takes its place.

        Nobody changes it meanwhile; `make` may be asked more than once, and what it raises changes nothing.
        """

    def said(self, document_id: str, *, tenant: str) -> Extraction | None:
        """What the document contributes, or the person; None if it contributes nothing."""

    def curations(self, *, tenant: str) -> Sequence[Extraction]:
        """What people state of concepts, in order of id."""

    def forget(self, tenant: str) -> None:
        """Remove the tenant's whole graph, with its history. Repeat it if it fails."""

    def concept(self, concept_id: str, *, tenant: str) -> ConceptView:
        """One concept with its neighbours. Raises NotFoundError."""

    def find(self, text: str, *, tenant: str, limit: int = 10) -> Sequence[Concept]:
        """Concepts whose name contains `text` (case-insensitive): exact matches first, then shorter names."""

    def concepts(self, *, tenant: str) -> Sequence[Concept]:
        """All concepts, in order of id."""

    def edges(self, *, tenant: str, type: EdgeType | None = None) -> Sequence[Edge]:
        """All edges, in order of source, target and type; the weight is the highest that any document gave."""

    def documents_of(self, concept_ids: Collection[str], *, tenant: str) -> dict[str, list[str]]:
        """For each concept the documents that mention it, the one most about it first."""

    def support(
        self, source: str, target: str | None = None, type: EdgeType | None = None, *, tenant: str, limit: int = 100
    ) -> Sequence[Support]:
        """The documents that support the concept `source`, or the edge from it to `target`, in order of id.

        Empty for what is not there. `limit` keeps what everybody mentions from reading everything.
        """

    def supports(self, concept_ids: Collection[str], *, tenant: str, limit: int = 100) -> dict[str, list[Support]]:
        """For each concept the documents that support it, in order of id, `limit` of them at most."""

    def put_merge(self, merge: Merge, *, tenant: str) -> None:
        """Keep a decision in the log of merges, in place of the one with its id, and make the graph agree with it.

        A graph always equals one that is built from scratch with the merges that are in force.
        Raises InvalidInputError for a merge that would make a concept stand for itself.
        """

    def merges(self, *, tenant: str) -> Sequence[Merge]:
        """The log of merges, the newest decision first."""

    def revision(self, *, tenant: str) -> int:
        """A number that grows by one with each change of the tenant's graph; 0 before the first."""

    def state(self, *, tenant: str) -> GraphState:
        """The whole graph as plain data. It is at least as new as the revision it names."""

    def changes(self, *, since: int, tenant: str) -> Changes | None:
        """What was touched after that revision. None when that is not known any more, or too much to be told one by one."""

    def part(self, concepts: Collection[str], edges: Collection[EdgeKey], *, tenant: str) -> GraphState:
        """The named concepts and edges as they are now. Those that are not there any more are left out."""

    def write_scores(self, scores: Mapping[str, Scores], *, tenant: str) -> None:
        """Keep what was computed about concepts beside them. Not a change of the graph; unknown concepts are left out."""

    def scores(self, concept_ids: Collection[str], *, tenant: str) -> dict[str, Scores]:
        """What was last computed about these concepts."""

    def write_cuts(self, edges: Sequence[Edge], *, tenant: str) -> None:
        """Keep the prerequisites that are left out so that none closes a cycle, in place of those before.

        Not a change of the graph: documents still say them.
        """

    def cuts(self, *, tenant: str) -> list[Edge]:
        """What `write_cuts` kept last."""

    def resources(self, wanted: Mapping[str, Collection[str]], *, tenant: str) -> dict[str, list[StepResource]]:
        """For each concept those of its documents that are to be read, the one most about it first."""

    def named_in(self, document_id: str, *, tenant: str) -> Sequence[ChunkNames]:
        """The document's passages with the concepts that each names, in order."""

    def put_path(self, path: SavedPath, *, tenant: str) -> None:
        """Keep a path, in place of the one with its id. The concepts that it names need not be there."""

    def path(self, path_id: str, *, tenant: str) -> SavedPath:
        """A path that is kept. Raises NotFoundError."""

    def paths(self, *, tenant: str, over: str | None = None) -> Sequence[SavedPath]:
        """The paths that are kept, or those of them that lead over a concept (an id), in order of name.

        A step leads over what its concept was merged into.
        """

    def drop_path(self, path_id: str, *, tenant: str) -> bool:
        """Keep the path no longer. False when it was not there."""

    def put_progress(self, said: Collection[LearnerProgress], *, tenant: str) -> None:
        """Keep how far users have come, in place of what is kept of these users and concepts."""

    def drop_progress(self, user: str, concept: str, *, tenant: str) -> None:
        """As if the user had said nothing of the concept."""

    def learners(self, concept_id: str, *, tenant: str) -> dict[str, int]:
        """How many users have said what of a concept, or of what was merged into it, by status."""

    def write_vectors(self, vectors: Mapping[str, NDArray[np.float32]], *, model_id: str, tenant: str) -> None:
        """Keep the vectors of concepts' names (of unit length) beside them, of one model alone.

        Not a change of the graph; unknown concepts are left out.
        """

    def vectors(self, concept_ids: Collection[str], *, model_id: str, tenant: str) -> dict[str, NDArray[np.float32]]:
        """The vectors of these concepts' names by that model, as far as they are kept."""

    def nearest(
        self, vector: NDArray[np.float32], *, model_id: str, tenant: str, limit: int = 10
    ) -> list[tuple[str, float]]:
        """The concepts whose names are nearest in meaning, with the cosine, the nearest first."""

    def matching(self, text: str, *, tenant: str, limit: int = 10) -> list[str]:
        """The concepts whose names share words with the text, those that share the rarest first."""

    def counts(self, *, tenant: str) -> GraphCounts:
        """How large the tenant's graph is."""

    def ping(self) -> float:
        """Seconds that one round trip takes."""
