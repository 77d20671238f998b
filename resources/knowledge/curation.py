"""What people state of concepts: facts of their own beside those of documents, kept until somebody takes them back.

A statement is an extraction without a document (see `model.curation_id`): one for each concept, woven like any other. So no
document that comes or goes changes it, and with it goes exactly what nothing else supports. Where a person describes a
concept, these words describe it as a whole; what documents say is kept, and speaks again when the statement is taken back.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Final, Self

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, model_validator

from resources.errors import ConflictError, NotFoundError
from resources.events.catalog import ConceptStated, ConceptWithdrawn
from resources.events.model import EventMetadata, StreamId
from resources.knowledge.contribution import roots_of
from resources.knowledge.model import (
    Concept,
    Difficulty,
    Edge,
    EdgeType,
    Evidence,
    Extraction,
    Origin,
    Stated,
    concept_id,
    curation_id,
    evidence_key,
)
from resources.telemetry import correlation

if TYPE_CHECKING:
    from collections.abc import Callable

    from resources.events.schema import EventData
    from resources.events.store import EventStore
    from resources.knowledge.store import GraphStore

MAX_RELATIONS: Final = 500

_PLAIN: Final = r"^[^\x00]*$"
ConceptName = Annotated[str, Field(min_length=1, max_length=200, pattern=_PLAIN)]
_Word = Annotated[str, Field(min_length=1, max_length=100, pattern=_PLAIN)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Relation(_Frozen):
    """An edge from the concept that is stated to another, by name or id; that need not be there yet."""

    target: ConceptName
    type: EdgeType = EdgeType.REQUIRES
    weight: float = Field(default=1.0, gt=0, le=1)


class Statement(_Frozen):
    """What a person says of a concept. What is left out is unknown."""

    name: ConceptName
    description: str | None = Field(default=None, max_length=10_000, pattern=_PLAIN)
    difficulty: Difficulty | None = None
    category: _Word | None = None
    subcategory: _Word | None = None
    tags: tuple[_Word, ...] = Field(default=(), max_length=50)
    quality: float | None = Field(
        default=None, ge=0, le=1, validation_alias=AliasChoices("quality", "quality_score", "qualityScore")
    )
    minutes: int | None = Field(
        default=None,
        ge=0,
        le=1_000_000,
        description="Estimated time to learn it",
        validation_alias=AliasChoices("minutes", "estimated_time", "estimatedTime"),
    )
    relations: tuple[Relation, ...] = Field(default=(), max_length=MAX_RELATIONS)

    @property
    def concept(self) -> str:
        """The id of the concept."""
        return concept_id(self.name)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if not self.concept:
            raise ValueError(f"the name {self.name!r} has no letter or digit")
        ends = [(concept_id(one.target), one.type) for one in self.relations]
        for target, kind in ends:
            if not target:
                raise ValueError("the target of a relation has no letter or digit in its name")
            if target == self.concept:
                raise ValueError(f"{self.name!r} cannot be its own {kind}")
        if len(set(ends)) < len(ends):
            raise ValueError("two relations have the same type and target")
        return self


class Curation(_Frozen):
    """A statement, with who made it last and its version."""

    id: str = Field(description="Of the concept")
    statement: Statement
    version: int
    by: str
    created_at: datetime
    updated_at: datetime


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Curations:
    """Statements of a tenant's people. Safe for threads and processes: changes of one concept come one after the other."""

    def __init__(self, graph: GraphStore, events: EventStore, *, clock: Callable[[], datetime] = _utc_now) -> None:
        self._graph = graph
        self._events = events
        self._clock = clock

    def of(self, concept: str, *, tenant: str) -> Curation:
        """What is stated of a concept (a name or id). Raises NotFoundError."""
        said = self._graph.said(curation_id(concept_id(concept)), tenant=tenant)
        if said is None:
            raise _unstated(concept)
        return curation_of(said)

    def all(self, *, tenant: str) -> list[Curation]:
        """All that is stated, in order of id."""
        return [curation_of(said) for said in self._graph.curations(tenant=tenant)]

    def add(self, statement: Statement, *, tenant: str, by: str) -> Curation:
        """State something of a concept, whether documents know it or not.

        Raises ConflictError where something is stated of it already, or where it was merged into another.
        """

        def unless(former: Curation | None) -> None:
            if former is not None:
                raise ConflictError(f"{statement.name!r} is stated already: change that.", code="concept_exists")

        return self._state(statement, unless, tenant=tenant, by=by)

    def change(
        self,
        concept: str,
        statement: Statement,
        *,
        tenant: str,
        by: str,
        unless: Callable[[Curation | None], None] | None = None,
    ) -> Curation:
        """State this of a concept (a name or id) in place of what was, unless `unless` raises for what was (None = nothing).

        The same again changes nothing. Raises NotFoundError for a concept that is not there, and ConflictError for a name that
        is another concept's, or one that was merged into another.
        """
        key = concept_id(concept)
        if statement.concept != key:
            raise ConflictError(
                f"{statement.name!r} is the name of another concept than {concept!r}: state that, and merge the two.",
                code="concept_renamed",
            )
        if self._graph.said(curation_id(key), tenant=tenant) is None:
            self._graph.concept(key, tenant=tenant)
        return self._state(statement, unless, tenant=tenant, by=by)

    def remove(
        self,
        concept: str,
        *,
        tenant: str,
        by: str,
        unless: Callable[[Curation | None], None] | None = None,
    ) -> None:
        """Take a statement back, and all that it alone supports, unless `unless` raises for it.

        Raises NotFoundError where nothing is stated; ConflictError where documents alone support the concept.
        """
        key = concept_id(concept)
        gone: list[Curation] = []

        def make(said: Extraction | None) -> None:
            former = curation_of(said) if said is not None else None
            if unless is not None:
                unless(former)
            gone[:] = [former] if former is not None else []

        if not self._graph.revise(curation_id(key), make, tenant=tenant):
            supporting = self._graph.support(key, tenant=tenant, limit=1)
            if supporting:
                raise ConflictError(
                    f"{concept!r} is there because documents or other statements name it: it goes when they do.",
                    code="concept_supported",
                )
            raise _unstated(concept)
        self._tell(key, ConceptWithdrawn(concept=key, name=gone[0].statement.name), tenant=tenant, by=by)

    def _state(
        self, statement: Statement, unless: Callable[[Curation | None], None] | None, *, tenant: str, by: str
    ) -> Curation:
        key = statement.concept
        root = roots_of(self._graph.merges(tenant=tenant)).get(key, key)
        if root != key:
            raise ConflictError(
                f"{statement.name!r} was merged into {root!r}: state it of that, or undo the merge.",
                code="concept_merged",
            )
        kept: list[Curation] = []

        def make(said: Extraction | None) -> Extraction:
            former = curation_of(said) if said is not None else None
            if unless is not None:
                unless(former)
            if said is not None and former is not None and former.statement == statement:
                kept[:] = [former]
                return said
            now = self._clock()
            stated = Stated(
                by=by,
                version=1 if former is None else former.version + 1,
                created_at=now if former is None else former.created_at,
                updated_at=now,
            )
            extraction = extraction_of(statement, stated)
            kept[:] = [curation_of(extraction)]
            return extraction

        if self._graph.revise(curation_id(key), make, tenant=tenant):
            told = ConceptStated(
                concept=key,
                version=kept[0].version,
                statement=statement.model_dump(mode="json", exclude_defaults=True),
            )
            self._tell(key, told, tenant=tenant, by=by)
        return kept[0]

    def _tell(self, concept: str, data: EventData, *, tenant: str, by: str) -> None:
        metadata = EventMetadata(correlation_id=correlation.current(), user_id=by, source="knowledge")
        event = data.new(metadata=metadata, occurred_at=self._clock())
        self._events.append(StreamId("concept", concept), [event], tenant=tenant)


def _unstated(concept: str) -> NotFoundError:
    return NotFoundError(f"Nobody has stated anything of {concept!r}.", code="concept_not_found")


def extraction_of(statement: Statement, stated: Stated) -> Extraction:
    """What the statement contributes to the graph."""
    key = statement.concept
    words = statement.model_dump(exclude={"name", "relations"})
    concept = Concept(id=key, name=statement.name, kind="subject", **words)
    targets = {concept_id(one.target): one.target for one in statement.relations}
    edges = [_edge(key, concept_id(one.target), one) for one in statement.relations]
    keys = [key, *targets, *(evidence_key(edge.source, edge.target, edge.type) for edge in edges)]
    return Extraction(
        document_id=curation_id(key),
        sha256=hashlib.sha256(statement.model_dump_json().encode()).hexdigest(),
        title=statement.name,
        concepts=(concept, *(Concept(id=target, name=name) for target, name in sorted(targets.items()))),
        mentions={},
        edges=tuple(edges),
        evidence={one: Evidence(origin=Origin.STATED) for one in keys},
        stated=stated,
    )


def _edge(source: str, target: str, relation: Relation) -> Edge:
    """What is related has no order, and is kept in that of its ids, as documents say it."""
    if relation.type is EdgeType.RELATED_TO:
        source, target = sorted((source, target))
    return Edge(source=source, target=target, type=relation.type, weight=relation.weight)


def curation_of(said: Extraction) -> Curation:
    """The statement that an extraction was made of."""
    assert said.stated is not None
    concept, *others = said.concepts
    names = {one.id: one.name for one in others}
    words = concept.model_dump(exclude={"id", "kind"})
    relations = tuple(
        Relation(
            target=names[edge.target if edge.source == concept.id else edge.source], type=edge.type, weight=edge.weight
        )
        for edge in said.edges
    )
    return Curation(id=concept.id, statement=Statement(**words, relations=relations), **said.stated.model_dump())
