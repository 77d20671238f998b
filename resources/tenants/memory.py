"""Identity in memory: the reference of the contract, and for tests of what stands on it."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from resources.errors import ConflictError, NotFoundError
from resources.tenants.model import Attempts, Limits, Standing, Status
from resources.tenants.store import (
    context_of_provider_key,
    context_of_signing_key,
    unknown_key,
    unknown_provider_key,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from uuid import UUID

    from resources.tenants.model import ApiKey, ProviderKey, Session, SigningKey, Tenant, User


class MemoryNotices:
    """Tells at once, in the thread of whoever made the change."""

    def __init__(self) -> None:
        self._watchers: list[Callable[[str], None]] = []

    def watch(self, notice: Callable[[str], None]) -> Callable[[], None]:
        self._watchers.append(notice)
        return lambda: self._watchers.remove(notice)

    def tell(self, news: str) -> None:
        """Pass it on to all who watch."""
        for notice in list(self._watchers):
            notice(news)

    def close(self) -> None:
        self._watchers.clear()


class MemoryAccounts:
    """Safe to share between threads."""

    def __init__(self, notices: MemoryNotices | None = None) -> None:
        self._notices = notices or MemoryNotices()
        self._tenants: dict[str, Tenant] = {}
        self._users: dict[tuple[str, UUID], User] = {}
        self._lock = threading.Lock()

    def create_tenant(self, tenant: Tenant) -> Tenant:
        with self._lock:
            if tenant.id in self._tenants:
                raise ConflictError(f"There is a tenant {tenant.id!r} already.", code="tenant_exists")
            self._tenants[tenant.id] = tenant
        return tenant

    def tenant(self, tenant: str, *, lock: bool = False) -> Tenant:  # noqa: ARG002  # one process
        if tenant not in self._tenants:
            raise NotFoundError(f"There is no tenant {tenant!r}.", code="tenant_not_found")
        return self._tenants[tenant]

    def tenants(self) -> Sequence[Tenant]:
        return sorted(self._tenants.values(), key=lambda tenant: tenant.id)

    def save_tenant(self, tenant: Tenant) -> Tenant:
        self.tenant(tenant.id)
        self._tenants[tenant.id] = tenant
        self._notices.tell(f"tenant:{tenant.id}")
        return tenant

    def erase_tenant(self, tenant: str, *, now: datetime) -> Tenant:
        erased = replace(self.tenant(tenant), name=tenant, limits=Limits(), erased_at=now)
        with self._lock:
            self._users = {key: user for key, user in self._users.items() if user.tenant != tenant}
        return self.save_tenant(erased)

    def create_user(self, user: User) -> User:
        self.tenant(user.tenant)
        with self._lock:
            self._refuse_taken(user)
            self._users[user.tenant, user.id] = user
        return user

    def user(self, user_id: UUID, *, tenant: str, lock: bool = False) -> User:  # noqa: ARG002  # one process
        found = self._users.get((tenant, user_id))
        if found is None:
            raise NotFoundError(f"There is no user {str(user_id)!r}.", code="user_not_found")
        return found

    def find_user(
        self, *, tenant: str, username: str | None = None, email: str | None = None, oidc_subject: str | None = None
    ) -> User | None:
        wanted = {"username": username, "email": email, "oidc_subject": oidc_subject}
        return next(
            (
                user
                for user in self.users(tenant=tenant)
                if any(value is not None and getattr(user, name) == value for name, value in wanted.items())
            ),
            None,
        )

    def users(self, *, tenant: str) -> Sequence[User]:
        return sorted((user for user in self._users.values() if user.tenant == tenant), key=lambda user: user.username)

    def save_user(self, user: User) -> User:
        with self._lock:
            old = self.user(user.id, tenant=user.tenant)
            self._refuse_taken(user)
            self._users[user.tenant, user.id] = user
        if (old.role, old.status, old.password_hash) != (user.role, user.status, user.password_hash):
            self._notices.tell(f"user:{user.id}")
        return user

    def _refuse_taken(self, user: User) -> None:
        for other in self.users(tenant=user.tenant):
            taken = (
                other.username == user.username
                or (user.email is not None and other.email == user.email)
                or (user.oidc_subject is not None and other.oidc_subject == user.oidc_subject)
            )
            if other.id != user.id and taken:
                message = f"The name {user.username!r}, or the email with it, is taken in the tenant {user.tenant!r}."
                raise ConflictError(message, code="user_exists")


class MemoryCredentials:
    """Safe to share between threads. Asks `accounts` how their owners stand."""

    def __init__(self, accounts: MemoryAccounts, notices: MemoryNotices | None = None) -> None:
        self._accounts = accounts
        self._notices = notices or MemoryNotices()
        self._sessions: dict[tuple[str, UUID], Session] = {}
        self._refresh: dict[bytes, tuple[str, UUID, bool]] = {}
        self._keys: dict[str, tuple[ApiKey, bytes]] = {}
        self._failures: dict[str, tuple[int, datetime, datetime]] = {}
        self._lock = threading.RLock()

    def open_session(self, session: Session, *, refresh_hash: bytes | None) -> None:
        with self._lock:
            self._sessions[session.tenant, session.id] = session
            if refresh_hash is not None:
                self._refresh[refresh_hash] = (session.tenant, session.id, False)

    def rotate(self, used: bytes, fresh: bytes, *, now: datetime) -> tuple[Session, bool] | None:
        with self._lock:
            session = self.session_of(used)
            if session is None or session.revoked_at is not None or session.expires_at <= now:
                return None
            if self._refresh[used][2]:
                self.revoke_sessions(tenant=session.tenant, reason="refresh_reused", now=now, session_id=session.id)
                return session, False
            self._refresh[used] = (session.tenant, session.id, True)
            self._refresh[fresh] = (session.tenant, session.id, False)
            return session, True

    def session_of(self, refresh_hash: bytes) -> Session | None:
        found = self._refresh.get(refresh_hash)
        return None if found is None else self._sessions[found[0], found[1]]

    def revoke_sessions(
        self, *, tenant: str, reason: str, now: datetime, session_id: UUID | None = None, user_id: UUID | None = None
    ) -> int:
        with self._lock:
            ended = [
                session
                for session in self._sessions.values()
                if session.tenant == tenant
                and session.revoked_at is None
                and (session.id == session_id or (user_id is not None and session.user_id == user_id))
            ]
            for session in ended:
                self._sessions[tenant, session.id] = replace(session, revoked_at=now, revoked_reason=reason)
        for session in ended:
            self._notices.tell(f"session:{session.id}")
        return len(ended)

    def session_standing(self, session_id: UUID, *, tenant: str, now: datetime) -> Standing | None:
        session = self._sessions.get((tenant, session_id))
        if session is None:
            return None
        over = session.revoked_at is not None or session.expires_at <= now
        return self._standing(tenant, session.user_id, session, reason="session_ended" if over else None)

    def create_key(self, key: ApiKey, *, secret_hash: bytes) -> None:
        self._keys[key.id] = (key, secret_hash)

    def keys(self, *, tenant: str, user_id: UUID | None = None) -> Sequence[ApiKey]:
        found = [key for key, _ in self._keys.values() if key.tenant == tenant and user_id in {None, key.user_id}]
        return sorted(found, key=lambda key: (-key.created_at.timestamp(), key.id))

    def key(self, key_id: str, *, tenant: str, lock: bool = False) -> ApiKey:  # noqa: ARG002  # one process
        key, _ = self._keys.get(key_id, (None, b""))
        if key is None or key.tenant != tenant:
            raise unknown_key(key_id)
        return key

    def revoke_key(self, key_id: str, *, tenant: str, now: datetime) -> ApiKey:
        with self._lock:
            key = self.key(key_id, tenant=tenant)
            revoked = replace(key, revoked_at=key.revoked_at or now)
            self._keys[key_id] = (revoked, self._keys[key_id][1])
        self._notices.tell(f"key:{key_id}")
        return revoked

    def find_key(self, key_id: str, *, secret_hash: bytes, now: datetime) -> tuple[ApiKey, Standing] | None:
        with self._lock:
            key, stored = self._keys.get(key_id, (None, b""))
            if key is None or stored != secret_hash:
                return None
            self._keys[key_id] = (replace(key, last_used_at=now), stored)
        over = key.revoked_at is not None or (key.expires_at is not None and key.expires_at <= now)
        return key, self._standing(key.tenant, key.user_id, None, reason="key_ended" if over else None)

    def attempts(self, subjects: Sequence[str]) -> dict[str, Attempts]:
        found = {subject: self._failures[subject] for subject in subjects if subject in self._failures}
        return {subject: Attempts(failures, until) for subject, (failures, _, until) in found.items()}

    def count_failure(
        self, subject: str, *, now: datetime, blocked: Callable[[int], float], forget_after: float
    ) -> Attempts:
        with self._lock:
            failures, last, _ = self._failures.get(subject, (0, now, now))
            failures = 1 if last < now - timedelta(seconds=forget_after) else failures + 1
            until = now + timedelta(seconds=blocked(failures))
            self._failures[subject] = (failures, now, until)
        return Attempts(failures, until)

    def clear_failures(self, subject: str) -> None:
        self._failures.pop(subject, None)

    def _standing(
        self, tenant_id: str, user_id: UUID | None, session: Session | None, *, reason: str | None
    ) -> Standing:
        tenant = self._accounts.tenant(tenant_id)
        user = None if user_id is None else self._accounts.user(user_id, tenant=tenant_id)
        if reason is None and tenant.status is not Status.ACTIVE:
            reason = "tenant_suspended"
        if reason is None and user is not None and user.status is not Status.ACTIVE:
            reason = "user_suspended"
        if user is not None:
            return Standing(user.role, user.username, reason is None, reason, tenant.limits)
        assert session is not None  # keys have owners
        return Standing(session.role, session.subject, reason is None, reason, tenant.limits)


class MemorySecrets:
    """Safe to share between threads."""

    def __init__(self, notices: MemoryNotices | None = None) -> None:
        self._notices = notices or MemoryNotices()
        self._signing: dict[str, SigningKey] = {}
        self._provider: dict[tuple[str, str], ProviderKey] = {}
        self._lock = threading.Lock()

    def signing_keys(self, *, now: datetime) -> Sequence[SigningKey]:
        found = [key for key in self._signing.values() if key.expires_at is None or key.expires_at > now]
        return sorted(found, key=lambda key: (-key.created_at.timestamp(), key.kid))

    def add_signing_key(self, key: SigningKey, *, retire_at: datetime, only_first: bool = False) -> bool:
        with self._lock:
            if only_first and self.signing_keys(now=key.created_at):
                return False
            drop = retire_at <= key.created_at
            for other in list(self._signing.values()):
                if other.expires_at is None or (drop and other.expires_at > retire_at):
                    self._signing[other.kid] = replace(other, expires_at=retire_at)
            self._signing[key.kid] = key
        if drop:
            self._notices.tell("*")
        return True

    def save_provider_key(self, key: ProviderKey) -> None:
        self._provider[key.tenant, key.provider] = key

    def provider_keys(self, *, tenant: str) -> Sequence[ProviderKey]:
        return sorted((key for key in self._provider.values() if key.tenant == tenant), key=lambda key: key.provider)

    def provider_key(self, provider: str, *, tenant: str, lock: bool = False) -> ProviderKey | None:  # noqa: ARG002
        return self._provider.get((tenant, provider))

    def remove_provider_key(self, provider: str, *, tenant: str) -> None:
        if self._provider.pop((tenant, provider), None) is None:
            raise unknown_provider_key(provider)

    def rewrap(self, change: Callable[[bytes, str], bytes]) -> int:
        changed = 0
        with self._lock:
            for kid, signing in list(self._signing.items()):
                fresh = change(signing.sealed, context_of_signing_key(kid))
                changed += fresh != signing.sealed
                self._signing[kid] = replace(signing, sealed=fresh)
            for place, provider in list(self._provider.items()):
                fresh = change(provider.sealed, context_of_provider_key(*place))
                changed += fresh != provider.sealed
                self._provider[place] = replace(provider, sealed=fresh)
        return changed
