"""The graph store's port."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from resources.knowledge.model import Concept, ConceptView, Edge, EdgeType, Extraction, GraphCounts, Merge, Support
    from resources.knowledge.state import Changes, EdgeKey, GraphState, Scores


class GraphStore(Protocol):
    """Concepts and edges of all tenants, each supported by documents.

    The promise: `weave` replaces exactly what the document supported before; a concept or an edge lives as long as at
    least one document supports it. No verb of one tenant ever sees or changes another's graph. Verbs raise
    UnavailableError when the store cannot be reached.
    """

    def prepare(self) -> None:
        """Create constraints and indexes where they are missing."""

    def weave(self, extraction: Extraction, *, tenant: str) -> None:
        """Make `extraction` the document's whole contribution. Repeating it changes nothing."""

    def retract(self, document_id: str, *, tenant: str) -> None:
        """Remove the document's contribution, and whatever no other document supports."""

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

    def counts(self, *, tenant: str) -> GraphCounts:
        """How large the tenant's graph is."""

    def ping(self) -> float:
        """Seconds that one round trip takes."""
