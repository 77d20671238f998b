"""The graph of knowledge: concepts, how they hang together, and which documents say so."""

from __future__ import annotations

import re
from datetime import datetime
from enum import StrEnum
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

Difficulty = Literal["beginner", "intermediate", "advanced", "expert"]
ResourceType = Literal["page", "paper", "book", "code", "data", "text"]
PathStyle = Literal["breadth", "depth", "easy"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class EdgeType(StrEnum):
    """`REQUIRES` points from a concept to one that must be known before it, `PART_OF` from a topic to the wider one.

    `RELATED_TO` has no order.
    """

    REQUIRES = "REQUIRES"
    RELATED_TO = "RELATED_TO"
    PART_OF = "PART_OF"


class Origin(StrEnum):
    """How something came to be said: `declared` by a document's sender, or found in its `structure`, `links`, by
    `cooccurrence`, or by a `model`; or `stated` by a person.
    """

    DECLARED = "declared"
    STRUCTURE = "structure"
    LINKS = "links"
    COOCCURRENCE = "cooccurrence"
    MODEL = "model"
    STATED = "stated"


class Concept(_Frozen):
    """Something that can be known. `id` is the normalised name: the same concept from two documents is one node."""

    id: str
    name: str
    kind: Literal["subject", "topic"] = "topic"
    description: str | None = None
    difficulty: Difficulty | None = None
    category: str | None = None
    subcategory: str | None = None
    tags: tuple[str, ...] = ()
    quality: float | None = Field(default=None, ge=0, le=1)
    minutes: int | None = Field(default=None, ge=0, description="Estimated time to learn it")


class Edge(_Frozen):
    """A typed, weighted edge between two concepts (ids). `weight` is between 0 and 1."""

    source: str
    target: str
    type: EdgeType
    weight: float = Field(default=1.0, gt=0, le=1)


class Evidence(_Frozen):
    """Where in its document something is said, and by which calls of a model that was read out of it."""

    origin: Origin
    chunks: tuple[int, ...] = Field(default=(), description="Ordinals of the passages")
    calls: tuple[str, ...] = Field(default=(), description="Ids of calls in the ledger")


class LearningResource(_Frozen):
    """A document as somebody learns from it."""

    url: str
    title: str | None
    resource_type: ResourceType
    format: str = Field(description="Its media type")
    source: str = Field(description="Where it comes from: the scheme of its address")
    quality: float = Field(ge=0, le=1)
    difficulty: Difficulty
    minutes: int = Field(ge=1, description="To read it")
    language: str


class StepResource(LearningResource):
    """A document that teaches a concept, and where in it."""

    document_id: str
    weight: float = Field(description="How much the document is about the concept")
    passages: tuple[tuple[int, int], ...] = Field(
        default=(), description="Begin and end, in characters, of the first passages that name the concept"
    )


class Stated(_Frozen):
    """Which person says something, since when, and how often that was changed."""

    by: str
    version: int = Field(ge=1)
    created_at: datetime
    updated_at: datetime


class Extraction(_Frozen):
    """What one document contributes to the graph. Everything in it is supported by that document alone.

    What a person states of a concept is one, too (see `curation`).
    """

    document_id: str
    sha256: str
    title: str | None
    concepts: tuple[Concept, ...]
    mentions: dict[str, float] = Field(description="Concept id → how much the document is about it, 0 to 1")
    edges: tuple[Edge, ...]
    evidence: dict[str, Evidence] = Field(
        default_factory=dict, description="By id of a concept, or `evidence_key` of an edge: where the document says it"
    )
    run_id: str | None = Field(default=None, description="The run that read it")
    resource: LearningResource | None = Field(default=None, description="What it is to a learner")
    passages: tuple[tuple[int, int], ...] = Field(
        default=(),
        description="Begin and end of each of its passages, in characters; their numbers are their places here",
    )
    cut: tuple[Edge, ...] = Field(
        default=(), description="Prerequisites that the document says and that would close a cycle: the weakest of each"
    )

    stated: Stated | None = Field(default=None, description="Who states it, if no document does")

    def says_the_same(self, other: Extraction) -> bool:
        """Whether nothing is different but the run that read it."""
        return self.model_copy(update={"run_id": other.run_id}) == other


class Support(_Frozen):
    """One document that supports a concept or an edge, or one statement of a person."""

    document_id: str
    title: str | None
    weight: float | None = Field(
        description="How much the document is about the concept, or how strong it says the edge is"
    )
    run_id: str | None
    evidence: tuple[Evidence, ...] = Field(description="One for each name under which the document says it")
    stated: Stated | None = Field(default=None, description="Who states it, if no document does")


class Merge(_Frozen):
    """The decision that two concepts are one: `alias` stands for `into` from now on. Applied while its status is `merged`."""

    id: str
    alias: str
    into: str
    status: Literal["proposed", "merged", "rejected", "undone"]
    score: float | None = Field(default=None, description="How sure whoever proposed it was, 0 to 1")
    reason: str = Field(max_length=500)
    by: str = Field(description="Who decided last: a user, or the name of what found it")
    at: datetime


class GraphCounts(_Frozen):
    """How large a tenant's graph is."""

    concepts: int
    edges: int
    documents: int
    chunks: int = Field(default=0, description="Passages of the documents")
    resources: int = Field(default=0, description="Documents as somebody learns from them")
    paths: int = Field(default=0, description="Learning paths that are kept")
    learners: int = Field(default=0, description="Statements of users on how far they have come")
    curations: int = Field(default=0, description="Statements of people on what concepts are")


class ConceptView(_Frozen):
    """A concept with its neighbourhood, for people."""

    concept: Concept
    requires: tuple[str, ...]
    required_by: tuple[str, ...]
    related: tuple[str, ...]
    documents: tuple[str, ...]
    part_of: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()


class PathWishes(_Frozen):
    """What a learning path should be like. A limit that cannot be kept leaves out what does not fit, and says so."""

    max_steps: int | None = Field(default=None, ge=1, le=10_000, description="Steps at most")
    max_minutes: int | None = Field(default=None, ge=1, le=10_000_000, description="Estimated minutes at most")
    max_difficulty: Difficulty | None = Field(default=None, description="Nothing harder than this")
    prefer: tuple[str, ...] = Field(
        default=(), max_length=50, description="Categories to come first where order is free"
    )
    avoid: tuple[str, ...] = Field(
        default=(), max_length=50, description="Categories to leave out, with what needs them"
    )
    optional: int = Field(default=0, ge=0, le=50, description="So many related concepts that the goal does not need")
    style: PathStyle = Field(
        default="breadth",
        description="Where order is free: level by level, one branch after the other, or the easiest first",
    )
    alternatives: int = Field(default=0, ge=0, le=10, description="So many shorter paths that presume something")


class LearningStep(_Frozen):
    """One step of a path: what to learn, why it stands here, and from which documents."""

    order: int
    concept: Concept
    level: int = Field(description="Steps of the same level do not depend on each other")
    requires: tuple[str, ...] = Field(description="Earlier steps (concept ids) that this one needs")
    reason: str
    documents: tuple[str, ...]
    resources: tuple[StepResource, ...] = Field(
        default=(), description="The documents, with where in them the concept is told of: for the first 200 steps"
    )
    minutes: int = Field(
        default=0, description="Estimated time that is left for it; by difficulty where nothing is known"
    )
    optional: bool = Field(default=False, description="The goal does not need it")
    substitutes: tuple[str, ...] = Field(
        default=(),
        description="Related concepts (ids) off the path that are no harder and need nothing that comes later",
    )


class LeftOut(_Frozen):
    """A concept that the goal needs and that is not on the path, and why."""

    concept: str
    reason: str


class PathAlternative(_Frozen):
    """A shorter path, for somebody who does without the prerequisites in `presumes`, which documents are least sure of."""

    steps: tuple[str, ...]
    minutes: int
    presumes: tuple[Edge, ...]


class LearningPath(_Frozen):
    """Steps in an order in which every prerequisite comes before what needs it."""

    source: str | None
    target: str
    steps: tuple[LearningStep, ...]
    cut_edges: tuple[Edge, ...] = Field(default=(), description="Prerequisite edges left out to break cycles")
    notes: tuple[str, ...] = Field(default=(), description="What a reader should know about the path, in sentences")
    minutes: int = Field(default=0, description="Estimated time for all steps")
    complete: bool = Field(default=True, description="Whether it reaches the target; what is left out hinders it")
    left_out: tuple[LeftOut, ...] = ()
    alternatives: tuple[PathAlternative, ...] = ()


class PathConcept(_Frozen):
    """A step of a path that is kept."""

    order: int = Field(ge=1)
    concept: str
    optional: bool = False
    alternatives: tuple[str, ...] = ()


class SavedPath(_Frozen):
    """A learning path that is kept: planned by the platform for the most demanding concepts, or by a user."""

    id: str
    name: str
    description: str = ""
    audience: str | None = Field(default=None, description="Whom it is for")
    target: str
    concepts: tuple[PathConcept, ...]
    minutes: int = Field(ge=0, description="Estimated time for all steps")
    difficulties: tuple[Difficulty | None, ...] = Field(description="Of the steps, in their order; null where unknown")
    outcomes: tuple[str, ...] = Field(description="What somebody can who has followed it")
    creator: str
    custom: bool = Field(description="Whether a user made it")
    updated_at: datetime


CURATION: Final = "curation:"


def curation_id(concept: str) -> str:
    """What stands for a document where a person states something of a concept (an id). No document has such an id."""
    return f"{CURATION}{concept}"


def evidence_key(source: str, target: str, type: EdgeType) -> str:
    """The key of an edge in an extraction's `evidence`."""
    return f"{source} {type} {target}"


_SPOKEN = str.maketrans({"+": " plus ", "#": " sharp "})
_NOT_PLAIN = re.compile(r"[\W_]+")


def concept_id(name: str) -> str:
    """The normalised name: lower case, runs of anything but letters and digits become `-` (compare PEP 503).

    Plus and number signs are spelled out, so that C, C++ and C# are three concepts. Empty for a name of nothing else.
    """
    return _NOT_PLAIN.sub("-", name.casefold().translate(_SPOKEN)).strip("-")
