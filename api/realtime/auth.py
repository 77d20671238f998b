"""Who opens a socket: the port between sockets and whatever knows tokens, and the token's four ways in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol
from urllib.parse import parse_qs

from resources.errors import NotPermittedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import Scope

    from resources.tenants.model import Principal

SUBPROTOCOL = "access_token."
NEEDED = ("read", "subscribe")


class Authenticator(Protocol):
    """Tells whose token it is."""

    async def __call__(self, token: str | None, headers: Mapping[str, str]) -> Principal:
        """The principal. Raises UnauthenticatedError for a token that is missing, expired or not valid."""


def token_of(scope: Scope) -> tuple[str | None, str | None]:
    """The token of a handshake, and the subprotocol to answer with if it came as one.

    By `?token=`, `?access_token=`, `Authorization: Bearer`, or the subprotocol `access_token.<token>`, which is what a browser
    can send.
    """
    query = parse_qs(scope["query_string"].decode("latin-1"))
    for name in ("token", "access_token"):
        if query.get(name):
            return query[name][0], None
    for protocol in scope.get("subprotocols", ()):
        if protocol.startswith(SUBPROTOCOL):
            return protocol.removeprefix(SUBPROTOCOL), protocol
    kind, _, token = headers_of(scope).get("authorization", "").partition(" ")
    return (token.strip() or None if kind.lower() == "bearer" else None), None


def headers_of(scope: Scope) -> dict[str, str]:
    """The headers by name, in small letters; the first of each name wins."""
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in reversed(scope["headers"])}


def check_may_connect(principal: Principal) -> None:
    """Raises NotPermittedError for who may not read and subscribe."""
    missing = [scope for scope in NEEDED if not principal.allows(scope)]
    if missing:
        raise NotPermittedError(f"Realtime needs the scopes read and subscribe; missing: {', '.join(missing)}.")
