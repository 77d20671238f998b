"""What is asked of a search, and what it gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from resources.content.model import MediaType, SearchHit

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

POOL: Final = 100
"""Passages that each of the two ways of searching puts forward: what fusion, facets and pages are about."""
FUSION: Final = 60
"""The constant of reciprocal-rank fusion (Cormack, Clarke and Büttcher 2009): 1 / (60 + place), summed over the lists."""


class Mode(StrEnum):
    """How passages are found. `graph` is for who knows the graph (`resources.knowledge.retrieval`); elsewhere it is hybrid."""

    HYBRID = "hybrid"
    MEANING = "meaning"
    WORDS = "words"
    GRAPH = "graph"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Facts(_Frozen):
    """What is known of the document that a passage is of, as far as a search can be narrowed by it."""

    media_type: str | None = None
    language: str | None = None
    difficulty: str | None = None
    quality: float | None = Field(default=None, ge=0, le=1)
    tags: tuple[str, ...] = ()
    received_at: datetime | None = None


_Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]


class Filters(_Frozen):
    """What a passage's document must be. What is not known of a document does not pass a filter that asks for it."""

    types: tuple[MediaType, ...] = Field(default=(), max_length=20, description="Media types, any of them")
    languages: tuple[_Name, ...] = Field(default=(), max_length=20, description="ISO 639-1 codes, any of them")
    difficulties: tuple[Literal["beginner", "intermediate", "advanced", "expert"], ...] = Field(
        default=(), max_length=4, description="Levels, any of them"
    )
    tags: tuple[_Name, ...] = Field(default=(), max_length=50, description="Tags, all of them")
    min_quality: float | None = Field(default=None, ge=0, le=1, description="Quality at least")
    since: datetime | None = Field(default=None, description="Received then or later")
    until: datetime | None = Field(default=None, description="Received before then")
    documents: tuple[_Name, ...] = Field(default=(), max_length=1000, description="Ids of documents, any of them")
    without: tuple[_Name, ...] = Field(default=(), max_length=1000, description="Ids of documents, none of them")

    @property
    def empty(self) -> bool:
        """Whether every passage passes."""
        return self == _ALL


_ALL: Final = Filters()


@dataclass(frozen=True, slots=True)
class Wanted:
    """A search as an index gets it: by words if there is `text`, by meaning if there is a `vector`, fused if there are both."""

    text: str | None
    vector: NDArray[np.float32] | None
    model_id: str
    filters: Filters = _ALL
    limit: int = 10
    offset: int = 0


class FoundChunk(SearchHit):
    """A passage that was found. `score` is 1 when it is the first in every list that was asked for, by rank alone."""

    similarity: float | None = Field(default=None, description="Cosine of question and passage; None if not comparable")
    place_by_meaning: int | None = Field(default=None, description="Its place among those near in meaning, from 1")
    place_by_words: int | None = Field(default=None, description="Its place among those with the words, from 1")
    facts: Facts = Facts()


Facets = dict[str, dict[str, int]]
"""How many of the passages found are of which type, language, difficulty and tag."""


@dataclass(frozen=True, slots=True)
class Found:
    """One page of the passages, and how many there are on all pages. Facets are over all pages."""

    hits: tuple[FoundChunk, ...] = ()
    total: int = 0
    facets: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelShare:
    """How much of a tenant's content has vectors of one model."""

    model_id: str
    dimensions: int
    documents: int
    chunks: int
