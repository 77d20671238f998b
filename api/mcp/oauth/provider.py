"""What stands behind the SDK's handlers: clients that register, codes for what somebody agreed to, tokens of the platform's own.

An access token is one of the platform's JWTs, of a session of the user's, as narrow as what was asked for and agreed to. So all
that ends a session ends it too, and what the user may not do the client may not either.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NoReturn
from urllib.parse import urlencode, urlsplit

from anyio import to_thread
from mcp.server.auth.provider import (
    AccessToken,
    AuthorizationCode,
    AuthorizationParams,
    AuthorizeError,
    OAuthAuthorizationServerProvider,
    RefreshToken,
    RegistrationError,
    TokenError,
)
from mcp.shared.auth import OAuthClientInformationFull, OAuthToken
from pydantic import AnyUrl

from api.mcp.oauth.sealed import Code, Refresh, Registration, Request
from api.middleware.security import is_loopback
from resources.errors import PlatformError
from resources.tenants.permissions import narrowed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from api.mcp.oauth.sealed import Seals
    from resources.tenants.authentication import Authentication

CONSENT: Final = "/oauth/consent"
MINUTES: Final = 10
_MOST_ADDRESSES: Final = 5
_LONGEST_ADDRESS: Final = 300
_LONGEST_NAME: Final = 100
_NEVER: Final = frozenset({"javascript", "data", "file", "vbscript", "blob", "about", "ws", "wss", "ftp"})


class _Agreed(AuthorizationCode):
    refresh: str


class _Kept(RefreshToken):
    inner: str


class Provider(OAuthAuthorizationServerProvider[_Agreed, _Kept, AccessToken]):
    """Keeps nothing. `scopes` are those that can be asked for."""

    def __init__(self, authentication: Authentication, seals: Seals, *, scopes: Iterable[str]) -> None:
        self._authentication = authentication
        self._seals = seals
        self.scopes = tuple(sorted(scopes))

    async def get_client(self, client_id: str) -> OAuthClientInformationFull | None:
        known = self._seals.open(client_id, Registration)
        if known is None:
            return None
        return OAuthClientInformationFull(
            client_id=client_id,
            client_secret=known.secret,
            client_name=known.name,
            redirect_uris=[AnyUrl(uri) for uri in known.redirect_uris],
            token_endpoint_auth_method=known.method,
            grant_types=list(known.grants),
            scope=" ".join(self.scopes),  # what it may have is what somebody agrees to, not what it has registered
        )

    async def register_client(self, client_info: OAuthClientInformationFull) -> None:
        addresses = [str(uri) for uri in client_info.redirect_uris or ()]
        if not 0 < len(addresses) <= _MOST_ADDRESSES or max(map(len, addresses)) > _LONGEST_ADDRESS:
            raise RegistrationError("invalid_redirect_uri", f"Name one to {_MOST_ADDRESSES} short redirect_uris.")
        if wrong := next((uri for uri in addresses if not _is_allowed(uri)), None):
            raise RegistrationError(
                "invalid_redirect_uri", f"{wrong!r} is neither https, nor of this machine, nor a program's own scheme."
            )
        registration = Registration(
            redirect_uris=tuple(addresses),
            name=(client_info.client_name or "A program")[:_LONGEST_NAME],
            method=client_info.token_endpoint_auth_method or "none",
            secret=client_info.client_secret,
            grants=tuple(client_info.grant_types),
        )
        try:
            client_info.client_id = self._seals.seal(registration)
        except PlatformError as error:
            raise RegistrationError("invalid_client_metadata", error.message) from error

    async def authorize(self, client: OAuthClientInformationFull, params: AuthorizationParams) -> str:
        assert client.client_id is not None  # it was found by it
        request = Request(
            client_id=client.client_id,
            client_name=client.client_name or "",
            redirect_uri=str(params.redirect_uri),
            explicit=params.redirect_uri_provided_explicitly,
            state=params.state,
            scopes=tuple(params.scopes or self.scopes),
            challenge=params.code_challenge,
            resource=params.resource,
            until=time.time() + 60 * MINUTES,
        )
        try:
            return f"{CONSENT}?{urlencode({'request': self._seals.seal(request)})}"
        except PlatformError as error:
            raise AuthorizeError("server_error", error.message) from error

    async def load_authorization_code(
        self, client: OAuthClientInformationFull, authorization_code: str
    ) -> _Agreed | None:
        del client  # the handler compares
        code = self._seals.open(authorization_code, Code)
        if code is None:
            return None
        return _Agreed(
            code=authorization_code,
            scopes=list(code.scopes),
            expires_at=code.until,
            client_id=code.client_id,
            code_challenge=code.challenge,
            redirect_uri=AnyUrl(code.redirect_uri),
            redirect_uri_provided_explicitly=code.explicit,
            resource=code.resource,
            refresh=code.refresh,
        )

    async def exchange_authorization_code(
        self, client: OAuthClientInformationFull, authorization_code: _Agreed
    ) -> OAuthToken:
        del client
        code = authorization_code
        return await self._issue(code.client_id, code.refresh, code.scopes, code.scopes, code.resource)

    async def load_refresh_token(self, client: OAuthClientInformationFull, refresh_token: str) -> _Kept | None:
        del client
        kept = self._seals.open(refresh_token, Refresh)
        if kept is None:
            return None
        return _Kept(
            token=refresh_token,
            client_id=kept.client_id,
            scopes=list(kept.scopes),
            resource=kept.resource,
            inner=kept.refresh,
        )

    async def exchange_refresh_token(
        self, client: OAuthClientInformationFull, refresh_token: _Kept, scopes: list[str]
    ) -> OAuthToken:
        del client
        kept = refresh_token
        return await self._issue(kept.client_id, kept.inner, scopes, kept.scopes, kept.resource)

    async def load_access_token(self, token: str) -> AccessToken | None:
        """None: an access token names no client, and ends by itself within minutes; or with its session, by the refresh token."""
        del token
        return None

    async def revoke_token(self, token: AccessToken | _Kept) -> None:
        if isinstance(token, _Kept):
            await to_thread.run_sync(self._authentication.logout_by_refresh, token.inner)

    async def _issue(
        self, client_id: str, refresh: str, scopes: Iterable[str], kept: Iterable[str], resource: str | None
    ) -> OAuthToken:
        try:
            pair = await to_thread.run_sync(self._authentication.refresh, refresh)
        except PlatformError as error:
            _refuse(error)
        principal = replace(pair.principal, scopes=narrowed(pair.principal.scopes, scopes))
        assert pair.refresh_token is not None  # of a refreshed session
        following = Refresh(client_id=client_id, scopes=tuple(kept), resource=resource, refresh=pair.refresh_token)
        return OAuthToken(
            access_token=self._authentication.lasting_token(principal, seconds=pair.expires_in),
            expires_in=pair.expires_in,
            scope=" ".join(sorted(principal.scopes)),
            refresh_token=self._seals.seal(following),
        )


def _refuse(error: PlatformError) -> NoReturn:
    raise TokenError("invalid_grant", error.message) from error


def _is_allowed(uri: str) -> bool:
    """Codes go over TLS, to this machine, or to a program that has its scheme from the system."""
    parts = urlsplit(uri)
    if parts.fragment or parts.username or parts.password:
        return False
    if parts.scheme == "http":
        return is_loopback(parts.hostname)
    return parts.scheme == "https" or parts.scheme not in _NEVER
