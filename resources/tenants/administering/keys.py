"""Keys: those that users and programs are known by, those that sign, and those of AI providers."""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from resources.errors import ConflictError, InvalidInputError, NotPermittedError, PlatformError, Problem
from resources.events import catalog
from resources.events.model import StreamId
from resources.tenants.administering.common import Office, check
from resources.tenants.authentication import new_api_key
from resources.tenants.model import ApiKey, ProviderKey
from resources.tenants.permissions import check_scopes, narrowed, scopes_of
from resources.tenants.store import context_of_provider_key, unknown_provider_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from uuid import UUID

    from resources.tenants.model import Principal

_PROVIDER = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_HINT = 4
_KEYS_OF_USER = 100


class KeyOffice(Office):
    """Keys."""

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

    def key(self, key_id: str, *, tenant: str) -> ApiKey:
        """Raises NotFoundError."""
        return self._credentials.key(key_id, tenant=tenant)

    def revoke_key(
        self,
        key_id: str,
        *,
        tenant: str,
        unless: Callable[[ApiKey], None] | None = None,
        actor: Principal | None,
    ) -> ApiKey:
        """Unless `unless` raises for how it is before. Raises NotFoundError."""
        with self._together():
            if unless is not None:
                unless(self._credentials.key(key_id, tenant=tenant, lock=True))
            key = self._credentials.revoke_key(key_id, tenant=tenant, now=datetime.now(UTC))
            fact = catalog.KeyRevoked(key_id=key.id, name=key.name)
            self._audit.record(StreamId("key", key.id), fact, tenant=tenant, actor=actor)
        return key

    def rotate_signing_key(self, *, actor: Principal | None, drop_former: bool = False) -> str:
        """Sign with a new key from now on; gives its id. Tokens of the former stay good until they expire, or end at once."""
        try:
            with self._together():
                key, until = self._tokens.rotate(now=datetime.now(UTC), drop_former=drop_former)
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
        self,
        provider: str,
        key: str,
        *,
        tenant: str,
        actor: Principal | None,
        base_url: str | None = None,
        unless: Callable[[ProviderKey | None], None] | None = None,
    ) -> ProviderKey:
        """Keep a tenant's own key of a provider, sealed, and where it is good. Raises InvalidInputError.

        Unless `unless` raises for the one before (None = there is none).
        """
        check(_PROVIDER, provider, "provider", "lower case letters, digits, - and _")
        if not 8 <= len(key) <= 4096 or not key.isprintable():  # noqa: PLR2004  # what a key can be
            found = Problem("key", "is no key", "8 to 4096 printable characters")
            raise InvalidInputError(f"The key is not valid: {found}.", code="validation_failed", problems=(found,))
        sealed = self._vault.seal(key.encode(), context=context_of_provider_key(tenant, provider))
        stored = ProviderKey(tenant, provider, sealed, key[-_HINT:], datetime.now(UTC), base_url)
        with self._together():
            if unless is not None:
                unless(self._secrets.provider_key(provider, tenant=tenant, lock=True))
            self._secrets.save_provider_key(stored)
            fact = catalog.ProviderKeyStored(provider=provider, hint=stored.hint)
            self._audit.record(StreamId("key", f"provider-{provider}"), fact, tenant=tenant, actor=actor)
        return stored

    def provider_keys(self, *, tenant: str) -> Sequence[ProviderKey]:
        """What the tenant has; sealed."""
        return self._secrets.provider_keys(tenant=tenant)

    def sealed_provider_key(self, provider: str, *, tenant: str) -> ProviderKey:
        """One of the same. Raises NotFoundError."""
        found = self._secrets.provider_key(provider, tenant=tenant)
        if found is None:
            raise unknown_provider_key(provider)
        return found

    def provider_key(self, provider: str, *, tenant: str) -> str | None:
        """The key itself, for the call that needs it; None when the tenant has none. Raises ConflictError."""
        found = self._secrets.provider_key(provider, tenant=tenant)
        if found is None:
            return None
        return self._vault.open(found.sealed, context=context_of_provider_key(tenant, provider)).decode()

    def remove_provider_key(
        self,
        provider: str,
        *,
        tenant: str,
        unless: Callable[[ProviderKey | None], None] | None = None,
        actor: Principal | None,
    ) -> None:
        """Unless `unless` raises for how it is. Raises NotFoundError."""
        with self._together():
            if unless is not None and (found := self._secrets.provider_key(provider, tenant=tenant, lock=True)):
                unless(found)
            self._secrets.remove_provider_key(provider, tenant=tenant)
            fact = catalog.ProviderKeyRemoved(provider=provider)
            self._audit.record(StreamId("key", f"provider-{provider}"), fact, tenant=tenant, actor=actor)
