"""What people state of concepts, what they are recommended, and the graph in the replies of the first API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pydantic import TypeAdapter

from api.client.answers import V1, Seen, model_of
from api.client.base import HttpClient
from resources.knowledge.answers import Neighbour, Recommendation, ScoredConcept, Subgraph
from resources.knowledge.curation import Curation, Statement
from resources.knowledge.progress.model import ConceptProgress

if TYPE_CHECKING:
    from collections.abc import Iterable

    from resources.knowledge.model import EdgeType

_CURATIONS = TypeAdapter(list[Curation])
_NEAR = TypeAdapter(list[Neighbour])
_RECOMMENDED = TypeAdapter(list[Recommendation])
_SCORED = TypeAdapter(list[ScoredConcept])


class CurationClient(HttpClient):
    """What people state of concepts. Concepts are named by name or id."""

    def curations(self) -> list[Curation]:
        """All that is stated, in order of the concepts' ids."""
        return _CURATIONS.validate_python(self._plain("GET", f"{V1}/graph/curations"))

    def curation(self, concept: str) -> Curation:
        return self._get(f"{V1}/concepts/{quote(concept, safe='')}/curation", Curation)

    def state_concept(self, statement: Statement) -> Curation:
        """State a concept, whether documents know it or not."""
        return model_of(Curation, self._send("POST", f"{V1}/concepts", json=_body(statement)))

    def change_concept(self, concept: str, statement: Statement, *, if_match: Seen | None = None) -> Curation:
        """Put the statement in place of the one before."""
        path = f"{V1}/concepts/{quote(concept, safe='')}"
        return model_of(Curation, self._send("PUT", path, json=_body(statement), if_match=if_match))

    def remove_concept(self, concept: str, *, if_match: Seen | None = None) -> None:
        """Take a statement back, with all that it alone supports."""
        self._send("DELETE", f"{V1}/concepts/{quote(concept, safe='')}", if_match=if_match)

    def set_progress_of(self, concept: str, *, if_match: Seen | None = None, **change: Any) -> ConceptProgress:
        """As `set_progress`, with the concept in the body. `change` is what ProgressChange knows."""
        answer = self._send("PUT", f"{V1}/progress", json={"concept": concept, **change}, if_match=if_match)
        return model_of(ConceptProgress, answer)

    def recommendations(self, user: str = "me", *, limit: int = 10) -> list[Recommendation]:
        """What to learn next, the best first; of another user for who manages users."""
        found = self._plain("GET", f"{V1}/recommendations/{quote(user, safe='')}", limit=limit)
        return _RECOMMENDED.validate_python(found)

    def graph_subgraph(
        self,
        concepts: Iterable[str],
        *,
        depth: int = 1,
        types: Iterable[EdgeType] = (),
        min_weight: float = 0.0,
        limit: int = 100,
    ) -> Subgraph:
        """Concepts with what is near them, and the edges between all of these."""
        body: dict[str, Any] = {"concepts": list(concepts), "depth": depth, "types": [str(kind) for kind in types]}
        body |= {"min_weight": min_weight, "limit": limit}
        return model_of(Subgraph, self._send("POST", f"{V1}/graph/subgraph", json=body))

    def graph_query(self, query_type: str, **parameters: Any) -> dict[str, Any]:
        """Ask `POST /query`; the whole reply."""
        body = {"query_type": query_type, "parameters": parameters}
        reply: dict[str, Any] = self._send("POST", f"{V1}/query", json=body).json()
        return reply

    def find_path(self, source: str, target: str, **more: Any) -> dict[str, Any]:
        """`more` is what `POST /path` knows: algorithm, max_cost, constraints, alternatives."""
        body = {"from_concept": source, "to_concept": target, **more}
        reply: dict[str, Any] = self._send("POST", f"{V1}/path", json=body).json()
        return dict(reply["data"])

    def relationships(self, concept: str, **more: Any) -> list[Neighbour]:
        """`more` is what `POST /relationships` knows: max_depth, relationship_types, min_strength, limit."""
        reply = self._send("POST", f"{V1}/relationships", json={"concept_id": concept, **more}).json()
        return _NEAR.validate_python(reply["data"]["relationships"])

    def similarity(self, concept: str, *, threshold: float = 0.3, limit: int = 10) -> list[ScoredConcept]:
        """Concepts alike by category, subcategory, tags and difficulty."""
        path = f"{V1}/similarity/{quote(concept, safe='')}"
        return _SCORED.validate_python(self._plain("GET", path, threshold=threshold, limit=limit)["data"])

    def search_concepts(self, q: str = "", **more: Any) -> dict[str, Any]:
        """`more` is what `GET /concepts` knows: category, difficulty, min_quality, sort_by, sort_order, limit, offset."""
        found: dict[str, Any] = self._plain("GET", f"{V1}/concepts", q=q, **more)["data"]
        return found


def _body(statement: Statement) -> dict[str, Any]:
    return statement.model_dump(mode="json", exclude_unset=True)
