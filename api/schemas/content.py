"""Documents, search, and questions with their answers."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from resources.content.answering import CitedSentence
from resources.content.model import Document
from resources.content.retrieval.model import Filters, Mode
from resources.content.search import PassageHit, SimilarDocument


class DocumentPage(BaseModel):
    """Documents in order of id. `next_after` is None on the last page."""

    documents: list[Document]
    next_after: str | None


class DocumentAccepted(BaseModel):
    """The answer to an upload: the document as the catalogue has it, and whether there is anything new about it."""

    document: Document
    position: int | None = Field(description="Position of its `document.received`; None when nothing is new")
    outcome: Literal["received", "unchanged"]


class SearchIn(BaseModel):
    """`POST /search`."""

    model_config = ConfigDict(extra="forbid")

    query: str = Field(min_length=1, max_length=1000, description="What to look for, in your own words")
    mode: Mode = Field(
        default=Mode.HYBRID, description="By words, by meaning, by both, fused by rank, or along the graph as well"
    )
    filters: Filters = Filters()
    limit: int = Field(default=10, ge=1, le=100)
    cursor: str | None = Field(default=None, max_length=200, description="`next_cursor` of the page before")
    rerank: bool = Field(default=False, description="Order the first 50 by nearness and words held together")


class SearchOut(BaseModel):
    """One page of passages, best first. `score` is about places in lists: compare it within one answer alone."""

    query: str
    mode: Mode
    hits: list[PassageHit]
    total: int = Field(description="Passages on all pages: at most 100 found by words and 100 by meaning")
    facets: dict[str, dict[str, int]] = Field(description="Passages on all pages by type, language, difficulty and tag")
    next_cursor: str | None = Field(description="Continues after this page; null on the last one")
    milliseconds: float


class SimilarOut(BaseModel):
    """Documents that are about the same as this one, best first."""

    document_id: str
    documents: list[SimilarDocument]


class IndexStateOut(BaseModel):
    """How much can be found by meaning."""

    model_id: str = Field(description="The model in use")
    documents: int = Field(description="Documents with vectors of the model in use")
    chunks: int = Field(description="Passages with vectors of the model in use")
    others: list[str] = Field(description="Models of the other vectors there are")
    outdated: list[str] = Field(description="The first documents, by id, that have to be embedded anew")


class AskIn(BaseModel):
    """`POST /ask`."""

    model_config = ConfigDict(extra="forbid")

    question: str = Field(min_length=1, max_length=1000)
    filters: Filters = Field(default=Filters(), description="What the documents must be")
    mode: Mode = Field(
        default=Mode.HYBRID, description="How passages are found; `graph` follows what the question leads to"
    )
    passages: int = Field(default=8, ge=1, le=50, description="Passages to read at most")
    sentences: int = Field(default=3, ge=1, le=20, description="Sentences at most when no model answers")
    provider: str = Field(
        default="offline", min_length=1, max_length=100, description="Who answers; offline takes sentences by rule"
    )
    model: str = Field(default="offline/extractive-v1", min_length=1, max_length=200)
    wait: float = Field(default=30.0, gt=0, le=60, description="Seconds to wait for the answer")


class AskOut(BaseModel):
    """An answer with its citations, or that nothing was found. What is null is not known yet: the run goes on."""

    run_id: str
    status: Literal["running", "completed"]
    status_url: str
    found: bool | None = Field(default=None, description="Whether anything supports an answer")
    answer: str | None = Field(default=None, description="The sentences with the numbers of their sources")
    sentences: list[CitedSentence] = Field(default=[], description="Each sentence with where its support stands")
    dropped: int = Field(default=0, description="Sentences of a model that were left out, as nothing supports them")
    passages: int | None = Field(default=None, description="Passages that were read")
    simulated: bool | None = Field(default=None, description="Whether no AI model wrote the answer")
    notice: str | None = Field(default=None, description="What a reader must be told about that")
    model: str | None = None
