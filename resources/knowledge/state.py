"""A graph as plain data, for those who compute with all of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from resources.knowledge.model import EdgeType

if TYPE_CHECKING:
    from resources.knowledge.model import Concept

EdgeKey = tuple[str, str, EdgeType]


@dataclass(frozen=True, slots=True)
class GraphState:
    """Concepts by id, weights by edge, for each concept how much which document is about it, and what aliases stand for."""

    revision: int
    concepts: dict[str, Concept] = field(default_factory=dict)
    edges: dict[EdgeKey, float] = field(default_factory=dict)
    mentions: dict[str, dict[str, float]] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Changes:
    """The concepts and edges that were touched up to `revision`: added, changed or removed."""

    revision: int
    concepts: frozenset[str]
    edges: frozenset[EdgeKey]


class Scores(BaseModel):
    """What was computed about a concept over the whole graph, when the graph had `revision`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    revision: int
    rank: float = Field(description="PageRank; the ranks of a graph add up to 1")
    betweenness: float = Field(description="Share of shortest ways that lead over it, 0 to 1")
    closeness: float = Field(description="How near all others are, 0 to 1 (Wasserman and Faust)")
    degree: int = Field(description="Edges in either direction")
    community: int = Field(description="Number of its community, 0 is the largest")


class LearnerProgress(BaseModel):
    """How far a user has come with a concept, as the graph has it: without notes, which are the user's own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    user: str
    concept: str
    status: str
    percent: int = Field(ge=0, le=100)
    minutes: int = Field(ge=0)
    rating: int | None
    started_at: datetime | None
    completed_at: datetime | None
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class ChunkNames:
    """A passage of a document in the graph: where it is, and the concepts that it names."""

    ordinal: int
    begins: int
    ends: int
    concepts: tuple[str, ...]
