"""Logging in and out, and who one is."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Cookie, Query, Request, Response
from fastapi.responses import RedirectResponse

from api import problems
from api.auth import oidc
from api.auth.principal import PrincipalDep, credential_of, principal_of
from api.auth.schemas import (
    JwksOut,
    LoginIn,
    LoginOut,
    LogoutIn,
    LogoutOut,
    PasswordIn,
    PrincipalOut,
    RefreshIn,
    TokenIn,
    TokenOut,
    VerifyIn,
    VerifyOut,
)
from api.dependencies import Services, ServicesDep
from resources.errors import NotFoundError, UnauthenticatedError

router = APIRouter(prefix="/auth", tags=["auth"])
aliases = APIRouter(tags=["auth"])


@router.post("/login", summary="Log in", responses=problems.responses(400, 401, 403, 413, 422, 429, 503))
@aliases.post("/login", summary="Log in (alias)", responses=problems.responses(400, 401, 403, 413, 422, 429, 503))
def login(body: LoginIn, request: Request, services: ServicesDep) -> LoginOut:
    """An access token for some minutes, and a refresh token to get the next one with."""
    identity = services.identity
    pair = identity.authentication.login(
        body.username,
        body.password.get_secret_value(),
        tenant=identity.home if body.tenant is None else body.tenant,
        address=_address(request),
    )
    return LoginOut.of(pair)


@router.post("/refresh", summary="Refresh the tokens", responses=problems.responses(401, 413, 422, 429, 503))
@aliases.post("/refresh", summary="Refresh the tokens (alias)", responses=problems.responses(401, 413, 422, 429, 503))
def refresh(body: RefreshIn, services: ServicesDep) -> LoginOut:
    """New tokens for a refresh token. It is good for one use: a second one ends the session for everybody who holds it."""
    return LoginOut.of(services.identity.authentication.refresh(body.refresh_token.get_secret_value()))


@router.post("/logout", summary="Log out", responses=problems.responses(401, 413, 422, 503))
def logout(body: LogoutIn, request: Request, services: ServicesDep) -> LogoutOut:
    """End the session of the access token, or of the refresh token that is sent. All its tokens are worth nothing then."""
    authentication = services.identity.authentication
    if body.refresh_token is not None:
        return LogoutOut(ended=authentication.logout_by_refresh(body.refresh_token.get_secret_value()))
    principal = principal_of(request.scope)
    if principal is None:
        raise UnauthenticatedError("Send the access token, or a refresh token in the body.")
    if principal.session_id is None:
        return LogoutOut(ended=0)  # a key or the local admin has no session
    return LogoutOut(ended=authentication.logout(principal, everywhere=body.everywhere))


@router.post("/token", summary="Issue a service token", responses=problems.responses(401, 403, 404, 413, 422, 503))
def issue_token(body: TokenIn, principal: PrincipalDep, services: ServicesDep) -> TokenOut:
    """A token for a program of the tenant, for an hour."""
    pair = services.identity.authentication.issue_service_token(
        body.sub, actor=principal, role=body.role, scopes=body.scopes
    )
    return TokenOut(access_token=pair.access_token, expires_in=pair.expires_in)


@router.get("/verify", summary="Verify the credential of the request", responses=problems.responses(503))
def verify_own(request: Request, services: ServicesDep) -> VerifyOut:
    """Whether what the request shows is good, and whose it is."""
    return _verified(services, credential_of(request.headers))


@router.post("/verify", summary="Verify a token", responses=problems.responses(413, 422, 503))
def verify(body: VerifyIn, services: ServicesDep) -> VerifyOut:
    """Whether the token is good, and whose it is."""
    return _verified(services, body.token.get_secret_value())


@router.get("/whoami", summary="Show who makes the request", responses=problems.responses(401, 503))
async def who_am_i(principal: PrincipalDep) -> PrincipalOut:
    """The principal: tenant, role, and what it may do."""
    return PrincipalOut.of(principal)


@router.post(
    "/password",
    summary="Change the own password",
    status_code=204,
    responses=problems.responses(400, 401, 403, 413, 422, 429, 503),
)
def change_password(body: PasswordIn, principal: PrincipalDep, services: ServicesDep) -> None:
    """All sessions of the user end, this one too."""
    services.identity.administration.change_own_password(
        principal, present=body.present.get_secret_value(), password=body.password.get_secret_value()
    )


@router.get(
    "/oidc/start",
    summary="Log in elsewhere",
    status_code=302,
    response_class=RedirectResponse,
    responses=problems.responses(404, 502, 503),
)
def start_oidc(
    request: Request,
    next: Annotated[
        str | None, Query(max_length=1000, description="A page of Dagster's UI to go to; unset = answer with tokens")
    ] = None,
) -> RedirectResponse:
    """Send the browser to the provider."""
    begun = _oidc(request).begin(_public(request, "/api/v1/auth/oidc/callback"), next=next)
    answer = RedirectResponse(begun.url, status_code=302)
    answer.set_cookie(
        oidc.COOKIE,
        begun.cookie,
        max_age=oidc.MINUTES * 60,
        httponly=True,
        samesite="lax",
        secure=_public(request, "").startswith("https://"),
        path="/api/v1/auth/oidc",
    )
    return answer


@router.get(
    "/oidc/callback",
    summary="Come back from the provider",
    response_model=LoginOut,
    responses=problems.responses(401, 403, 404, 422, 502, 503),
)
def finish_oidc(
    request: Request,
    response: Response,
    state: Annotated[str, Query(max_length=200)],
    code: Annotated[str | None, Query(max_length=4096)] = None,
    aiw_oidc: Annotated[str | None, Cookie()] = None,
) -> LoginOut | Response:
    """The session of who logged in there, and the cookie of Dagster's UI for who may see that.

    Who wanted to go there gets a page that leads to it.
    """
    login, page = _oidc(request), request.app.state.login_page
    response.delete_cookie(oidc.COOKIE, path="/api/v1/auth/oidc")
    if code is None:
        raise UnauthenticatedError("The provider refused the login.", code="oidc_refused")
    done = login.finish(code=code, state=state, cookie=aiw_oidc, address=_address(request))
    if done.next is None:
        page.admit(request, response, done.pair.principal)
        return LoginOut.of(done.pair)
    answer: Response = page.welcome(request, done.pair.principal, done.next)
    answer.delete_cookie(oidc.COOKIE, path="/api/v1/auth/oidc")
    return answer


@aliases.get("/.well-known/jwks.json", summary="Public keys", responses=problems.responses(503))
def jwks(services: ServicesDep, response: Response) -> JwksOut:
    """What access tokens can be verified with, by whoever wants to."""
    response.headers["Cache-Control"] = "public, max-age=60"
    return JwksOut(**services.identity.tokens.jwks(now=datetime.now(UTC)))


def _verified(services: Services, credential: str | None) -> VerifyOut:
    if credential is None:
        return VerifyOut(valid=False, error="There is no token.")
    try:
        return VerifyOut(valid=True, claims=PrincipalOut.of(services.identity.verified.authenticate(credential)))
    except UnauthenticatedError as error:
        return VerifyOut(valid=False, error=error.message)


def _oidc(request: Request) -> oidc.OidcLogin:
    login: oidc.OidcLogin | None = request.app.state.oidc
    if login is None:
        raise NotFoundError("No provider is configured (AIW_AUTH__OIDC_ISSUER).", code="oidc_not_configured")
    return login


def _public(request: Request, path: str) -> str:
    base = request.app.state.public_url or str(request.base_url)
    return f"{base.rstrip('/')}{path}"


def _address(request: Request) -> str | None:
    return request.client.host if request.client else None
