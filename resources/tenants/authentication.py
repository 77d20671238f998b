"""Who are you? Logging in, staying logged in, logging out, and telling who a credential belongs to.

A login opens a session; its access tokens are short-lived, its refresh token is used once and replaced. A refresh token that
comes a second time was copied, so the session ends for whoever holds it. Wrong passwords block an account and an address for
longer and longer: an account never for more than a quarter of an hour, so that nobody can lock its owner out for good.
"""

from __future__ import annotations

import hashlib
import secrets
import uuid
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from resources.errors import InvalidInputError, LimitExceededError, NotPermittedError, Problem, UnauthenticatedError
from resources.events.catalog import (
    ClientAdmitted,
    ServiceTokenIssued,
    UserLoggedIn,
    UserLoginRefused,
    UserSessionsRevoked,
)
from resources.events.model import StreamId
from resources.tenants.model import Principal, Session, Standing, Status, TokenPair, User
from resources.tenants.permissions import Role, narrowed, scopes_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager

    from resources.tenants.audit import Audit
    from resources.tenants.passwords import Passwords
    from resources.tenants.store import AccountStore, CredentialStore
    from resources.tenants.tokens import Tokens

KEY_PREFIX = "aiw_"
REFRESH_PREFIX = "aiwr_"
_FORGET_FAILURES = 3600.0
_FREE_FAILURES = {"account": 5, "address": 20}
_LONGEST_BLOCK = 900.0
_SERVICE_ROLES = frozenset({Role.SERVICE, Role.AGENT, Role.VIEWER})
_REASONS = {
    "session_ended": "The session has ended. Log in again.",
    "key_ended": "The API key has expired or was revoked.",
    "tenant_suspended": "The tenant is suspended.",
    "user_suspended": "The user is suspended.",
}


class Authentication:
    """Safe to share between threads. `home` is the platform's own tenant, whose admins administer all of it."""

    def __init__(
        self,
        accounts: AccountStore,
        credentials: CredentialStore,
        tokens: Tokens,
        passwords: Passwords,
        audit: Audit,
        *,
        home: str,
        access_seconds: int = 900,
        session_seconds: int = 30 * 86_400,
        service_seconds: int = 3600,
        together: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self._accounts = accounts
        self._credentials = credentials
        self._tokens = tokens
        self._passwords = passwords
        self._audit = audit
        self._home = home
        self._access_seconds = access_seconds
        self._session_seconds = session_seconds
        self._service_seconds = service_seconds
        self._together = together

    def login(
        self, username: str, password: str, *, tenant: str, address: str | None = None, now: datetime | None = None
    ) -> TokenPair:
        """Open a session. `username` may be the email.

        Raises InvalidInputError for blanks, UnauthenticatedError when it is not right (whatever of it), LimitExceededError
        while the account or the address is blocked.
        """
        now = now or datetime.now(UTC)
        blank = tuple(Problem(name, "is blank") for name, it in _named(username, password, tenant) if not it.strip())
        if blank:
            raise InvalidInputError(f"Cannot log in: {blank[0]}.", code="credentials_blank", problems=blank)
        subjects = _subjects(tenant, username, address)
        self._refuse_blocked(subjects, now)
        email = username if "@" in username else None
        user = self._accounts.find_user(tenant=tenant, username=username, email=email)
        good = self._passwords.verify(None if user is None else user.password_hash, password)
        if user is None or not good:
            self._count_failure(subjects, user, address, now)
            raise UnauthenticatedError("User name or password are wrong.", code="credentials_wrong")
        self._credentials.clear_failures(subjects["account"])
        if user.password_hash is not None and self._passwords.outdated(user.password_hash):
            user = self._accounts.save_user(replace(user, password_hash=self._passwords.hash(password)))
        return self.open_session(user, method="password", address=address, now=now)

    def open_session(
        self,
        user: User,
        *,
        method: Literal["password", "oidc"],
        address: str | None = None,
        now: datetime | None = None,
    ) -> TokenPair:
        """A session of a user who has proved to be it. Raises NotPermittedError when user or tenant are suspended."""
        now = now or datetime.now(UTC)
        session = Session(
            tenant=user.tenant,
            id=uuid.uuid4(),
            user_id=user.id,
            subject=str(user.id),
            role=user.role,
            created_at=now,
            expires_at=now + timedelta(seconds=self._session_seconds),
        )
        if self._accounts.tenant(user.tenant).status is not Status.ACTIVE or user.status is not Status.ACTIVE:
            raise NotPermittedError("The user or the tenant is suspended.", code="suspended")
        refresh = _new_secret(REFRESH_PREFIX)
        pair = self._pair(session, user.username, user.role, refresh, now)
        fact = UserLoggedIn(
            user_id=str(user.id), username=user.username, session_id=str(session.id), method=method, address=address
        )
        with self._together():
            self._credentials.open_session(session, refresh_hash=_digest(refresh))
            present = self._accounts.user(user.id, tenant=user.tenant, lock=True)
            self._accounts.save_user(replace(present, last_login_at=now))
            self._audit.record(_stream(user), fact, tenant=user.tenant, actor=pair.principal)
        return pair

    def admit_client(
        self, principal: Principal, *, client: str, place: str, scopes: Iterable[str], resource: str | None = None
    ) -> None:
        """Put on record that the user of a new session lets a program act in it, as far as `scopes` go."""
        assert principal.user_id is not None  # who agrees has logged in
        user = self._accounts.user(principal.user_id, tenant=principal.tenant)
        fact = ClientAdmitted(
            user_id=str(user.id),
            username=user.username,
            session_id=str(principal.session_id),
            client=client,
            place=place,
            scopes=tuple(sorted(scopes)),
            resource=resource,
        )
        self._audit.record(_stream(user), fact, tenant=user.tenant, actor=principal)

    def refresh(self, refresh_token: str, *, now: datetime | None = None) -> TokenPair:
        """New tokens for a refresh token, which is used up by it. Raises UnauthenticatedError.

        One that was used before ends the session: two hold it, and one of them is not its owner.
        """
        now = now or datetime.now(UTC)
        fresh = _new_secret(REFRESH_PREFIX)
        with self._together():
            rotated = self._credentials.rotate(_digest(refresh_token), _digest(fresh), now=now)
            if rotated is None:
                raise UnauthenticatedError("The refresh token is not good. Log in again.", code="refresh_invalid")
            session, was_fresh = rotated
            assert session.user_id is not None  # a service's session has no refresh token
            user = self._accounts.user(session.user_id, tenant=session.tenant)
            if not was_fresh:
                self._tell_revoked(user, "refresh_reused", 1, actor=None)
        if not was_fresh:
            raise UnauthenticatedError(
                "The refresh token was used before, so the session has ended. Log in again.", code="refresh_reused"
            )
        standing = self._credentials.session_standing(session.id, tenant=session.tenant, now=now)
        _refuse_inactive(standing)
        return self._pair(session, user.username, user.role, fresh, now)

    def logout(self, principal: Principal, *, everywhere: bool = False, now: datetime | None = None) -> int:
        """End the session of the principal, or all of the same user; gives how many ended."""
        now = now or datetime.now(UTC)
        with self._together():
            ended = self._credentials.revoke_sessions(
                tenant=principal.tenant,
                reason="logout",
                now=now,
                session_id=principal.session_id,
                user_id=principal.user_id if everywhere else None,
            )
            if principal.user_id is not None and ended:
                user = self._accounts.user(principal.user_id, tenant=principal.tenant)
                self._tell_revoked(user, "logout", ended, actor=principal)
        return ended

    def logout_by_refresh(self, refresh_token: str, *, now: datetime | None = None) -> int:
        """End the session of a refresh token; 0 when there is none."""
        now = now or datetime.now(UTC)
        session = self._credentials.session_of(_digest(refresh_token))
        if session is None or session.user_id is None:
            return 0
        with self._together():
            ended = self._credentials.revoke_sessions(
                tenant=session.tenant, reason="logout", now=now, session_id=session.id
            )
            if ended:
                user = self._accounts.user(session.user_id, tenant=session.tenant)
                self._tell_revoked(user, "logout", ended, actor=None)
        return ended

    def issue_service_token(
        self,
        subject: str,
        *,
        actor: Principal,
        role: Role = Role.SERVICE,
        scopes: Iterable[str] | None = None,
        now: datetime | None = None,
    ) -> TokenPair:
        """A token for a program of the actor's tenant. Raises NotPermittedError for more than the actor may do, NotFoundError."""
        now = now or datetime.now(UTC)
        self._accounts.tenant(actor.tenant)
        granted = scopes_of(role, at_home=False)
        wanted = granted if scopes is None else narrowed(granted, scopes)
        if role not in _SERVICE_ROLES or narrowed(actor.scopes, wanted) != wanted:
            raise NotPermittedError(f"No token of the role {role.value!r} can be handed on by {actor.role.value!r}.")
        session = Session(
            tenant=actor.tenant,
            id=uuid.uuid4(),
            user_id=None,
            subject=f"service:{subject}",
            role=role,
            created_at=now,
            expires_at=now + timedelta(seconds=self._service_seconds),
        )
        fact = ServiceTokenIssued(
            session_id=str(session.id), subject=session.subject, role=role, expires_at=session.expires_at.isoformat()
        )
        with self._together():
            self._credentials.open_session(session, refresh_hash=None)
            self._audit.record(StreamId("key", str(session.id)), fact, tenant=actor.tenant, actor=actor)
        return self._pair(session, session.subject, role, None, now, scopes=wanted)

    def lasting_token(self, principal: Principal, *, seconds: int, now: datetime | None = None) -> str:
        """An access token of the principal's session that is good for longer: for a cookie, which no script can read."""
        return self._tokens.sign(_claims(principal), now=now or datetime.now(UTC), seconds=seconds)

    def authenticate(self, credential: str, *, now: datetime | None = None) -> Principal:
        """Who an access token or an API key belongs to, as things stand now. Raises UnauthenticatedError."""
        now = now or datetime.now(UTC)
        if credential.startswith(KEY_PREFIX):
            return self._of_key(credential, now)
        claims = self._tokens.verify(credential, now=now)
        try:
            session_id, tenant = uuid.UUID(claims["sid"]), str(claims["tenant"])
        except (ValueError, AttributeError) as error:
            raise UnauthenticatedError("The token is not accepted.", code="token_invalid") from error
        standing = _refuse_inactive(self._credentials.session_standing(session_id, tenant=tenant, now=now))
        subject = str(claims["sub"])
        granted = scopes_of(standing.role, at_home=tenant == self._home)
        return Principal(
            tenant=tenant,
            subject=subject,
            username=standing.username,
            role=standing.role,
            scopes=narrowed(granted, claims.get("scopes", ())),
            user_id=None if subject.startswith("service:") else uuid.UUID(subject),
            session_id=session_id,
            expires_at=datetime.fromtimestamp(claims["exp"], UTC),
            limits=standing.limits,
        )

    def _of_key(self, credential: str, now: datetime) -> Principal:
        key_id, _, secret = credential.removeprefix(KEY_PREFIX).partition("_")
        found = self._credentials.find_key(key_id, secret_hash=_digest(secret), now=now)
        if found is None:
            raise UnauthenticatedError("The API key is not known.", code="key_invalid")
        key, standing = found
        _refuse_inactive(standing)
        granted = scopes_of(standing.role, at_home=key.tenant == self._home)
        return Principal(
            tenant=key.tenant,
            subject=str(key.user_id),
            username=standing.username,
            role=standing.role,
            scopes=narrowed(granted, key.scopes),
            user_id=key.user_id,
            key_id=key.id,
            expires_at=key.expires_at,
            limits=standing.limits,
        )

    def _pair(
        self,
        session: Session,
        username: str,
        role: Role,
        refresh: str | None,
        now: datetime,
        *,
        scopes: frozenset[str] | None = None,
    ) -> TokenPair:
        granted = scopes_of(role, at_home=session.tenant == self._home and session.user_id is not None)
        scopes = granted if scopes is None else scopes
        seconds = self._access_seconds if refresh else self._service_seconds
        seconds = max(1, min(seconds, int((session.expires_at - now).total_seconds())))
        principal = Principal(
            tenant=session.tenant,
            subject=session.subject,
            username=username,
            role=role,
            scopes=scopes,
            user_id=session.user_id,
            session_id=session.id,
            expires_at=now + timedelta(seconds=seconds),
        )
        return TokenPair(self._tokens.sign(_claims(principal), now=now, seconds=seconds), refresh, seconds, principal)

    def _refuse_blocked(self, subjects: dict[str, str], now: datetime) -> None:
        found = self._credentials.attempts(list(subjects.values()))
        until = max((one.blocked_until for one in found.values() if one.blocked_until is not None), default=now)
        if until > now:
            raise LimitExceededError(
                "Too many wrong passwords. Wait, and try again.",
                retry_after=(until - now).total_seconds(),
                code="login_blocked",
            )

    def _count_failure(self, subjects: dict[str, str], user: User | None, address: str | None, now: datetime) -> None:
        counted = {
            kind: self._credentials.count_failure(
                subject,
                now=now,
                blocked=partial(block_seconds, free=_FREE_FAILURES[kind]),
                forget_after=_FORGET_FAILURES,
            )
            for kind, subject in subjects.items()
        }
        if user is not None:  # who is not known has no stream, and a mistyped password no business in one
            fact = UserLoginRefused(
                user_id=str(user.id),
                username=user.username,
                reason="credentials_wrong",
                failures=counted["account"].failures,
                address=address,
            )
            self._audit.record(_stream(user), fact, tenant=user.tenant)

    def _tell_revoked(self, user: User, reason: str, sessions: int, *, actor: Principal | None) -> None:
        fact = UserSessionsRevoked(user_id=str(user.id), username=user.username, reason=reason, sessions=sessions)
        self._audit.record(_stream(user), fact, tenant=user.tenant, actor=actor)


def block_seconds(failures: int, *, free: int) -> float:
    """How long so many failures block: not at all at first, then one second, doubled with each, a quarter hour at most."""
    return 0.0 if failures < free else min(_LONGEST_BLOCK, 2.0 ** min(failures - free, 20))


def new_api_key(key_id: str) -> tuple[str, bytes]:
    """The key to show once, and the digest of its secret to store."""
    secret = secrets.token_urlsafe(32)
    return f"{KEY_PREFIX}{key_id}_{secret}", _digest(secret)


def _new_secret(prefix: str) -> str:
    return prefix + secrets.token_urlsafe(32)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _claims(principal: Principal) -> dict[str, Any]:
    return {
        "sub": principal.subject,
        "sid": str(principal.session_id),
        "tenant": principal.tenant,
        "username": principal.username,
        "roles": [principal.role.value],
        "scopes": sorted(principal.scopes),
    }


def _named(username: str, password: str, tenant: str) -> tuple[tuple[str, str], ...]:
    return (("username", username), ("password", password), ("tenant", tenant))


def _subjects(tenant: str, username: str, address: str | None) -> dict[str, str]:
    # Hashed, as some type their password where the name belongs.
    account = hashlib.sha256(f"{tenant}/{username}".encode()).hexdigest()[:40]
    return {"account": f"account:{account}"} | ({} if address is None else {"address": f"address:{address}"})


def _refuse_inactive(standing: Standing | None) -> Standing:
    if standing is None or not standing.active:
        reason = "session_ended" if standing is None or standing.reason is None else standing.reason
        raise UnauthenticatedError(_REASONS[reason], code=reason)
    return standing


def _stream(user: User) -> StreamId:
    return StreamId("user", str(user.id))
