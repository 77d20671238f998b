"""The authorization server's routes: the SDK's handlers, on a provider of ours, and the page where somebody agrees.

Authorization code with PKCE for clients that register themselves (RFC 7591), metadata by RFC 8414, revocation by RFC 7009, and
the issuer in each answer (RFC 9207). The issuer is the address that the platform is known by.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mcp.server.auth.handlers.authorize import AuthorizationHandler
from mcp.server.auth.handlers.register import RegistrationHandler
from mcp.server.auth.handlers.revoke import RevocationHandler
from mcp.server.auth.handlers.token import TokenHandler
from mcp.server.auth.middleware.client_auth import ClientAuthenticator
from mcp.server.auth.routes import cors_middleware
from mcp.server.auth.settings import ClientRegistrationOptions
from starlette.responses import JSONResponse
from starlette.routing import Route

from api.mcp.oauth.consent import Consent
from api.mcp.oauth.provider import CONSENT, Provider
from api.mcp.oauth.sealed import Seals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import Scope

    from resources.tenants.identity import Identity

METADATA: Final = "/.well-known/oauth-authorization-server"
_METHODS: Final = ["none", "client_secret_post", "client_secret_basic"]


def routes_of(identity: Identity, *, scopes: Iterable[str], base_url: Callable[[Scope], str]) -> list[Route]:
    """All of them. `base_url` gives the address that clients know the platform by."""
    seals = Seals(identity.vault)
    provider = Provider(identity.authentication, seals, scopes=scopes)
    consent, clients = Consent(identity, seals), ClientAuthenticator(provider)
    registration = ClientRegistrationOptions(enabled=True)

    async def metadata(request: Request) -> Response:
        issuer = base_url(request.scope)
        return JSONResponse(
            {
                "issuer": issuer,
                "authorization_endpoint": f"{issuer}/oauth/authorize",
                "token_endpoint": f"{issuer}/oauth/token",
                "registration_endpoint": f"{issuer}/oauth/register",
                "revocation_endpoint": f"{issuer}/oauth/revoke",
                "scopes_supported": list(provider.scopes),
                "response_types_supported": ["code"],
                "grant_types_supported": ["authorization_code", "refresh_token"],
                "token_endpoint_auth_methods_supported": _METHODS,
                "revocation_endpoint_auth_methods_supported": _METHODS[1:],
                "code_challenge_methods_supported": ["S256"],
                "authorization_response_iss_parameter_supported": True,
            },
            headers={"Cache-Control": "public, max-age=300"},
        )

    async def decide(request: Request) -> Response:
        return await consent.decide(request, issuer=base_url(request.scope))

    asked = ["POST", "OPTIONS"]
    return [
        Route(METADATA, cors_middleware(metadata, ["GET", "OPTIONS"]), methods=["GET", "OPTIONS"]),
        Route("/oauth/authorize", AuthorizationHandler(provider).handle, methods=["GET", "POST"]),
        Route("/oauth/token", cors_middleware(TokenHandler(provider, clients).handle, asked), methods=asked),
        Route(
            "/oauth/register",
            cors_middleware(RegistrationHandler(provider, registration).handle, asked),
            methods=asked,
        ),
        Route("/oauth/revoke", cors_middleware(RevocationHandler(provider, clients).handle, asked), methods=asked),
        Route(CONSENT, consent.show, methods=["GET"]),
        Route(CONSENT, decide, methods=["POST"]),
    ]
