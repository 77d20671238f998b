"""Uses of tools that agents ask for, and people decide."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from api import problems
from api.auth.principal import PrincipalDep
from api.dependencies import ServicesDep, TenantDep
from api.paging import PageDep
from resources.agents.approvals import Approval, Approvals

router = APIRouter(prefix="/approvals", tags=["approvals"])


class ApprovalDecisionIn(BaseModel):
    """Why it was decided so; the agent's model is told when it was denied."""

    model_config = ConfigDict(extra="forbid")

    comment: str | None = Field(default=None, max_length=1000)


@router.get("", summary="List approvals", responses=problems.responses(400, 422, 503))
def list_approvals(
    services: ServicesDep,
    tenant: TenantDep,
    page: PageDep,
    waiting: Annotated[bool, Query(description="Only those that nobody has decided")] = True,
) -> list[Approval]:
    """What agents wait for, the newest first."""
    found = Approvals(services.events).list(tenant=tenant, waiting=waiting)
    return list(page.of(found, lambda approval: (approval.requested_at, approval.id), newest=True))


@router.get("/{approval_id}", summary="Show an approval", responses=problems.responses(404, 422, 503))
def show_approval(approval_id: UUID, services: ServicesDep, tenant: TenantDep) -> Approval:
    """Which tool, with which arguments, and what was decided."""
    return Approvals(services.events).get(str(approval_id), tenant=tenant)


@router.post("/{approval_id}/grant", summary="Grant an approval", responses=problems.responses(404, 409, 422, 503))
def grant_approval(
    approval_id: UUID, services: ServicesDep, principal: PrincipalDep, body: ApprovalDecisionIn | None = None
) -> Approval:
    """The agent may use the tool, once. Execute its run again: it goes on from there."""
    return _decide(approval_id, services, principal, body, granted=True)


@router.post("/{approval_id}/deny", summary="Deny an approval", responses=problems.responses(404, 409, 422, 503))
def deny_approval(
    approval_id: UUID, services: ServicesDep, principal: PrincipalDep, body: ApprovalDecisionIn | None = None
) -> Approval:
    """The agent may not. Executed again, its run goes on without the tool."""
    return _decide(approval_id, services, principal, body, granted=False)


def _decide(
    approval_id: UUID, services: ServicesDep, principal: PrincipalDep, body: ApprovalDecisionIn | None, *, granted: bool
) -> Approval:
    return Approvals(services.events).decide(
        str(approval_id),
        granted=granted,
        user=principal.username,
        comment=body.comment if body is not None else None,
        tenant=principal.tenant,
    )
