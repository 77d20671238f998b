"""Tenants, for the platform's admins."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Path, Response

from api import problems
from api.auth.principal import PrincipalDep
from api.auth.schemas import QuotaOut, TenantIn, TenantOut, TenantPatch
from api.dependencies import NowDep, ServicesDep
from api.paging import PageDep
from api.preconditions import IfMatch, tagged, unless_changed
from resources.ai.budgets.quota import spending_of
from resources.errors import ConflictError, NotFoundError, UnavailableError
from resources.tenants.permissions import Role

if TYPE_CHECKING:
    from api.dependencies import Services
    from resources.tenants.model import Principal

_MOST_RUNS = 1000
router = APIRouter(prefix="/tenants", tags=["tenants"])

TenantId = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$", description="Id of the tenant")]


@router.get("", summary="List tenants", responses=problems.responses(400, 401, 403, 422, 503))
def list_tenants(services: ServicesDep, page: PageDep) -> list[TenantOut]:
    """All tenants of the platform."""
    found = page.of(services.identity.administration.tenants(), lambda tenant: (tenant.id,))
    return [TenantOut.of(tenant) for tenant in found]


@router.post(
    "",
    status_code=HTTPStatus.CREATED,
    summary="Create a tenant",
    responses=problems.responses(400, 401, 403, 409, 413, 422, 503),
)
def create_tenant(body: TenantIn, principal: PrincipalDep, services: ServicesDep) -> TenantOut:
    """A new tenant, and its first admin if one is named."""
    administration = services.identity.administration
    tenant = administration.create_tenant(
        body.id, name=body.name, limits=body.limits.limits(), own_schema=body.own_schema, actor=principal
    )
    if body.admin is not None:
        password = None if body.admin_password is None else body.admin_password.get_secret_value()
        administration.create_user(body.admin, tenant=tenant.id, role=Role.ADMIN, password=password, actor=principal)
    return TenantOut.of(tenant)


@router.get("/{tenant_id}", summary="Show a tenant", responses=problems.responses(401, 403, 404, 422, 503))
def show_tenant(tenant_id: TenantId, principal: PrincipalDep, services: ServicesDep, response: Response) -> TenantOut:
    """The own tenant; any, for the platform's admins."""
    _check_own(tenant_id, principal)
    return tagged(TenantOut.of(services.identity.administration.tenant(tenant_id)), response)


@router.get(
    "/{tenant_id}/quota", summary="Show a tenant's quota", responses=problems.responses(401, 403, 404, 422, 503)
)
def show_quota(tenant_id: TenantId, principal: PrincipalDep, services: ServicesDep, now: NowDep) -> QuotaOut:
    """How much it may use, and how much it does. Of the own tenant; of any, for the platform's admins."""
    _check_own(tenant_id, principal)
    tenant = services.identity.administration.tenant(tenant_id)
    return QuotaOut.of(
        tenant.limits,
        services.quotas.consumption(tenant_id, now=now),
        runs_under_way=_under_way(services, tenant_id),
        spending=spending_of(services.ai.budgets, tenant_id),
    )


@router.patch(
    "/{tenant_id}",
    summary="Change a tenant",
    responses=problems.responses(401, 403, 404, 409, 412, 413, 422, 428, 503),
)
def change_tenant(
    tenant_id: TenantId,
    body: TenantPatch,
    principal: PrincipalDep,
    services: ServicesDep,
    response: Response,
    if_match: IfMatch = None,
) -> TenantOut:
    """Its name, whether it may act, and how much it may use. Nobody of a suspended tenant gets in.

    `limits` replaces all of them, and therefore needs an `If-Match`.
    """
    changed = services.identity.administration.change_tenant(
        tenant_id,
        name=body.name,
        status=body.status,
        limits=None if body.limits is None else body.limits.limits(),
        unless=unless_changed(if_match, TenantOut.of, required=body.limits is not None),
        actor=principal,
    )
    return tagged(TenantOut.of(changed), response)


@router.delete(
    "/{tenant_id}", summary="Erase a tenant", responses=problems.responses(401, 403, 404, 409, 412, 422, 503)
)
def erase_tenant(
    tenant_id: TenantId, principal: PrincipalDep, services: ServicesDep, if_match: IfMatch = None
) -> TenantOut:
    """Remove all that it has but its events, for good: of a suspended tenant that has a schema of its own.

    Its id is never given again. May be repeated where it was interrupted.
    """
    if services.runs.list(tenant=tenant_id, status="started", limit=1).runs:
        raise ConflictError(f"Runs of {tenant_id!r} are under way. Cancel them, or wait.", code="tenant_busy")
    unless = unless_changed(if_match, TenantOut.of)
    return TenantOut.of(services.identity.administration.erase_tenant(tenant_id, unless=unless, actor=principal))


def _under_way(services: Services, tenant_id: str) -> int | None:
    try:
        return len(services.runs.list(tenant=tenant_id, status="started", limit=_MOST_RUNS).runs)
    except UnavailableError:
        return None


def _check_own(tenant_id: str, principal: Principal) -> None:
    if tenant_id != principal.tenant and not principal.allows("system_admin"):
        raise NotFoundError(f"There is no tenant {tenant_id!r}.", code="tenant_not_found")
