"""Who makes a request: found out before anything of it is read. Limits how many each may make.

With `local` whoever shows nothing is the admin of this machine's tenant. Else they may only ask for what is public. A credential
that is not good is refused wherever it is needed; where it is not (to log in anew), it does no harm.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from anyio import to_thread

from api import problems
from api.auth import access
from api.auth.limiter import Buckets, Leases, Rate
from api.auth.principal import local_principal, remember
from api.middleware.exchange import exchange_of
from resources.errors import PlatformError, UnauthenticatedError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.types import ASGIApp, Receive, Scope, Send

    from api.auth.limiter import Decision, Rates, SharedBuckets
    from resources.tenants.cache import VerifiedCredentials
    from resources.tenants.model import Principal

_MAX_CREDENTIAL = 8192


class AuthMiddleware:
    """Puts the principal into the scope. `local_tenant` gives the tenant of who shows nothing; None = there is no such."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        verified: VerifiedCredentials,
        rates: Rates,
        local_tenant: Callable[[], str] | None = None,
        shared: SharedBuckets | None = None,
    ) -> None:
        self._app = app
        self._verified = verified
        self._local_tenant = local_tenant
        self._rates = rates
        self._buckets = Buckets()
        self._leases = None if shared is None else Leases(shared)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":  # sockets authenticate in their handshake
            await self._app(scope, receive, send)
            return
        try:
            principal = await self._principal(scope)
        except PlatformError as error:
            # Also who guesses is counted: a verification is dearer than most requests.
            decision = await self._tightest(scope, None)
            if decision is not None and not decision.allowed:
                await _refuse_rate(decision, scope, receive, send)
                return
            await _refuse(error, scope, receive, send)
            return
        remember(scope, principal)
        decision = await self._tightest(scope, principal)
        if decision is None:
            await self._app(scope, receive, send)
            return
        if not decision.allowed:
            await _refuse_rate(decision, scope, receive, send)
            return
        exchange = exchange_of(scope)
        if exchange is not None:
            exchange.add_headers(decision.headers())
        await self._app(scope, receive, send)

    async def _principal(self, scope: Scope) -> Principal | None:
        credential = _credential(scope)
        public = access.is_public(scope["path"])
        if credential is None:
            if self._local_tenant is not None:
                return local_principal(self._local_tenant())
            if public or scope["method"] == "OPTIONS":
                return None
            raise access.unauthenticated()
        found = self._verified.known(credential)
        if found is not None:
            return found
        if len(credential) > _MAX_CREDENTIAL:
            raise UnauthenticatedError("The token is not accepted: it is too long.", code="token_invalid")
        try:
            return await to_thread.run_sync(self._verified.authenticate, credential)
        except UnauthenticatedError:
            if public:
                return None
            raise

    async def _tightest(self, scope: Scope, principal: Principal | None) -> Decision | None:
        """A token of every bucket; the first that refuses, else the one with the least left. None = nothing is limited."""
        if self._local_tenant is not None and (principal is None or principal.subject == "local"):
            return None
        tightest: Decision | None = None
        for name, key, rate in self._wanted(scope, principal):
            decision = self._at_hand(name, key, rate) or await self._leased(name, key, rate)
            if not decision.allowed:
                return decision
            if tightest is None or decision.remaining < tightest.remaining:
                tightest = decision
        return tightest

    def _wanted(self, scope: Scope, principal: Principal | None) -> Sequence[tuple[str, str, Rate]]:
        client = scope.get("client")
        address = ("address", client[0] if client else "unknown", self._rates.address)
        if principal is None:
            return (address,)
        own = principal.limits.requests_per_minute
        rate = self._rates.tenant if own is None else Rate(own, max(1, min(own, self._rates.tenant.burst)))
        return (
            address,
            ("principal", principal.key_id or principal.subject, self._rates.principal),
            ("tenant", principal.tenant, rate),
        )

    def _at_hand(self, name: str, key: str, rate: Rate) -> Decision | None:
        """Without asking anybody."""
        return (self._leases or self._buckets).take(name, key, rate)

    async def _leased(self, name: str, key: str, rate: Rate) -> Decision:
        assert self._leases is not None  # the buckets of this process always have an answer
        try:
            return await to_thread.run_sync(self._leases.lease, name, key, rate)
        except UnavailableError:
            return self._buckets.take(name, key, rate)  # each process for itself, until the store is back


def _credential(scope: Scope) -> str | None:
    key = None
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, token = value.decode("latin-1").partition(" ")
            if scheme.lower() == "bearer" and token.strip():
                return str(token.strip())
        elif name == b"x-api-key" and value:
            key = value.decode("latin-1")
    return key


async def _refuse(error: PlatformError, scope: Scope, receive: Receive, send: Send) -> None:
    answer = problems.response(problems.of_error(error, instance=scope["path"]), headers=problems.headers_of(error))
    await answer(scope, receive, send)


async def _refuse_rate(decision: Decision, scope: Scope, receive: Receive, send: Send) -> None:
    problem = problems.document(
        429,
        "rate_limited",
        f"Too many requests of this {decision.name}: {decision.rate.per_minute} a minute are allowed.",
        instance=scope["path"],
        details={"limit": decision.name, "retry_after": round(decision.retry_after, 3)},
    )
    answer = problems.response(problem, headers={"Retry-After": str(max(1, math.ceil(decision.retry_after)))})
    answer.raw_headers.extend(decision.headers())
    await answer(scope, receive, send)
