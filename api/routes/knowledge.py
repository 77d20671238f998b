"""Asking what was learned."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from api import problems
from api.dependencies import ServicesDep, TenantDep
from resources.knowledge.model import ConceptView, LearningPath, concept_id

router = APIRouter(tags=["knowledge"])


@router.get("/learning-path", summary="Find a learning path", responses=problems.responses(404, 422, 503))
def learning_path(
    services: ServicesDep,
    tenant: TenantDep,
    to: Annotated[str, Query(min_length=1, max_length=200, description="The concept to learn, by name or id")],
    known: Annotated[
        str | None, Query(alias="from", min_length=1, max_length=200, description="A concept that is already known")
    ] = None,
) -> LearningPath:
    """Steps to `to`, every prerequisite before what needs it; without what knowing `from` makes unnecessary."""
    return services.learning_paths.plan(to, source=known, tenant=tenant)


@router.get("/concepts/{concept}", summary="Show a concept", responses=problems.responses(404, 422, 503))
def show_concept(
    concept: Annotated[str, Path(min_length=1, max_length=200)], services: ServicesDep, tenant: TenantDep
) -> ConceptView:
    """A concept with its neighbours, and the documents that mention it."""
    return services.graph.concept(concept_id(concept), tenant=tenant)
