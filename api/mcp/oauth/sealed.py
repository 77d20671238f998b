"""What travels with others and is ours alone to read: who a client is, what it asks for, codes and refresh tokens.

All of it is sealed by the vault, and nothing of it is stored: a client's id *is* its registration (RFC 7591, appendix A.5.2), so
that strangers who register fill no table. What must be used once holds a refresh token of a session of the platform, which is:
a code or a token that comes a second time ends the session, for whoever holds it.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Final, TypeVar

from pydantic import BaseModel, ValidationError

from resources.errors import PlatformError

if TYPE_CHECKING:
    from resources.tenants.vault import Vault

    Sealed = TypeVar("Sealed", bound=BaseModel)

_LONGEST: Final = 6_000


class Registration(BaseModel):
    """A client, as it has registered."""

    redirect_uris: tuple[str, ...]
    name: str
    method: str
    secret: str | None
    grants: tuple[str, ...]


class Request(BaseModel):
    """What a client asks somebody for. `until` (Unix time) is when nobody can agree any more."""

    client_id: str
    client_name: str
    redirect_uri: str
    explicit: bool
    state: str | None
    scopes: tuple[str, ...]
    challenge: str
    resource: str | None
    until: float


class Code(BaseModel):
    """What somebody has agreed to."""

    client_id: str
    redirect_uri: str
    explicit: bool
    scopes: tuple[str, ...]
    challenge: str
    resource: str | None
    refresh: str
    until: float


class Refresh(BaseModel):
    """What a client gets its next tokens with."""

    client_id: str
    scopes: tuple[str, ...]
    resource: str | None
    refresh: str


class Seals:
    """Seals and opens, each kind for itself."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def seal(self, what: BaseModel) -> str:
        """As text that goes into an address. Raises ConflictError when there is no master key."""
        sealed = self._vault.seal(what.model_dump_json().encode(), context=_context(type(what)))
        return base64.urlsafe_b64encode(sealed).decode().rstrip("=")

    def open(self, text: str, kind: type[Sealed]) -> Sealed | None:
        """None when it is none of ours, or of another kind."""
        if len(text) > _LONGEST:
            return None
        try:
            sealed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
            return kind.model_validate_json(self._vault.open(sealed, context=_context(kind)))
        except (PlatformError, ValidationError, binascii.Error, ValueError):
            return None


def _context(kind: type[BaseModel]) -> str:
    return f"oauth/{kind.__name__.lower()}"
