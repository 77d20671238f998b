"""Tenants, for the platform's admins."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path

from api import problems
from api.auth.principal import PrincipalDep
from api.auth.schemas import TenantIn, TenantOut, TenantPatch
from api.dependencies import ServicesDep
from resources.errors import NotFoundError
from resources.tenants.permissions import Role

router = APIRouter(prefix="/tenants", tags=["tenants"])

TenantId = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$", description="Id of the tenant")]


@router.get("", summary="List tenants", responses=problems.responses(401, 403, 503))
def list_tenants(services: ServicesDep) -> list[TenantOut]:
    """All tenants of the platform."""
    return [TenantOut.of(tenant) for tenant in services.identity.administration.tenants()]


@router.post(
    "",
    status_code=HTTPStatus.CREATED,
    summary="Create a tenant",
    responses=problems.responses(400, 401, 403, 409, 413, 422, 503),
)
def create_tenant(body: TenantIn, principal: PrincipalDep, services: ServicesDep) -> TenantOut:
    """A new tenant, and its first admin if one is named."""
    administration = services.identity.administration
    tenant = administration.create_tenant(body.id, name=body.name, limits=body.limits.limits(), actor=principal)
    if body.admin is not None:
        password = None if body.admin_password is None else body.admin_password.get_secret_value()
        administration.create_user(body.admin, tenant=tenant.id, role=Role.ADMIN, password=password, actor=principal)
    return TenantOut.of(tenant)


@router.get("/{tenant_id}", summary="Show a tenant", responses=problems.responses(401, 403, 404, 422, 503))
def show_tenant(tenant_id: TenantId, principal: PrincipalDep, services: ServicesDep) -> TenantOut:
    """The own tenant; any, for the platform's admins."""
    if tenant_id != principal.tenant and not principal.allows("system_admin"):
        raise NotFoundError(f"There is no tenant {tenant_id!r}.", code="tenant_not_found")
    return TenantOut.of(services.identity.administration.tenant(tenant_id))


@router.patch(
    "/{tenant_id}", summary="Change a tenant", responses=problems.responses(401, 403, 404, 409, 413, 422, 503)
)
def change_tenant(tenant_id: TenantId, body: TenantPatch, principal: PrincipalDep, services: ServicesDep) -> TenantOut:
    """Its name, whether it may act, and how much it may use. Nobody of a suspended tenant gets in."""
    changed = services.identity.administration.change_tenant(
        tenant_id,
        name=body.name,
        status=body.status,
        limits=None if body.limits is None else body.limits.limits(),
        actor=principal,
    )
    return TenantOut.of(changed)
