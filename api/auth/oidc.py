"""Login through an OpenID Connect provider: authorization code with PKCE (RFC 7636), everything about it discovered.

What must be remembered while somebody is at the provider (state, nonce, verifier) travels in a sealed cookie, so that any
process can finish what another began.
"""

from __future__ import annotations

import base64
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import orjson

from resources.errors import NotFoundError, NotPermittedError, PlatformError, UnauthenticatedError, UpstreamError
from resources.tenants.permissions import Role

if TYPE_CHECKING:
    from resources.settings import AuthSettings
    from resources.tenants.identity import Identity
    from resources.tenants.model import TokenPair, User

COOKIE = "aiw_oidc"
MINUTES = 10
_CONTEXT = "oidc-login"
_DISCOVERY_SECONDS = 3600.0
_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519", "EdDSA"]
_SCOPE = "openid email profile"
_TIMEOUT = 10.0
_LEEWAY = 30


@dataclass(frozen=True, slots=True)
class Begun:
    """Where to send the browser, and the cookie that it must come back with."""

    url: str
    cookie: str


@dataclass(frozen=True, slots=True)
class Finished:
    """A login that is done; `next` None = a program's, which wants the tokens and nothing else."""

    pair: TokenPair
    next: str | None


class OidcLogin:
    """One provider. Safe to share between threads; blocks, so not for the event loop."""

    def __init__(
        self, settings: AuthSettings, identity: Identity, *, transport: httpx.BaseTransport | None = None
    ) -> None:
        if settings.oidc_issuer is None or settings.oidc_client_id is None:
            raise NotFoundError("No provider is configured (AIW_AUTH__OIDC_ISSUER).", code="oidc_not_configured")
        self._issuer = settings.oidc_issuer
        self._client_id = settings.oidc_client_id
        self._secret = settings.oidc_client_secret.get_secret_value() if settings.oidc_client_secret else None
        self._tenant = settings.oidc_tenant or identity.home
        self._role = None if settings.oidc_role is None else Role(settings.oidc_role)
        self._identity = identity
        self._transport = transport
        self._discovered: tuple[float, dict[str, Any]] | None = None

    def begin(self, redirect_uri: str, *, next: str | None = None) -> Begun:
        """`next` is where the browser wants to go. Raises UpstreamError when the provider cannot be found out about."""
        memory = {
            "state": secrets.token_urlsafe(24),
            "nonce": secrets.token_urlsafe(24),
            "verifier": secrets.token_urlsafe(48),
            "redirect_uri": redirect_uri,
            "next": next,
            "until": time.time() + MINUTES * 60,
        }
        with self._client(redirect_uri) as client:
            url, _ = client.create_authorization_url(
                self._provider()["authorization_endpoint"],
                state=memory["state"],
                nonce=memory["nonce"],
                code_verifier=memory["verifier"],
            )
        sealed = self._identity.vault.seal(orjson.dumps(memory), context=_CONTEXT)
        return Begun(url, base64.urlsafe_b64encode(sealed).decode())

    def finish(self, *, code: str, state: str, cookie: str | None, address: str | None) -> Finished:
        """The session of who came back, and where to. Raises UnauthenticatedError, NotPermittedError, UpstreamError."""
        memory = self._remembered(cookie, state)
        from authlib.integrations.base_client import OAuthError

        provider = self._provider()
        with self._client(memory["redirect_uri"]) as client:
            try:
                answer = client.fetch_token(provider["token_endpoint"], code=code, code_verifier=memory["verifier"])
            except OAuthError as error:
                raise UnauthenticatedError("The provider did not accept the login.", code="oidc_refused") from error
            except (httpx.HTTPError, ValueError) as error:
                raise _upstream() from error
        claims = self._claims(answer.get("id_token"), provider, memory["nonce"])
        pair = self._identity.authentication.open_session(self._user(claims), method="oidc", address=address)
        return Finished(pair, memory["next"])

    def _remembered(self, cookie: str | None, state: str) -> dict[str, Any]:
        try:
            sealed = base64.urlsafe_b64decode((cookie or "").encode())
            memory: dict[str, Any] = orjson.loads(self._identity.vault.open(sealed, context=_CONTEXT))
        except (ValueError, PlatformError) as error:
            raise UnauthenticatedError("The login did not begin here. Begin it anew.", code="oidc_state") from error
        if memory["until"] < time.time() or not secrets.compare_digest(memory["state"].encode(), state.encode()):
            raise UnauthenticatedError("The login took too long, or is not this one.", code="oidc_state")
        return memory

    def _claims(self, id_token: Any, provider: dict[str, Any], nonce: str) -> dict[str, Any]:
        from joserfc import jwt
        from joserfc.errors import JoseError
        from joserfc.jwk import KeySet

        keys = KeySet.import_key_set({"keys": self._fetch(provider["jwks_uri"]).get("keys", [])})
        supported = [
            name for name in _ALGORITHMS if name in provider.get("id_token_signing_alg_values_supported", ["RS256"])
        ]
        registry = jwt.JWTClaimsRegistry(
            leeway=_LEEWAY,
            iss={"essential": True, "value": self._issuer},
            aud={"essential": True, "value": self._client_id},
            exp={"essential": True},
            sub={"essential": True},
            nonce={"essential": True, "value": nonce},
        )
        try:
            decoded = jwt.decode(str(id_token), keys, algorithms=supported)
            registry.validate(decoded.claims)
        except (JoseError, ValueError) as error:
            raise UnauthenticatedError("The provider's token is not good.", code="oidc_token_invalid") from error
        return decoded.claims

    def _user(self, claims: dict[str, Any]) -> User:
        """Who was seen before; else who has the verified email; else somebody new, if they may come."""
        administration, subject = self._identity.administration, f"{self._issuer}|{claims['sub']}"
        known = administration.find_by_oidc(subject, tenant=self._tenant)
        if known is not None:
            return known
        email = str(claims["email"]) if claims.get("email") and claims.get("email_verified") is True else None
        linked = None if email is None else administration.link_oidc(email, subject, tenant=self._tenant)
        if linked is not None:
            return linked
        if self._role is None:
            raise NotPermittedError("You are not known here. Ask an admin of the tenant.", code="user_unknown")
        name = email or f"oidc-{secrets.token_hex(6)}"
        return administration.create_user(
            name, tenant=self._tenant, role=self._role, email=email, oidc_subject=subject, actor=None
        )

    def _provider(self) -> dict[str, Any]:
        if self._discovered is None or self._discovered[0] < time.monotonic():
            found = self._fetch(f"{self._issuer.rstrip('/')}/.well-known/openid-configuration")
            if found.get("issuer") != self._issuer:
                raise UpstreamError(f"The provider at {self._issuer!r} says that it is another.", code="oidc_discovery")
            self._discovered = (time.monotonic() + _DISCOVERY_SECONDS, found)
        return self._discovered[1]

    def _fetch(self, url: str) -> dict[str, Any]:
        try:
            with httpx.Client(timeout=_TIMEOUT, transport=self._transport) as http:
                found = http.get(url).raise_for_status().json()
        except (httpx.HTTPError, ValueError) as error:
            raise _upstream() from error
        if not isinstance(found, dict):
            raise _upstream()
        return found

    def _client(self, redirect_uri: str) -> Any:
        from authlib.integrations.httpx_client import OAuth2Client

        return OAuth2Client(
            self._client_id,
            self._secret,
            token_endpoint_auth_method="client_secret_basic" if self._secret else "none",  # its name
            scope=_SCOPE,
            redirect_uri=redirect_uri,
            code_challenge_method="S256",
            timeout=_TIMEOUT,
            transport=self._transport,
        )


def _upstream() -> UpstreamError:
    return UpstreamError("The provider of the login does not answer as it should.", code="oidc_provider")
