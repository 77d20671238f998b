"""How much there is."""

from __future__ import annotations

from fastapi import APIRouter

from api import problems
from api.dependencies import ServicesDep, TenantDep
from api.schemas import StatisticsOut

router = APIRouter(prefix="/statistics", tags=["knowledge"])


@router.get("", summary="Count documents, passages, concepts and edges", responses=problems.responses(503))
def statistics(services: ServicesDep, tenant: TenantDep) -> StatisticsOut:
    """How much the tenant has, and where its documents stand."""
    by_status = dict(services.documents.counts(tenant=tenant))
    graph = services.graph.counts(tenant=tenant)
    return StatisticsOut(
        documents=sum(by_status.values()),
        documents_by_status=by_status,
        chunks=services.chunks.count(tenant=tenant),
        concepts=graph.concepts,
        edges=graph.edges,
    )
