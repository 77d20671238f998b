"""The principal of a request, for routes: `PrincipalDep`, `require(scope)`, and `authorize`, which every router has."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any

from anyio import to_thread
from fastapi import Depends, Request

from api.auth import access
from resources.tenants.model import Principal
from resources.tenants.permissions import Role, scopes_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, MutableMapping

    from resources.tenants.cache import VerifiedCredentials

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


class Authenticate:
    """The principal of a handshake, for faces that authenticate themselves, such as WebSockets."""

    def __init__(self, verified: VerifiedCredentials, *, local_tenant: Callable[[], str] | None = None) -> None:
        """`local_tenant` gives the tenant of who shows nothing; None = there is no such."""
        self._verified = verified
        self._local_tenant = local_tenant

    async def __call__(self, token: str | None, headers: Mapping[str, str]) -> Principal:
        """Who `token` belongs to, else what the headers send. Raises UnauthenticatedError."""
        credential = token or credential_of(headers)
        if credential is None:
            if self._local_tenant is None:
                raise access.unauthenticated()
            return local_principal(self._local_tenant())
        found = self._verified.known(credential)
        if found is not None:
            return found
        return await to_thread.run_sync(self._verified.authenticate, credential)


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
