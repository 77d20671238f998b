"""The users of the tenant, for its admins."""

from __future__ import annotations

from http import HTTPStatus
from uuid import UUID

from fastapi import APIRouter, Response

from api import problems
from api.auth.principal import PrincipalDep
from api.auth.schemas import LogoutOut, NewPasswordIn, UserIn, UserOut, UserPatch
from api.dependencies import ServicesDep
from api.paging import PageDep
from api.preconditions import IfMatch, tagged, unless_changed

router = APIRouter(prefix="/users", tags=["users"])


@router.get("", summary="List users", responses=problems.responses(400, 401, 403, 422, 503))
def list_users(principal: PrincipalDep, services: ServicesDep, page: PageDep) -> list[UserOut]:
    """All users of the tenant, by name."""
    found = services.identity.administration.users(tenant=principal.tenant)
    return [UserOut.of(user) for user in page.of(found, lambda user: (user.username,))]


@router.post(
    "",
    status_code=HTTPStatus.CREATED,
    summary="Create a user",
    responses=problems.responses(400, 401, 403, 404, 409, 413, 422, 429, 503),
)
def create_user(body: UserIn, principal: PrincipalDep, services: ServicesDep) -> UserOut:
    """A new user of the tenant."""
    password = None if body.password is None else body.password.get_secret_value()
    made = services.identity.administration.create_user(
        body.username, tenant=principal.tenant, role=body.role, email=body.email, password=password, actor=principal
    )
    return UserOut.of(made)


@router.get("/{user_id}", summary="Show a user", responses=problems.responses(401, 403, 404, 422, 503))
def show_user(user_id: UUID, principal: PrincipalDep, services: ServicesDep, response: Response) -> UserOut:
    """One user of the tenant."""
    return tagged(UserOut.of(services.identity.administration.user(user_id, tenant=principal.tenant)), response)


@router.patch(
    "/{user_id}", summary="Change a user", responses=problems.responses(401, 403, 404, 409, 412, 413, 422, 503)
)
def change_user(
    user_id: UUID,
    body: UserPatch,
    principal: PrincipalDep,
    services: ServicesDep,
    response: Response,
    if_match: IfMatch = None,
) -> UserOut:
    """Role, status, email. The role holds at once, for sessions that are open too; those of a suspended user end."""
    changed = services.identity.administration.change_user(
        user_id,
        tenant=principal.tenant,
        role=body.role,
        status=body.status,
        email=body.email,
        unless=unless_changed(if_match, UserOut.of),
        actor=principal,
    )
    return tagged(UserOut.of(changed), response)


@router.put(
    "/{user_id}/password",
    status_code=HTTPStatus.NO_CONTENT,
    summary="Set a user's password",
    responses=problems.responses(400, 401, 403, 404, 413, 422, 429, 503),
)
def set_password(user_id: UUID, body: NewPasswordIn, principal: PrincipalDep, services: ServicesDep) -> None:
    """All sessions of the user end."""
    services.identity.administration.change_password(
        user_id, body.password.get_secret_value(), tenant=principal.tenant, actor=principal
    )


@router.delete(
    "/{user_id}/sessions", summary="End a user's sessions", responses=problems.responses(401, 403, 404, 422, 503)
)
def end_sessions(user_id: UUID, principal: PrincipalDep, services: ServicesDep) -> LogoutOut:
    """All tokens of the user are worth nothing then; API keys stay."""
    ended = services.identity.administration.end_sessions(user_id, tenant=principal.tenant, actor=principal)
    return LogoutOut(ended=ended)
