"""The graph of knowledge: concepts, how they hang together, what to learn in which order, and how far people are."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import strawberry

from api.graphql import paging
from api.graphql.context import GraphContext
from api.graphql.inputs import validated
from api.graphql.module import Module, extends
from api.graphql.paging import After, Connection, First
from api.graphql.subgraphs.content import Document, documents_by_id, documents_of_workflows
from api.graphql.subgraphs.workflows import Workflow
from resources.errors import InvalidInputError, NotFoundError
from resources.knowledge import model
from resources.knowledge.model import concept_id
from resources.knowledge.progress import model as progress
from resources.knowledge.view import KINDS, PART_OF, RELATED_TO, GraphView

strawberry.enum(model.EdgeType, name="RelationType")
strawberry.enum(progress.ProgressStatus)


@strawberry.federation.type(keys=["id"])
class Concept:
    """Something that can be known."""

    id: strawberry.ID
    name: str
    kind: str
    description: str | None
    difficulty: str | None
    category: str | None
    tags: list[str]
    quality: float | None
    minutes: int | None

    @strawberry.field
    async def prerequisites(self, info: strawberry.Info[GraphContext]) -> list[Concept] | None:
        """What must be known before it."""
        return await _neighbours(info.context, str(self.id), "prerequisites")

    @strawberry.field
    async def enables(self, info: strawberry.Info[GraphContext]) -> list[Concept] | None:
        """What it is needed for."""
        return await _neighbours(info.context, str(self.id), "enables")

    @strawberry.field
    async def related_concepts(self, info: strawberry.Info[GraphContext]) -> list[Concept] | None:
        """What stands beside it."""
        return await _neighbours(info.context, str(self.id), "related")

    @strawberry.field
    async def parent_topics(self, info: strawberry.Info[GraphContext]) -> list[Concept] | None:
        """The wider topics that it is a part of."""
        return await _neighbours(info.context, str(self.id), "parents")

    @strawberry.field
    async def subtopics(self, info: strawberry.Info[GraphContext]) -> list[Concept] | None:
        """Its parts."""
        return await _neighbours(info.context, str(self.id), "subtopics")

    @strawberry.field
    async def resources(self, info: strawberry.Info[GraphContext], first: First = 5) -> list[LearningResource] | None:
        """Documents to learn it from, the one most about it first."""
        view = await info.context.load(graphs, None)
        mentions = view.mentions.get(str(self.id), {})
        best = sorted(mentions, key=lambda document: (-mentions[document], document))[: paging.checked(first)]
        return [LearningResource(id=strawberry.ID(document)) for document in best]

    @classmethod
    def of(cls, found: model.Concept) -> Concept:
        same = ("name", "kind", "description", "difficulty", "category", "quality", "minutes")
        return cls(id=strawberry.ID(found.id), tags=list(found.tags), **{name: getattr(found, name) for name in same})


@strawberry.federation.type(keys=["id"])
class LearningResource:
    """A document as something to learn from. Its id is the document's."""

    id: strawberry.ID

    @strawberry.field
    async def document(self, info: strawberry.Info[GraphContext]) -> Document | None:
        """The document, with its analysis: quality, difficulty, time to read."""
        return await info.context.load(documents_by_id, str(self.id))

    @strawberry.field
    async def concepts(self, info: strawberry.Info[GraphContext], first: First = 10) -> list[Concept] | None:
        """What it is about, most of all first."""
        return await concepts_of(info.context, str(self.id), paging.checked(first))


@strawberry.type
class LearningStep:
    """One step of a path. `requires` are ids of earlier steps."""

    order: int
    level: int
    concept: Concept
    requires: list[strawberry.ID]
    reason: str
    resources: list[LearningResource]


@strawberry.federation.type(keys=["id"])
class LearningPath:
    """Steps in an order in which every prerequisite comes before what needs it. Its id is `target`, or `source..target`."""

    id: strawberry.ID
    target: Concept | None
    source: Concept | None
    steps: list[LearningStep]
    minutes: int
    complete: bool
    notes: list[str]


@strawberry.type
class ConceptProgress:
    """Where a user stands with a concept."""

    concept_id: strawberry.ID
    status: progress.ProgressStatus
    percent_complete: int
    minutes_spent: int
    difficulty_rating: int | None
    notes: str
    started_at: datetime | None
    completed_at: datetime | None
    last_accessed_at: datetime

    @strawberry.field
    async def concept(self, info: strawberry.Info[GraphContext]) -> Concept | None:
        """The concept; null when it is not in the graph any more."""
        return await info.context.load(concepts_by_id, str(self.concept_id))

    @classmethod
    def of(cls, found: progress.ConceptProgress) -> ConceptProgress:
        same = ("status", "minutes_spent", "difficulty_rating", "notes", "started_at", "completed_at")
        return cls(
            concept_id=strawberry.ID(found.concept),
            percent_complete=found.percent,
            last_accessed_at=found.updated_at,
            **{name: getattr(found, name) for name in same},
        )


@strawberry.federation.type(keys=["userId"])
class UserProgress:
    """How far somebody is with all that was begun, the latest first."""

    user_id: strawberry.ID
    concepts: list[ConceptProgress]

    @strawberry.field
    def completed_concepts(self) -> int:
        """How many are completed or mastered."""
        return sum(one.completed_at is not None for one in self.concepts)


@strawberry.type
class Relationship:
    """An edge of the graph. `weight` is between 0 and 1."""

    source: strawberry.ID
    target: strawberry.ID
    type: model.EdgeType
    weight: float


@strawberry.type
class KnowledgeGraph:
    """A part of the graph: some concepts and the edges between them."""

    nodes: list[Concept]
    relationships: list[Relationship]


async def graphs(context: GraphContext, keys: list[None]) -> Sequence[GraphView]:
    """The tenant's whole graph, which is kept in memory: a request asks the server once whether it has changed."""
    view = await context.run(context.services.graph_questions.view, context.tenant)
    return [view for _ in keys]


async def concepts_by_id(context: GraphContext, ids: list[str]) -> Sequence[Concept | None]:
    """By id or name; an alias leads to what it stands for."""
    view = await context.load(graphs, None)
    return [_concept(view, id) for id in ids]


async def resources_by_id(context: GraphContext, ids: list[str]) -> Sequence[LearningResource | None]:
    """The documents that the tenant has."""
    found = await context.run(context.services.documents.get_many, ids, tenant=context.tenant)
    return [LearningResource(id=strawberry.ID(id)) if id in found else None for id in ids]


async def paths_by_id(context: GraphContext, ids: list[str]) -> Sequence[LearningPath | Exception | None]:
    """Each planned anew, over the graph in memory."""

    def plan(id: str) -> LearningPath | Exception | None:
        source, dots, target = id.rpartition("..")
        try:
            return _planned(context, target, source if dots else None, ())
        except NotFoundError:
            return None

    return [await context.run(plan, id) for id in ids]


async def progress_of_users(context: GraphContext, users: list[str]) -> Sequence[UserProgress | Exception]:
    """One's own; that of others is for those who manage users."""

    def read(user: str) -> UserProgress | Exception:
        try:
            _check_user(context, user)
        except Exception as error:  # noqa: BLE001  # told for this user alone
            return error
        found = context.services.progress.of(user, tenant=context.tenant)
        return UserProgress(user_id=strawberry.ID(user), concepts=[ConceptProgress.of(one) for one in found])

    return await context.run(lambda: [read(user) for user in users])


async def concepts_of(context: GraphContext, document: str, first: int) -> list[Concept]:
    """What a document is about, most of all first."""
    view = await context.load(graphs, None)
    places = sorted(view.documents.get(document, ()), key=lambda found: (-found[1], found[0]))
    return [Concept.of(view.concepts[place]) for place, _ in places[:first]]


async def _neighbours(context: GraphContext, id: str, which: str) -> list[Concept]:
    view: GraphView = await context.load(graphs, None)
    place = view.place.get(view.aliases.get(id, id))
    if place is None:
        return []
    if which == "prerequisites":
        found = view.requires.of(place)
    elif which == "enables":
        found = view.required_by.of(place)
    else:
        kind = RELATED_TO if which == "related" else PART_OF
        forth = () if which == "subtopics" else view.targets[(view.sources == place) & (view.kinds == kind)]
        back = () if which == "parents" else view.sources[(view.targets == place) & (view.kinds == kind)]
        found = [int(one) for one in (*forth, *back)]
    return [Concept.of(view.concepts[one]) for one in sorted(set(found))]


def _concept(view: GraphView, name: str) -> Concept | None:
    key = name if name in view.place else concept_id(name)
    place = view.place.get(view.aliases.get(key, key))
    return None if place is None else Concept.of(view.concepts[place])


def _planned(context: GraphContext, target: str, source: str | None, known: Sequence[str]) -> LearningPath:
    services = context.services
    found = services.learning_paths.plan(target, source=source, known=known, tenant=context.tenant)
    view = services.graph_questions.view(context.tenant)
    steps = [
        LearningStep(
            order=step.order,
            level=step.level,
            concept=Concept.of(step.concept),
            requires=[strawberry.ID(one) for one in step.requires],
            reason=step.reason,
            resources=[LearningResource(id=strawberry.ID(document)) for document in step.documents],
        )
        for step in found.steps
    ]
    return LearningPath(
        id=strawberry.ID(found.target if found.source is None else f"{found.source}..{found.target}"),
        target=_concept(view, found.target),
        source=None if found.source is None else _concept(view, found.source),
        steps=steps,
        minutes=found.minutes,
        complete=found.complete,
        notes=list(found.notes),
    )


def _part(view: GraphView, places: Sequence[int]) -> KnowledgeGraph:
    kept = set(places)
    relationships = [
        Relationship(
            source=strawberry.ID(view.ids[source]),
            target=strawberry.ID(view.ids[target]),
            type=KINDS[kind],
            weight=float(weight),
        )
        for source, target, kind, weight in zip(view.sources, view.targets, view.kinds, view.weights, strict=True)
        if source in kept and target in kept
    ]
    # The view holds edges in the order in which its process heard of them.
    relationships.sort(key=lambda edge: (edge.source, edge.target, edge.type))
    return KnowledgeGraph(nodes=[Concept.of(view.concepts[place]) for place in places], relationships=relationships)


def _check_user(context: GraphContext, user: str) -> None:
    if user != context.principal.username:
        context.check("manage:users")


@extends(Workflow)
class _WorkflowKnowledge:
    @strawberry.field
    async def knowledge_graph(self, info: strawberry.Info[GraphContext], first: First = 25) -> KnowledgeGraph | None:
        """The concepts of the documents that its newest runs name, most mentioned first, and the edges between them."""
        context = info.context
        documents = await context.load(documents_of_workflows, str(self.id))  # type: ignore[attr-defined]
        view: GraphView = await context.load(graphs, None)
        weights: dict[int, float] = {}
        for document in documents:
            for place, weight in view.documents.get(str(document.id), ()):
                weights[place] = weights.get(place, 0.0) + weight
        ranked = sorted(weights, key=lambda place: (-weights[place], view.ids[place]))
        return _part(view, ranked[: paging.checked(first)])


@extends(Document)
class _DocumentKnowledge:
    @strawberry.field
    async def concepts(self, info: strawberry.Info[GraphContext], first: First = 10) -> list[Concept] | None:
        """What it is about, most of all first."""
        return await concepts_of(info.context, str(self.id), paging.checked(first))  # type: ignore[attr-defined]


@strawberry.type
class Query:
    """What can be asked of knowledge."""

    @strawberry.field
    async def concept(self, info: strawberry.Info[GraphContext], id: strawberry.ID) -> Concept | None:
        """One concept, by id or name; null when there is none."""
        return await info.context.load(concepts_by_id, str(id))

    @strawberry.field
    async def concepts(
        self,
        info: strawberry.Info[GraphContext],
        first: First = 10,
        after: After = None,
        search: str = "",
        category: str | None = None,
        difficulty: str | None = None,
        tag: str | None = None,
        min_quality: float | None = None,
    ) -> Connection[Concept] | None:
        """Concepts that fit, the most central first."""
        behind = paging.decode("concepts", after)
        offset = _number(behind)
        found = await info.context.run(
            info.context.services.graph_questions.concepts,
            search,
            tenant=info.context.tenant,
            categories=() if category is None else (category,),
            difficulties=() if difficulty is None else (difficulty,),
            tags=() if tag is None else (tag,),
            min_quality=min_quality,
            limit=paging.checked(first) + 1,
            offset=offset,
        )
        listed = list(enumerate(map(Concept.of, found.concepts), start=offset + 1))
        page = paging.page("concepts", listed, lambda one: str(one[0]), first=first, after=after, total=found.total)
        edges = [paging.Edge(cursor=edge.cursor, node=edge.node[1]) for edge in page.edges]
        return Connection(edges=edges, page_info=page.page_info, total_count=page.total_count)

    @strawberry.field
    async def learning_path(
        self,
        info: strawberry.Info[GraphContext],
        target: str,
        source: str | None = None,
        known: list[str] | None = None,
    ) -> LearningPath | None:
        """The way to a concept, every prerequisite before what needs it, without what is known."""
        return await info.context.run(_planned, info.context, target, source, tuple(known or ()))

    @strawberry.field
    async def learning_progress(
        self, info: strawberry.Info[GraphContext], user_id: strawberry.ID | None = None
    ) -> UserProgress | None:
        """How far somebody is; unset = oneself."""
        user = info.context.principal.username if user_id is None else str(user_id)
        return await info.context.load(progress_of_users, user)


@strawberry.type
class Mutation:
    """What can be said of learning."""

    @strawberry.mutation
    async def update_learning_progress(
        self,
        info: strawberry.Info[GraphContext],
        concept_id: strawberry.ID,
        status: progress.ProgressStatus | None = None,
        percent_complete: int | None = None,
        minutes: int = 0,
        difficulty_rating: int | None = None,
        notes: str | None = None,
    ) -> UserProgress | None:
        """Tell how far one is with a concept. What is not said stays; minutes are added to those before."""
        context = info.context
        said = {
            "status": status,
            "percent": percent_complete,
            "minutes": minutes,
            "difficulty_rating": difficulty_rating,
            "notes": notes,
        }
        change = validated(progress.ProgressChange, said)
        view = await context.load(graphs, None)
        known = _concept(view, str(concept_id))
        if known is None:
            raise NotFoundError(f"There is no concept {str(concept_id)[:200]!r}.", code="concept_not_found")
        user = context.principal.username
        store = context.services.progress
        await context.run(store.change, str(known.id), change, user=user, tenant=context.tenant, now=datetime.now(UTC))
        return (await progress_of_users(context, [user]))[0]  # type: ignore[return-value]


def _number(behind: str | None) -> int:
    if behind is None:
        return 0
    if not (behind.isascii() and behind.isdigit() and len(behind) < 9):  # noqa: PLR2004  # more than any graph has
        raise InvalidInputError("The cursor is not one of this list's.", code="cursor_invalid")
    return int(behind)


_READ = "read:knowledge"
MODULE = Module(
    name="knowledge",
    query=Query,
    mutation=Mutation,
    entities={
        Concept: concepts_by_id,
        LearningResource: resources_by_id,
        LearningPath: paths_by_id,
        UserProgress: progress_of_users,
    },
    cache={
        "Query.concept": 10,
        "Query.concepts": 10,
        "Query.learningPath": 10,
        "Concept.prerequisites": 10,
        "Concept.enables": 10,
        "Concept.relatedConcepts": 10,
        "Concept.parentTopics": 10,
        "Concept.subtopics": 10,
        "Concept.resources": 10,
        "LearningResource.document": 10,
        "LearningResource.concepts": 10,
        "Document.concepts": 10,
    },
    access={
        "Concept": _READ,
        "LearningResource": _READ,
        "LearningPath": _READ,
        "UserProgress": _READ,
        "Query.concept": _READ,
        "Query.concepts": _READ,
        "Query.learningPath": _READ,
        "Query.learningProgress": _READ,
        "Concept.prerequisites": _READ,
        "Concept.enables": _READ,
        "Concept.relatedConcepts": _READ,
        "Concept.parentTopics": _READ,
        "Concept.subtopics": _READ,
        "Concept.resources": _READ,
        "ConceptProgress.concept": _READ,
        "LearningResource.document": "read:documents",
        "LearningResource.concepts": _READ,
        "Document.concepts": _READ,
        "Workflow.knowledgeGraph": _READ,
        "Mutation.updateLearningProgress": _READ,
    },
)
