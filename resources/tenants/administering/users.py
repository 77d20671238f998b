"""Users of a tenant, their roles and passwords."""

from __future__ import annotations

import re
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from resources.errors import (
    ConflictError,
    NotFoundError,
    NotPermittedError,
    UnauthenticatedError,
)
from resources.events import catalog
from resources.events.model import StreamId
from resources.tenants.administering.common import Office, check
from resources.tenants.model import Status, User
from resources.tenants.permissions import Role, narrowed, scopes_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from resources.tenants.model import Principal

_USERNAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}")
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]{1,189}")


class UserOffice(Office):
    """Users."""

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
        check(_USERNAME, username, "username", "letters, digits and . _ @ + -, 100 at most")
        if email is not None:
            check(_EMAIL, email, "email", "an address such as ada@example.org")
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
            check(_EMAIL, email, "email", "an address such as ada@example.org")
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


def _stream(user: User) -> StreamId:
    return StreamId("user", str(user.id))
