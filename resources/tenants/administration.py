"""Giving and taking rights: tenants, users, keys. Every change is an event."""

from __future__ import annotations

import re
import secrets
import uuid
from contextlib import nullcontext, suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from resources.errors import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    NotPermittedError,
    PlatformError,
    Problem,
    UnauthenticatedError,
)
from resources.events import catalog
from resources.events.model import StreamId
from resources.tenants.authentication import new_api_key
from resources.tenants.model import ApiKey, Limits, ProviderKey, Status, Tenant, User
from resources.tenants.permissions import Role, check_scopes, narrowed, scopes_of
from resources.tenants.schemas.store import MOST_LETTERS
from resources.tenants.store import context_of_provider_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from contextlib import AbstractContextManager
    from decimal import Decimal
    from uuid import UUID

    from resources.tenants.audit import Audit
    from resources.tenants.model import Principal
    from resources.tenants.passwords import Passwords
    from resources.tenants.schemas.store import TenantSchemas
    from resources.tenants.store import AccountStore, CredentialStore, SecretStore
    from resources.tenants.tokens import Tokens
    from resources.tenants.vault import Vault

_TENANT_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_USERNAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}")
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]{1,189}")
_PROVIDER = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_HINT = 4
_KEYS_OF_USER = 100


class Administration:
    """Safe to share between threads. `actor` is who wants it; None = somebody with access to the database itself.

    `together` makes one transaction of all that the stores do in its block: a change and its event are there both, or neither.
    `spending` is told how much a tenant may spend a month; None = as much as it likes. `schemas` keeps tenants apart.
    """

    def __init__(
        self,
        *,
        accounts: AccountStore,
        credentials: CredentialStore,
        secret_store: SecretStore,
        tokens: Tokens,
        vault: Vault,
        passwords: Passwords,
        audit: Audit,
        home: str,
        schemas: TenantSchemas,
        together: Callable[[], AbstractContextManager[object]] = nullcontext,
        spending: Callable[[str, Decimal | None], None] = lambda _tenant, _usd: None,
    ) -> None:
        self._accounts = accounts
        self._credentials = credentials
        self._secrets = secret_store
        self._tokens = tokens
        self._vault = vault
        self._passwords = passwords
        self._audit = audit
        self._home = home
        self._schemas = schemas
        self._together = together
        self._spending = spending

    # Tenants

    def ensure_home(self) -> Tenant:
        """The platform's own tenant, created if there is none yet: who logs in from this machine is one of it."""
        try:
            return self._accounts.tenant(self._home)
        except NotFoundError:
            with suppress(ConflictError):  # another process was quicker
                return self.create_tenant(self._home, actor=None)
        return self._accounts.tenant(self._home)

    def create_tenant(
        self,
        tenant_id: str,
        *,
        name: str | None = None,
        limits: Limits | None = None,
        own_schema: bool = False,
        actor: Principal | None,
    ) -> Tenant:
        """With an `own_schema` its content is kept apart from the others'.

        Raises InvalidInputError, ConflictError (`tenant_exists`, `tenant_has_rows`).
        """
        _check(_TENANT_ID, tenant_id, "tenant", "lower case letters, digits, - and _, 63 at most")
        tenant = Tenant(
            tenant_id, name or tenant_id, datetime.now(UTC), limits=limits or Limits(), own_schema=own_schema
        )
        if own_schema:
            self._make_schema(tenant_id)
        with self._together():
            self._accounts.create_tenant(tenant)
            self._limit_spending(tenant, before=Limits())
            fact = catalog.TenantCreated(tenant_id=tenant.id, name=tenant.name)
            self._audit.record(StreamId("tenant", tenant.id), fact, tenant=tenant.id, actor=actor)
        return tenant

    def tenant(self, tenant_id: str) -> Tenant:
        """Raises NotFoundError."""
        return self._accounts.tenant(tenant_id)

    def tenants(self) -> Sequence[Tenant]:
        """All there are."""
        return self._accounts.tenants()

    def change_tenant(
        self,
        tenant_id: str,
        *,
        name: str | None = None,
        status: Status | None = None,
        limits: Limits | None = None,
        unless: Callable[[Tenant], None] | None = None,
        actor: Principal | None,
    ) -> Tenant:
        """Change what is given, unless `unless` raises for how the tenant is before.

        Raises NotFoundError, ConflictError for suspending the platform's own tenant.
        """
        with self._together():
            old = self._accounts.tenant(tenant_id, lock=True)
            if unless is not None:
                unless(old)
            if status is Status.SUSPENDED and tenant_id == self._home:
                raise ConflictError("The platform's own tenant cannot be suspended.", code="tenant_is_home")
            changed = replace(old, name=name or old.name, status=status or old.status, limits=limits or old.limits)
            self._accounts.save_tenant(changed)
            self._limit_spending(changed, before=old.limits)
            fact = catalog.TenantChanged(
                tenant_id=changed.id, name=changed.name, status=changed.status, limits=changed.limits.as_json()
            )
            self._audit.record(StreamId("tenant", changed.id), fact, tenant=changed.id, actor=actor)
        return changed

    # Users

    def create_user(
        self,
        username: str,
        *,
        tenant: str,
        role: Role,
        password: str | None = None,
        email: str | None = None,
        oidc_subject: str | None = None,
        actor: Principal | None,
    ) -> User:
        """Raises InvalidInputError, NotFoundError for the tenant, ConflictError (`user_exists`), NotPermittedError."""
        _check(_USERNAME, username, "username", "letters, digits and . _ @ + -, 100 at most")
        if email is not None:
            _check(_EMAIL, email, "email", "an address such as ada@example.org")
        _refuse_more_than_own(role, actor)
        user = User(
            tenant=tenant,
            id=uuid.uuid4(),
            username=username,
            role=role,
            created_at=datetime.now(UTC),
            email=email,
            password_hash=None if password is None else self._passwords.hash(password),
            oidc_subject=oidc_subject,
        )
        with self._together():
            self._accounts.create_user(user)
            fact = catalog.UserCreated(user_id=str(user.id), username=username, role=role, email=email)
            self._audit.record(_stream(user), fact, tenant=tenant, actor=actor)
        return user

    def user(self, user_id: UUID, *, tenant: str) -> User:
        """Raises NotFoundError."""
        return self._accounts.user(user_id, tenant=tenant)

    def find_user(self, username: str, *, tenant: str) -> User:
        """By name. Raises NotFoundError."""
        found = self._accounts.find_user(tenant=tenant, username=username)
        if found is None:
            raise NotFoundError(f"There is no user {username!r}.", code="user_not_found")
        return found

    def find_by_oidc(self, subject: str, *, tenant: str) -> User | None:
        """The user who logs in elsewhere under `subject` (issuer and subject in one)."""
        return self._accounts.find_user(tenant=tenant, oidc_subject=subject)

    def link_oidc(self, email: str, subject: str, *, tenant: str) -> User | None:
        """Let the user with that email log in elsewhere, as `subject`, from now on; None when there is no such user.

        Only for emails that the provider has verified. A user who is linked already stays so.
        """
        with self._together():
            found = self._accounts.find_user(tenant=tenant, email=email)
            user = None if found is None else self._accounts.user(found.id, tenant=tenant, lock=True)
            if user is None or user.oidc_subject is not None:
                return None
            linked = self._accounts.save_user(replace(user, oidc_subject=subject))
            fact = catalog.UserLinked(user_id=str(user.id), username=user.username, subject=subject)
            self._audit.record(_stream(user), fact, tenant=tenant)
        return linked

    def users(self, *, tenant: str) -> Sequence[User]:
        """All of the tenant."""
        return self._accounts.users(tenant=tenant)

    def change_user(
        self,
        user_id: UUID,
        *,
        tenant: str,
        role: Role | None = None,
        status: Status | None = None,
        email: str | None = None,
        unless: Callable[[User], None] | None = None,
        actor: Principal | None,
    ) -> User:
        """Change what is given, unless `unless` raises for how the user is before. A suspended user's sessions end.

        Raises NotFoundError, NotPermittedError, ConflictError (`last_admin`) when nobody could administer the tenant then.
        """
        if email is not None:
            _check(_EMAIL, email, "email", "an address such as ada@example.org")
        with self._together():
            self._accounts.tenant(tenant, lock=True)  # so that no two last admins go at once
            old = self._accounts.user(user_id, tenant=tenant, lock=True)
            if unless is not None:
                unless(old)
            changed = replace(old, role=role or old.role, status=status or old.status, email=email or old.email)
            _refuse_more_than_own(changed.role, actor)
            _refuse_more_than_own(old.role, actor)
            if _is_admin(old) and not _is_admin(changed):
                self._refuse_last_admin(old)
            self._accounts.save_user(changed)
            fact = catalog.UserChanged(
                user_id=str(old.id),
                username=old.username,
                role=changed.role,
                status=changed.status,
                email=changed.email,
            )
            self._audit.record(_stream(old), fact, tenant=tenant, actor=actor)
            if changed.status is Status.SUSPENDED:
                self._revoke_all(changed, "user_suspended", actor)
        return changed

    def change_password(self, user_id: UUID, password: str, *, tenant: str, actor: Principal | None) -> None:
        """Set it; all sessions of the user end. Raises InvalidInputError, NotFoundError, NotPermittedError."""
        user = self._accounts.user(user_id, tenant=tenant)
        if actor is None or actor.user_id != user.id:
            _refuse_more_than_own(user.role, actor)
        hashed = self._passwords.hash(password)
        fact = catalog.UserPasswordChanged(user_id=str(user.id), username=user.username)
        with self._together():
            locked = self._accounts.user(user_id, tenant=tenant, lock=True)
            self._accounts.save_user(replace(locked, password_hash=hashed))
            self._audit.record(_stream(user), fact, tenant=tenant, actor=actor)
            self._revoke_all(user, "password_changed", actor)

    def change_own_password(self, actor: Principal, *, present: str, password: str) -> None:
        """As `change_password`, by the owner, who must know the present one. Raises UnauthenticatedError."""
        if actor.user_id is None:
            raise NotPermittedError("A service has no password.")
        user = self._accounts.user(actor.user_id, tenant=actor.tenant)
        if not self._passwords.verify(user.password_hash, present):
            raise UnauthenticatedError("The present password is wrong.", code="credentials_wrong")
        self.change_password(user.id, password, tenant=actor.tenant, actor=actor)

    def end_sessions(self, user_id: UUID, *, tenant: str, actor: Principal | None) -> int:
        """End all sessions of a user; gives how many there were. Raises NotFoundError, NotPermittedError."""
        user = self._accounts.user(user_id, tenant=tenant)
        _refuse_more_than_own(user.role, actor)
        return self._revoke_all(user, "ended_by_admin", actor)

    # Keys

    def create_key(
        self,
        name: str,
        *,
        actor: Principal,
        user_id: UUID | None = None,
        scopes: Iterable[str] | None = None,
        expires_at: datetime | None = None,
    ) -> tuple[ApiKey, str]:
        """A key of the actor, or of another user of the tenant; the second is shown this once.

        Raises InvalidInputError, NotPermittedError for scopes that actor or owner do not have, ConflictError for too many.
        """
        owner_id = user_id or actor.user_id
        if owner_id is None:
            raise NotPermittedError("A service cannot have keys; name a user.", code="key_owner_missing")
        owner = self._accounts.user(owner_id, tenant=actor.tenant)
        now = datetime.now(UTC)
        if expires_at is not None and expires_at <= now:
            found = Problem("expires_at", "is in the past")
            raise InvalidInputError(f"The key is not valid: {found}.", code="validation_failed", problems=(found,))
        granted = scopes_of(owner.role, at_home=actor.tenant == self._home)
        wanted = narrowed(granted, actor.scopes) if scopes is None else check_scopes(scopes)
        if narrowed(granted, wanted) != wanted or narrowed(actor.scopes, wanted) != wanted:
            raise NotPermittedError("A key cannot do more than its owner and its maker.", code="scope_not_granted")
        good = [key for key in self._credentials.keys(tenant=actor.tenant, user_id=owner.id) if key.revoked_at is None]
        if len(good) >= _KEYS_OF_USER:
            raise ConflictError(f"{owner.username!r} has {len(good)} keys. Revoke some.", code="keys_too_many")
        key = ApiKey(actor.tenant, secrets.token_hex(6), owner.id, name, wanted, now, expires_at)
        shown, secret_hash = new_api_key(key.id)
        with self._together():
            self._credentials.create_key(key, secret_hash=secret_hash)
            fact = catalog.KeyCreated(
                key_id=key.id,
                user_id=str(owner.id),
                name=name,
                scopes=tuple(sorted(wanted)),
                expires_at=None if expires_at is None else expires_at.isoformat(),
            )
            self._audit.record(StreamId("key", key.id), fact, tenant=actor.tenant, actor=actor)
        return key, shown

    def keys(self, *, tenant: str, user_id: UUID | None = None) -> Sequence[ApiKey]:
        """All of the tenant, or of one user."""
        return self._credentials.keys(tenant=tenant, user_id=user_id)

    def revoke_key(self, key_id: str, *, tenant: str, actor: Principal | None) -> ApiKey:
        """Raises NotFoundError."""
        with self._together():
            key = self._credentials.revoke_key(key_id, tenant=tenant, now=datetime.now(UTC))
            fact = catalog.KeyRevoked(key_id=key.id, name=key.name)
            self._audit.record(StreamId("key", key.id), fact, tenant=tenant, actor=actor)
        return key

    def rotate_signing_key(self, *, actor: Principal | None) -> str:
        """Sign with a new key from now on; gives its id. Tokens of the former stay good until they expire."""
        try:
            with self._together():
                key, until = self._tokens.rotate(now=datetime.now(UTC))
                fact = catalog.SigningKeyRotated(kid=key.kid, former_until=until.isoformat())
                self._audit.record(StreamId("key", key.kid), fact, tenant=self._home, actor=actor)
        except PlatformError:
            self._tokens.forget()  # it has read what is not there after all
            raise
        return key.kid

    def rewrap(self, *, actor: Principal | None) -> int:
        """Bring all sealed secrets under the present master key; gives how many changed."""
        with self._together():
            changed = self._secrets.rewrap(lambda sealed, context: self._vault.rewrap(sealed, context=context))
            fact = catalog.MasterKeyRotated(rewrapped=changed)
            self._audit.record(StreamId("key", "master"), fact, tenant=self._home, actor=actor)
        return changed

    # Keys of AI providers

    def store_provider_key(
        self, provider: str, key: str, *, tenant: str, actor: Principal | None, base_url: str | None = None
    ) -> ProviderKey:
        """Keep a tenant's own key of a provider, sealed, and where it is good. Raises InvalidInputError."""
        _check(_PROVIDER, provider, "provider", "lower case letters, digits, - and _")
        if not 8 <= len(key) <= 4096 or not key.isprintable():  # noqa: PLR2004  # what a key can be
            found = Problem("key", "is no key", "8 to 4096 printable characters")
            raise InvalidInputError(f"The key is not valid: {found}.", code="validation_failed", problems=(found,))
        sealed = self._vault.seal(key.encode(), context=context_of_provider_key(tenant, provider))
        stored = ProviderKey(tenant, provider, sealed, key[-_HINT:], datetime.now(UTC), base_url)
        with self._together():
            self._secrets.save_provider_key(stored)
            fact = catalog.ProviderKeyStored(provider=provider, hint=stored.hint)
            self._audit.record(StreamId("key", f"provider-{provider}"), fact, tenant=tenant, actor=actor)
        return stored

    def provider_keys(self, *, tenant: str) -> Sequence[ProviderKey]:
        """What the tenant has; sealed."""
        return self._secrets.provider_keys(tenant=tenant)

    def provider_key(self, provider: str, *, tenant: str) -> str | None:
        """The key itself, for the call that needs it; None when the tenant has none. Raises ConflictError."""
        found = next((key for key in self._secrets.provider_keys(tenant=tenant) if key.provider == provider), None)
        if found is None:
            return None
        return self._vault.open(found.sealed, context=context_of_provider_key(tenant, provider)).decode()

    def remove_provider_key(self, provider: str, *, tenant: str, actor: Principal | None) -> None:
        """Raises NotFoundError."""
        with self._together():
            self._secrets.remove_provider_key(provider, tenant=tenant)
            fact = catalog.ProviderKeyRemoved(provider=provider)
            self._audit.record(StreamId("key", f"provider-{provider}"), fact, tenant=tenant, actor=actor)

    def _make_schema(self, tenant_id: str) -> None:
        """Before there is the tenant: tables cannot be attached within the transaction that creates it."""
        if len(tenant_id) > MOST_LETTERS:
            found = Problem("tenant", f"{tenant_id!r} is too long for a schema", f"{MOST_LETTERS} letters at most")
            raise InvalidInputError(f"It is not valid: {found}.", code="validation_failed", problems=(found,))
        with suppress(NotFoundError):
            self._accounts.tenant(tenant_id)
            raise ConflictError(f"There is a tenant {tenant_id!r} already.", code="tenant_exists")
        self._schemas.make(tenant_id)

    def _limit_spending(self, tenant: Tenant, *, before: Limits) -> None:
        if tenant.limits.usd_per_month != before.usd_per_month:
            self._spending(tenant.id, tenant.limits.usd_per_month)

    def _refuse_last_admin(self, user: User) -> None:
        others = [one for one in self._accounts.users(tenant=user.tenant) if _is_admin(one) and one.id != user.id]
        if not others:
            message = f"{user.username!r} is the last admin of {user.tenant!r}. Make somebody else one first."
            raise ConflictError(message, code="last_admin")

    def _revoke_all(self, user: User, reason: str, actor: Principal | None) -> int:
        now = datetime.now(UTC)
        with self._together():
            ended = self._credentials.revoke_sessions(tenant=user.tenant, reason=reason, now=now, user_id=user.id)
            if ended:
                fact = catalog.UserSessionsRevoked(
                    user_id=str(user.id), username=user.username, reason=reason, sessions=ended
                )
                self._audit.record(_stream(user), fact, tenant=user.tenant, actor=actor)
        return ended


def _is_admin(user: User) -> bool:
    return user.role is Role.ADMIN and user.status is Status.ACTIVE


def _refuse_more_than_own(role: Role, actor: Principal | None) -> None:
    """Nobody gives, or takes, what is more than they have themselves."""
    wanted = scopes_of(role, at_home=False)
    if actor is not None and narrowed(actor.scopes, wanted) != wanted:
        raise NotPermittedError(f"{actor.role.value!r} cannot give or change the role {role.value!r}.")


def _check(pattern: re.Pattern[str], value: str, path: str, hint: str) -> None:
    if not pattern.fullmatch(value):
        found = Problem(path, f"{value!r} is not accepted", hint)
        raise InvalidInputError(f"It is not valid: {found}.", code="validation_failed", problems=(found,))


def _stream(user: User) -> StreamId:
    return StreamId("user", str(user.id))
