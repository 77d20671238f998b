"""The graph of knowledge: concepts, how they hang together, and which documents say so."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Difficulty = Literal["beginner", "intermediate", "advanced", "expert"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class EdgeType(StrEnum):
    """`REQUIRES` points from a concept to one that must be known before it; `RELATED_TO` has no order."""

    REQUIRES = "REQUIRES"
    RELATED_TO = "RELATED_TO"


class Concept(_Frozen):
    """Something that can be known. `id` is the normalised name: the same concept from two documents is one node."""

    id: str
    name: str
    kind: Literal["subject", "topic"] = "topic"
    description: str | None = None
    difficulty: Difficulty | None = None


class Edge(_Frozen):
    """A typed, weighted edge between two concepts (ids). `weight` is between 0 and 1."""

    source: str
    target: str
    type: EdgeType
    weight: float = Field(default=1.0, gt=0, le=1)


class Extraction(_Frozen):
    """What one document contributes to the graph. Everything in it is supported by that document alone."""

    document_id: str
    sha256: str
    title: str | None
    concepts: tuple[Concept, ...]
    mentions: dict[str, float] = Field(description="Concept id → how much the document is about it, 0 to 1")
    edges: tuple[Edge, ...]


class GraphCounts(_Frozen):
    """How large a tenant's graph is."""

    concepts: int
    edges: int
    documents: int


class ConceptView(_Frozen):
    """A concept with its neighbourhood, for people."""

    concept: Concept
    requires: tuple[str, ...]
    required_by: tuple[str, ...]
    related: tuple[str, ...]
    documents: tuple[str, ...]


class LearningStep(_Frozen):
    """One step of a path: what to learn, why it stands here, and from which documents."""

    order: int
    concept: Concept
    level: int = Field(description="Steps of the same level do not depend on each other")
    requires: tuple[str, ...] = Field(description="Earlier steps (concept ids) that this one needs")
    reason: str
    documents: tuple[str, ...]


class LearningPath(_Frozen):
    """Steps in an order in which every prerequisite comes before what needs it."""

    source: str | None
    target: str
    steps: tuple[LearningStep, ...]
    cut_edges: tuple[Edge, ...] = Field(default=(), description="Prerequisite edges left out to break cycles")
    notes: tuple[str, ...] = Field(default=(), description="What a reader should know about the path, in sentences")


_SPOKEN = str.maketrans({"+": " plus ", "#": " sharp "})
_NOT_PLAIN = re.compile(r"[\W_]+")


def concept_id(name: str) -> str:
    """The normalised name: lower case, runs of anything but letters and digits become `-` (compare PEP 503).

    Plus and number signs are spelled out, so that C, C++ and C# are three concepts. Empty for a name of nothing else.
    """
    return _NOT_PLAIN.sub("-", name.casefold().translate(_SPOKEN)).strip("-")
