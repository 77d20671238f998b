"""What is asked of a tenant's graph, and what is answered: the words that questions, faces and clients share."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from resources.knowledge.model import Concept, Edge

Algorithm = Literal["dijkstra", "astar", "bfs"]
Measure = Literal["company", "attributes"]
Order = Literal["rank", "name", "quality", "minutes"]
MAX_ALTERNATIVES: Final = 20
MAX_SUBGRAPH_EDGES: Final = 10_000


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ScoredConcept(_Answer):
    """A concept, and the number that was asked for."""

    concept: Concept
    score: float


class Recommendation(_Answer):
    """A concept to learn next, and why."""

    concept: Concept
    score: float = Field(description="How near it is to what the user has learned and begun; more is nearer")
    learned: float = Field(description="How much of it is learned, 0 to 1")
    reason: str
    requires: tuple[str, ...] = Field(description="Its prerequisites, all of them known")
    unlocks: tuple[str, ...] = Field(description="Concepts for which nothing else is missing")


class Neighbour(_Answer):
    """A concept near another: its distance in edges, and the strength of the weakest edge on the strongest way to it."""

    concept: Concept
    distance: int
    strength: float


class WayAnswer(_Answer):
    """One way between two concepts."""

    concepts: tuple[Concept, ...]
    cost: float
    bottlenecks: tuple[str, ...] = Field(description="Concepts on it that are for experts, or of a quality below 0.5")
    minutes: int | None = Field(description="Estimated time to learn them all; null where nothing is known of it")


class WaysAnswer(_Answer):
    """The best way between two concepts, and others, the cheapest first. Empty when there is none."""

    source: str
    target: str
    algorithm: str
    ways: tuple[WayAnswer, ...]


class Community(_Answer):
    """Concepts with more edges among each other than chance would give them; the most central first."""

    number: int
    size: int
    concepts: tuple[Concept, ...]


class CommunitiesAnswer(_Answer):
    """All communities, the largest first."""

    modularity: float
    communities: tuple[Community, ...]


class StructureAnswer(_Answer):
    """How the graph hangs together."""

    revision: int
    concepts: int
    edges: int
    components: tuple[int, ...] = Field(description="Sizes of the largest parts that hang together")
    component_count: int
    cycles: tuple[tuple[str, ...], ...] = Field(description="Groups of concepts that require each other")
    cut: tuple[Edge, ...] = Field(description="The prerequisites to leave out so that none is left")
    levels: tuple[int, ...] = Field(
        description="Concepts by the number of prerequisites that stand one on another below them"
    )


class SpanningAnswer(_Answer):
    """The few concepts that span a topic, in the order in which they add most; `coverage` is the share so far."""

    topic: Concept
    size: int
    concepts: tuple[ScoredConcept, ...]
    tree: tuple[tuple[str, str], ...]


class Subgraph(_Answer):
    """Some concepts, the nearest to where it begins first, and the edges between them."""

    concepts: tuple[Concept, ...]
    edges: tuple[Edge, ...]
    complete: bool = Field(description="Whether nothing was left out for want of room")


class ConceptPage(_Answer):
    """Concepts that were looked for, and how many there are."""

    concepts: tuple[Concept, ...]
    total: int
    limit: int
    offset: int
