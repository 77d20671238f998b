"""The principal of a request, for routes: `PrincipalDep`, `require(scope)`, and `authorize`, which every router has."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, Request

from api.auth import access
from resources.tenants.model import Principal
from resources.tenants.permissions import Role, scopes_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, MutableMapping

    from resources.tenants.identity import Identity

_STATE = "principal"


@lru_cache(maxsize=1024)
def local_principal(tenant: str) -> Principal:
    """Whoever sits at this machine, when the platform runs for nobody else (`AIW_AUTH__MODE=local`)."""
    return Principal(tenant, "local", "local", Role.ADMIN, scopes_of(Role.ADMIN, at_home=True))


def principal_of(scope: Mapping[str, Any]) -> Principal | None:
    """The principal that the middleware found, of a connection's ASGI scope."""
    found: Principal | None = scope.get("state", {}).get(_STATE)
    return found


def remember(scope: MutableMapping[str, Any], principal: Principal | None) -> None:
    """Keep the principal with the connection."""
    scope.setdefault("state", {})[_STATE] = principal


def credential_of(headers: Mapping[str, str]) -> str | None:
    """The access token or API key that is sent: `Authorization: Bearer` or `X-API-Key`. Names are lower case."""
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and value.strip():
        return value.strip()
    return headers.get("x-api-key") or None


def authenticate(identity: Identity, token: str | None, headers: Mapping[str, str]) -> Principal:
    """The principal of a handshake: of `token`, else of what its headers send. Raises UnauthenticatedError.

    For faces that authenticate themselves, such as WebSockets. May ask the database: not for the event loop.
    """
    credential = token or credential_of(headers)
    if credential is None:
        raise access.unauthenticated()
    return identity.verified.authenticate(credential)


async def current_principal(request: Request) -> Principal:
    """Who makes the request. Raises UnauthenticatedError."""
    principal = principal_of(request.scope)
    if principal is None:
        raise access.unauthenticated()
    return principal


PrincipalDep = Annotated[Principal, Depends(current_principal)]


def require(scope: str) -> Callable[[Request], Awaitable[Principal]]:
    """A dependency: the principal, if it may do `scope`. Raises UnauthenticatedError, NotPermittedError."""

    async def permitted(request: Request) -> Principal:
        principal = await current_principal(request)
        if not principal.allows(scope):
            raise access.refused(scope)
        return principal

    return permitted


async def authorize(request: Request) -> None:
    """Hold the principal against the table of access. Raises UnauthenticatedError, NotPermittedError."""
    wanted = access.needed(request.method, request.scope["route"].path)
    if wanted == access.PUBLIC:
        return
    principal = await current_principal(request)
    if wanted != access.ANYONE and not principal.allows(wanted):
        raise access.refused(wanted)
