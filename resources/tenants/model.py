"""Tenants, the people and programs that act for them, and how they prove who they are.

Secrets are never kept: passwords as argon2id, refresh tokens and API keys as sha256 of 256 random bits (which needs no slow
hash, as there is nothing to guess), private keys and providers' keys sealed (`vault.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime  # noqa: TC003  # pydantic reads the annotations of those that faces return
from decimal import Decimal
from enum import StrEnum
from typing import Any, Self
from uuid import UUID  # noqa: TC003

from resources.tenants.permissions import Role, allows


class Status(StrEnum):
    """Whether a tenant or a user may act."""

    ACTIVE = "active"
    SUSPENDED = "suspended"


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a tenant may use; None = as much as it likes."""

    requests_per_minute: int | None = None
    runs_per_day: int | None = None
    concurrent_runs: int | None = None
    storage_bytes: int | None = None
    sockets: int | None = None
    usd_per_month: Decimal | None = None

    def as_json(self) -> dict[str, Any]:
        """As it is stored: what is set, money as a string."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return {
            name: str(value) if isinstance(value, Decimal) else value
            for name, value in values.items()
            if value is not None
        }

    @classmethod
    def of_json(cls, stored: dict[str, Any]) -> Self:
        money = stored.get("usd_per_month")
        return cls(**{**stored, "usd_per_month": None if money is None else Decimal(money)})


@dataclass(frozen=True, slots=True)
class Tenant:
    """Somebody's own part of the platform. `id` is a short name that stands in every row that is theirs.

    With an `own_schema` its content is in tables of its own (`schemas/`); that is decided when it is made. One that
    was erased is there only so that its id is not given again.
    """

    id: str
    name: str
    created_at: datetime
    status: Status = Status.ACTIVE
    limits: Limits = field(default_factory=Limits)
    own_schema: bool = False
    erased_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class User:
    """A person or program of one tenant. `password_hash` None = logs in elsewhere, or with a key."""

    tenant: str
    id: UUID
    username: str
    role: Role
    created_at: datetime
    email: str | None = None
    status: Status = Status.ACTIVE
    password_hash: str | None = field(default=None, repr=False)
    oidc_subject: str | None = None
    last_login_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """What access and refresh tokens belong to, so that all of them can be revoked together (a token *family*).

    `user_id` None = a service's, which is named in `subject` and keeps `role`; a user's role is always the present one.
    """

    tenant: str
    id: UUID
    user_id: UUID | None
    subject: str
    role: Role
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None = None
    revoked_reason: str | None = None


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A long-lived secret of a user, as narrow as its scopes. `id` is shown, in the key itself too; the secret never again."""

    tenant: str
    id: str
    user_id: UUID
    name: str
    scopes: frozenset[str]
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """What matters of a tenant and a user (or a service) when a credential is presented."""

    role: Role
    username: str
    active: bool
    reason: str | None = None
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key pair that access tokens are signed with: `public` is a JWK, `sealed` the private one for the vault.

    It signs from `created_at` until a newer one does, and verifies until `expires_at`.
    """

    kid: str
    public: dict[str, Any]
    sealed: bytes = field(repr=False)
    created_at: datetime
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ProviderKey:
    """A tenant's own key of an AI provider, sealed. `hint` is its end, for people to know it by.

    `base_url` is where it is good; None = where the platform's own key is, or at the vendor's.
    """

    tenant: str
    provider: str
    sealed: bytes = field(repr=False)
    hint: str
    updated_at: datetime
    base_url: str | None = None


@dataclass(frozen=True, slots=True)
class Attempts:
    """Failed logins of one account or from one address."""

    failures: int
    blocked_until: datetime | None


@dataclass(frozen=True, slots=True)
class Principal:
    """Who makes a request. `session_id` or `key_id` names the credential, `expires_at` its end."""

    tenant: str
    subject: str
    username: str
    role: Role
    scopes: frozenset[str]
    user_id: UUID | None = None
    session_id: UUID | None = None
    key_id: str | None = None
    expires_at: datetime | None = None
    limits: Limits = field(default_factory=Limits)

    def allows(self, scope: str) -> bool:
        """Whether the principal may do it."""
        return allows(self.scopes, scope)


@dataclass(frozen=True, slots=True)
class TokenPair:
    """The answer to a login. `refresh_token` None = the session cannot be prolonged (a service's)."""

    access_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)
    expires_in: int
    principal: Principal
