"""What the contracts of a graph store are tried with."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from resources.knowledge.dialects import DIMENSIONS
from resources.knowledge.model import (
    Concept,
    Edge,
    EdgeType,
    Evidence,
    Extraction,
    LearningResource,
    Merge,
    Origin,
    PathConcept,
    SavedPath,
    concept_id,
)
from resources.knowledge.state import LearnerProgress

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Literal

    from numpy.typing import NDArray

    from resources.knowledge.model import Difficulty
    from resources.knowledge.store import GraphStore


def subject(name: str, *, description: str | None = None, difficulty: Difficulty | None = None) -> Concept:
    return Concept(id=concept_id(name), name=name, kind="subject", description=description, difficulty=difficulty)


def topic(name: str) -> Concept:
    return Concept(id=concept_id(name), name=name)


def requires(source: str, target: str, weight: float = 1.0) -> Edge:
    return Edge(source=source, target=target, type=EdgeType.REQUIRES, weight=weight)


def related(source: str, target: str, weight: float = 0.5) -> Edge:
    return Edge(source=source, target=target, type=EdgeType.RELATED_TO, weight=weight)


def extraction(
    document: str,
    concepts: Iterable[Concept],
    edges: Iterable[Edge] = (),
    *,
    mentions: Mapping[str, float] | None = None,
    sha256: str = "0" * 64,
    title: str | None = None,
) -> Extraction:
    return Extraction(
        document_id=document,
        sha256=sha256,
        title=title,
        concepts=tuple(concepts),
        mentions=dict(mentions or {}),
        edges=tuple(edges),
    )


def merge(
    alias: str,
    into: str,
    *,
    status: Literal["proposed", "merged", "rejected", "undone"] = "merged",
    id: str | None = None,
) -> Merge:
    return Merge(
        id=id or f"{alias} {into}", alias=alias, into=into, status=status, score=0.9, reason="alike", by="test", at=NOW
    )


def contents(store: GraphStore, tenant: str) -> object:
    """All that a store says about a tenant, for comparison."""
    concepts = store.concepts(tenant=tenant)
    return (
        list(concepts),
        list(store.edges(tenant=tenant)),
        store.documents_of([concept.id for concept in concepts], tenant=tenant),
        store.counts(tenant=tenant),
        list(store.curations(tenant=tenant)),
        [list(store.support(concept.id, tenant=tenant)) for concept in concepts],
        store.resources({one.id: DOCUMENTS for one in concepts}, tenant=tenant),
        [list(store.named_in(document, tenant=tenant)) for document in DOCUMENTS],
        {one.id: [path.id for path in store.paths(tenant=tenant, over=one.id)] for one in concepts},
        {one.id: store.learners(one.id, tenant=tenant) for one in concepts},
    )


NOW = datetime(2026, 1, 2, tzinfo=UTC)
DOCUMENTS = ("1.md", "2.md", "3.md")
"""Of the random histories that `contents` compares."""


def resource(title: str = "A page", *, minutes: int = 7) -> LearningResource:
    return LearningResource(
        url=f"https://example.org/{title}",
        title=title,
        resource_type="page",
        format="text/html",
        source="https",
        quality=0.7,
        difficulty="advanced",
        minutes=minutes,
        language="en",
    )


def saved_path(name: str, *concepts: str) -> SavedPath:
    return SavedPath(
        id=name,
        name=name,
        target=concepts[-1],
        concepts=tuple(PathConcept(order=number, concept=key) for number, key in enumerate(concepts, 1)),
        minutes=90,
        difficulties=tuple(None for _ in concepts),
        outcomes=(f"explain {concepts[-1]}",),
        creator="ada",
        custom=True,
        updated_at=NOW,
    )


def learned(user: str, concept: str, status: str = "completed") -> LearnerProgress:
    return LearnerProgress(
        user=user,
        concept=concept,
        status=status,
        percent=100,
        minutes=30,
        rating=None,
        started_at=NOW,
        completed_at=NOW,
        updated_at=NOW,
    )


def vector(*head: float) -> NDArray[np.float32]:
    """A vector of unit length that begins so."""
    whole = np.zeros(DIMENSIONS, np.float32)
    whole[: len(head)] = head
    unit: NDArray[np.float32] = whole / np.linalg.norm(whole)
    return unit


PANDAS = extraction(
    "pandas.md",
    [subject("Pandas", description="Data frames", difficulty="intermediate"), subject("NumPy"), topic("data frame")],
    [requires("pandas", "numpy"), related("pandas", "data-frame", 0.8)],
    mentions={"pandas": 1.0, "data-frame": 0.8},
    title="Pandas",
)
NUMPY = extraction(
    "numpy.md",
    [subject("NumPy", description="Arrays"), topic("array"), topic("Data Frame")],
    [related("numpy", "array"), related("numpy", "data-frame", 0.2)],
    mentions={"numpy": 1.0, "array": 0.7, "data-frame": 0.9},
)


PAGE = PANDAS.model_copy(
    update={
        "resource": resource("Pandas"),
        "passages": ((0, 100), (80, 200), (200, 260)),
        "evidence": {
            "pandas": Evidence(origin=Origin.STRUCTURE, chunks=(0, 2)),
            "data-frame": Evidence(origin=Origin.STRUCTURE, chunks=(1,)),
        },
    }
)
