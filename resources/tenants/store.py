"""The ports of identity: accounts, credentials and sealed secrets.

Every verb raises UnavailableError when the store cannot be reached. What belongs to a tenant is read and written as that
tenant; the verbs that say so look across tenants, because who presents a credential has no tenant before it is known.
A change of right ends what processes remember of it: they hear of it within milliseconds through `Notices`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from resources.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from uuid import UUID

    from resources.tenants.model import (
        ApiKey,
        Attempts,
        ProviderKey,
        Session,
        SigningKey,
        Standing,
        Tenant,
        User,
    )


class AccountStore(Protocol):
    """Tenants and their users."""

    def create_tenant(self, tenant: Tenant) -> Tenant:
        """Raises ConflictError (`tenant_exists`)."""

    def tenant(self, tenant: str, *, lock: bool = False) -> Tenant:
        """Raises NotFoundError. `lock` it until the transaction ends that this is a part of."""

    def tenants(self) -> Sequence[Tenant]:
        """All there are, by id. Looks across tenants."""

    def save_tenant(self, tenant: Tenant) -> Tenant:
        """Replace name, status and limits. Raises NotFoundError."""

    def erase_tenant(self, tenant: str, *, now: datetime) -> Tenant:
        """Remove whatever is the tenant's (users, keys, budgets ...) but its events and its id. Raises NotFoundError."""

    def create_user(self, user: User) -> User:
        """Raises ConflictError (`user_exists`) when the name, the email or the subject is taken in the tenant."""

    def user(self, user_id: UUID, *, tenant: str, lock: bool = False) -> User:
        """Raises NotFoundError. `lock` it until the transaction ends that this is a part of."""

    def find_user(
        self, *, tenant: str, username: str | None = None, email: str | None = None, oidc_subject: str | None = None
    ) -> User | None:
        """The one user with that name (or email, or subject)."""

    def users(self, *, tenant: str) -> Sequence[User]:
        """All of the tenant, by name."""

    def save_user(self, user: User) -> User:
        """Replace everything but tenant, id and name. Raises NotFoundError, ConflictError."""


class CredentialStore(Protocol):
    """Sessions with their refresh tokens, API keys, and failed logins. Hashes are sha256 digests."""

    def open_session(self, session: Session, *, refresh_hash: bytes | None) -> None:
        """Store a session, with its first refresh token if it has any."""

    def rotate(self, used: bytes, fresh: bytes, *, now: datetime) -> tuple[Session, bool] | None:
        """Use up one refresh token and put another in its place, at once and only once.

        Gives the session and whether the token was fresh; used before, it revokes the session (`refresh_reused`). None when
        there is no such token, or its session is over. Looks across tenants.
        """

    def session_of(self, refresh_hash: bytes) -> Session | None:
        """The session of a refresh token, used or not. Looks across tenants."""

    def revoke_sessions(
        self, *, tenant: str, reason: str, now: datetime, session_id: UUID | None = None, user_id: UUID | None = None
    ) -> int:
        """End one session, or all of a user; gives how many were open."""

    def session_standing(self, session_id: UUID, *, tenant: str, now: datetime) -> Standing | None:
        """Whether tokens of the session are good, and its user's present role; None when there is no such session."""

    def create_key(self, key: ApiKey, *, secret_hash: bytes) -> None:
        """Store an API key."""

    def keys(self, *, tenant: str, user_id: UUID | None = None) -> Sequence[ApiKey]:
        """All of the tenant, or of one user, newest first."""

    def key(self, key_id: str, *, tenant: str, lock: bool = False) -> ApiKey:
        """Raises NotFoundError. `lock` it until the transaction ends that this is a part of."""

    def revoke_key(self, key_id: str, *, tenant: str, now: datetime) -> ApiKey:
        """Raises NotFoundError."""

    def find_key(self, key_id: str, *, secret_hash: bytes, now: datetime) -> tuple[ApiKey, Standing] | None:
        """The key with that id and secret, and its owner's standing; notes the use. Looks across tenants."""

    def attempts(self, subjects: Sequence[str]) -> dict[str, Attempts]:
        """Failed logins of these accounts and addresses."""

    def count_failure(
        self, subject: str, *, now: datetime, blocked: Callable[[int], float], forget_after: float
    ) -> Attempts:
        """One more failure; `blocked` tells for how many seconds that many block, `forget_after` when they are forgotten."""

    def clear_failures(self, subject: str) -> None:
        """The account is used by its owner."""


class SecretStore(Protocol):
    """What is sealed: signing keys of the platform, providers' keys of the tenants."""

    def signing_keys(self, *, now: datetime) -> Sequence[SigningKey]:
        """Those that verify, newest first. Looks across tenants."""

    def add_signing_key(self, key: SigningKey, *, retire_at: datetime, only_first: bool = False) -> bool:
        """Let `key` sign from now on; the others verify until `retire_at`. With `only_first` just when there is none yet.

        Keys that are dropped at once, with a `retire_at` of no later than the key, are told (`*`), also those that were to
        verify for longer.
        """

    def save_provider_key(self, key: ProviderKey) -> None:
        """Store or replace a tenant's key of a provider."""

    def provider_keys(self, *, tenant: str) -> Sequence[ProviderKey]:
        """The tenant's, by provider."""

    def provider_key(self, provider: str, *, tenant: str, lock: bool = False) -> ProviderKey | None:
        """The tenant's own, None when it has none; `lock` it until the transaction ends that this is a part of."""

    def remove_provider_key(self, provider: str, *, tenant: str) -> None:
        """Raises NotFoundError."""

    def rewrap(self, change: Callable[[bytes, str], bytes]) -> int:
        """Replace every sealed secret by `change(sealed, context)`; gives how many changed. Looks across tenants."""


class Notices(Protocol):
    """News of changed rights: `session:<id>`, `user:<id>`, `tenant:<id>`, `key:<id>`, or `*` when some may have been missed."""

    def watch(self, notice: Callable[[str], None]) -> Callable[[], None]:
        """Call `notice` from any thread soon after a change, until the returned function is called."""

    def close(self) -> None:
        """Stop listening."""


def unknown_key(key_id: str) -> NotFoundError:
    """The error for an API key that there is not."""
    return NotFoundError(f"There is no API key {key_id!r}.", code="key_not_found")


def unknown_provider_key(provider: str) -> NotFoundError:
    """The error for a provider that the tenant has no key of."""
    return NotFoundError(f"There is no key of the provider {provider!r}.", code="provider_key_not_found")


def context_of_signing_key(kid: str) -> str:
    """The place that a signing key is sealed for."""
    return f"signing-key/{kid}"


def context_of_provider_key(tenant: str, provider: str) -> str:
    """The place that a provider's key is sealed for."""
    return f"provider-key/{tenant}/{provider}"


def context_of_mcp_server(tenant: str, name: str) -> str:
    """The place that the headers of an MCP server are sealed for."""
    return f"mcp-server/{tenant}/{name}"


def context_of_mcp_login(tenant: str, server: str) -> str:
    """The place that a login to an MCP server is sealed for."""
    return f"mcp-login/{tenant}/{server}"
