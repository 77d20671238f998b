"""Logging in to servers that ask for OAuth 2.1, with the SDK's own client: discovery, registration, PKCE, refresh, step-up.

A *login* is what came of it: tokens, who we are to the authorization server, and what was found out about it. It lies on a shelf
that all processes share, so a refresh token that is good for one use is used by one of them: who claims the turn refreshes, the
others read what it has stored. A person logs in once (`Person`); what runs without one never asks, and says that somebody has to.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final, Protocol

from mcp.client.auth import OAuthClientProvider
from mcp.client.auth.extensions.client_credentials import (
    ClientCredentialsOAuthProvider,
    PrivateKeyJWTOAuthProvider,
    SignedJWTParameters,
)
from mcp.shared.auth import (
    OAuthClientInformationFull,
    OAuthClientMetadata,
    OAuthMetadata,
    OAuthToken,
    ProtectedResourceMetadata,
)
from pydantic import AnyUrl, BaseModel

from resources.mcp.errors import LoginNeededError, login_needed

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    import httpx2
    from mcp.shared.auth import AuthorizationCodeResult

    from resources.mcp.model import OAuthConfig

_EARLY: Final = 30.0
"""Seconds before its end that a token is taken for spent: clocks differ, and requests take time."""
CLAIM_SECONDS: Final = 20.0
_LOOK_AGAIN: Final = 0.1
_NOWHERE: Final = "http://127.0.0.1/callback"
CLIENT_NAME: Final = "AI Workflow Engine"


class Login(BaseModel):
    """What came of a login. `expires_at` is of the access token (Unix time); None = nobody said."""

    tokens: OAuthToken | None = None
    expires_at: float | None = None
    client: OAuthClientInformationFull | None = None
    metadata: OAuthMetadata | None = None
    resource: ProtectedResourceMetadata | None = None

    def fresh(self, now: float) -> bool:
        """Whether the access token can be shown still."""
        return self.tokens is not None and (self.expires_at is None or now < self.expires_at - _EARLY)


class LoginShelf(Protocol):
    """Where the login of one server lies."""

    async def read(self) -> Login | None:
        """The login, as it is now."""

    async def write(self, login: Login) -> None:
        """Put this one in its place; whatever claim there was has ended."""

    async def claim(self, seconds: float) -> bool:
        """Whether nobody else refreshes it now; for so many seconds nobody else will."""


class MemoryShelf:
    """Of this process, for what is not worth keeping (a program's own tokens), and for who hands it on."""

    def __init__(self, login: Login | None = None) -> None:
        self.login = login
        self._until = 0.0

    async def read(self) -> Login | None:
        return self.login

    async def write(self, login: Login) -> None:
        self.login, self._until = login, 0.0

    async def claim(self, seconds: float) -> bool:
        if time.monotonic() < self._until:
            return False
        self._until = time.monotonic() + seconds
        return True


class Person(Protocol):
    """Somebody at a browser."""

    redirect_uri: str

    async def go(self, url: str) -> None:
        """Send them to the authorization server."""

    async def back(self) -> AuthorizationCodeResult:
        """What they came back with, at `redirect_uri`."""


def auth_of(
    server: str,
    url: str,
    config: OAuthConfig,
    shelf: LoginShelf,
    *,
    person: Person | None = None,
    refused: Callable[[LoginNeededError], None] = lambda _: None,
) -> httpx2.Auth:
    """What lets requests to `url` in. Without a `person` a login is never begun: `refused` is told, and the request fails."""
    kept = _Kept(shelf, config)
    if config.grant == "client_credentials":
        assert config.client_id is not None  # the configuration is whole
        if config.private_key is not None:
            signed = SignedJWTParameters(
                issuer=config.client_id,
                subject=config.client_id,
                signing_key=config.private_key.get_secret_value(),
                signing_algorithm=config.algorithm,
            )
            return PrivateKeyJWTOAuthProvider(
                url, kept, config.client_id, signed.create_assertion_provider(), config.scope, config.issuer
            )
        assert config.client_secret is not None
        secret = config.client_secret.get_secret_value()
        return ClientCredentialsOAuthProvider(
            url, kept, config.client_id, secret, "client_secret_basic", config.scope, config.issuer
        )
    return _PersonsProvider(server, url, config, kept, person=person, refused=refused)


class _Kept:
    """The shelf, as the SDK asks for it."""

    def __init__(self, shelf: LoginShelf, config: OAuthConfig) -> None:
        self._shelf = shelf
        self._config = config
        self.login = Login()

    async def read(self) -> Login:
        self.login = await self._shelf.read() or Login()
        return self.login

    async def keep(self, **changes: Any) -> None:
        self.login = self.login.model_copy(update=changes)
        await self._shelf.write(self.login)

    async def take_turn(self) -> None:
        """Until the token is fresh, or it is ours to refresh."""
        deadline = time.monotonic() + CLAIM_SECONDS
        while True:
            login = await self.read()
            spent = login.tokens is not None and not login.fresh(time.time())
            if not spent or await self._shelf.claim(CLAIM_SECONDS) or time.monotonic() > deadline:
                return
            await asyncio.sleep(_LOOK_AGAIN)

    async def get_tokens(self) -> OAuthToken | None:
        tokens, until = self.login.tokens, self.login.expires_at
        if tokens is None or until is None:
            return tokens
        return tokens.model_copy(update={"expires_in": int(until - _EARLY - time.time())})

    async def set_tokens(self, tokens: OAuthToken) -> None:
        until = None if tokens.expires_in is None else time.time() + tokens.expires_in
        await self.keep(tokens=tokens, expires_at=until)

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        config = self._config
        if config.client_id is None:
            return self.login.client
        return OAuthClientInformationFull(
            client_id=config.client_id,
            client_secret=None if config.client_secret is None else config.client_secret.get_secret_value(),
            redirect_uris=[AnyUrl(_NOWHERE)],
            token_endpoint_auth_method="none" if config.client_secret is None else "client_secret_basic",  # its name
            issuer=config.issuer,
        )

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        await self.keep(client=client_info)


class _PersonsProvider(OAuthClientProvider):
    """The SDK's authorization code flow, on a login that others use too."""

    def __init__(
        self,
        server: str,
        url: str,
        config: OAuthConfig,
        kept: _Kept,
        *,
        person: Person | None,
        refused: Callable[[LoginNeededError], None],
    ) -> None:
        super().__init__(
            url,
            OAuthClientMetadata(
                client_name=CLIENT_NAME,
                redirect_uris=[AnyUrl(_NOWHERE if person is None else person.redirect_uri)],
                scope=config.scope,
            ),
            kept,
            None if person is None else person.go,
            None if person is None else person.back,
            config.client_metadata_url,
        )
        self._kept = kept
        self._alone = person is None
        self._refuse = refused
        self._error = login_needed(server)

    async def _initialize(self) -> None:
        await super()._initialize()
        login = self._kept.login
        if self.context.current_tokens is not None:
            self.context.update_token_expiry(self.context.current_tokens)
        if login.metadata is not None:
            self.context.oauth_metadata = login.metadata
        if login.resource is not None:
            self.context.protected_resource_metadata = login.resource
            if login.resource.authorization_servers:
                self.context.auth_server_url = str(login.resource.authorization_servers[0])

    async def _handle_token_response(self, response: httpx2.Response) -> None:
        await super()._handle_token_response(response)
        await self._kept.keep(metadata=self.context.oauth_metadata, resource=self.context.protected_resource_metadata)

    async def _auth_flow(self, request: httpx2.Request) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        if not self.context.is_token_valid():
            await self._kept.take_turn()
            self._initialized = False
            if self._alone and self._kept.login.tokens is None:
                raise self._told()
        flow = super()._auth_flow(request)
        try:
            outgoing = await anext(flow)
            while True:
                answer = yield outgoing
                outgoing = await flow.asend(answer)
        except StopAsyncIteration:
            return
        finally:
            await flow.aclose()

    async def _perform_authorization(self) -> httpx2.Request:
        if self._alone:
            raise self._told()
        return await super()._perform_authorization()

    def _told(self) -> LoginNeededError:
        self._refuse(self._error)
        return self._error
