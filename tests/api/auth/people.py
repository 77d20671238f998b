"""Tenants, users and their tokens, for tests of what they may do."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from resources.errors import ConflictError
from resources.tenants.permissions import Role

if TYPE_CHECKING:
    from resources.tenants.identity import Identity
    from resources.tenants.model import TokenPair, User

PASSWORD = "correct horse battery staple"


@dataclass
class People:
    """Makes users of one tenant, and logs them in."""

    identity: Identity
    tenant: str
    _known: dict[str, User] = field(default_factory=dict)

    def __post_init__(self) -> None:
        with suppress(ConflictError):
            self.identity.administration.create_tenant(self.tenant, actor=None)

    def user(self, role: Role | str, *, username: str | None = None, password: str | None = None) -> User:
        """A user with that role; the same one each time."""
        name = username or f"{role}-of-{self.tenant}"
        if name not in self._known:
            found = [user for user in self.identity.administration.users(tenant=self.tenant) if user.username == name]
            self._known[name] = (
                found[0]
                if found
                else self.identity.administration.create_user(
                    name, tenant=self.tenant, role=Role(role), password=password, actor=None
                )
            )
        return self._known[name]

    def pair(self, role: Role | str) -> TokenPair:
        """A new session of a user with that role."""
        return self.identity.authentication.open_session(self.user(role), method="password")

    def headers(self, role: Role | str) -> dict[str, str]:
        """What a user with that role sends."""
        return bearer(self.pair(role).access_token)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
