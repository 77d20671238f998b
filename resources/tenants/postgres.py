"""Identity in PostgreSQL (migration 0050)."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from psycopg import errors
from psycopg.types.json import Jsonb

from resources.errors import ConflictError, NotFoundError
from resources.tenants.model import (
    ApiKey,
    Attempts,
    Limits,
    ProviderKey,
    Session,
    SigningKey,
    Standing,
    Status,
    Tenant,
    User,
)
from resources.tenants.permissions import Role
from resources.tenants.store import (
    context_of_mcp_login,
    context_of_mcp_server,
    context_of_provider_key,
    context_of_signing_key,
    unknown_key,
    unknown_provider_key,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime
    from uuid import UUID

    from resources.database.postgres import Connection, Database

_AS_TENANT = "SELECT set_config('role', 'aiw_app', true), set_config('aiw.tenant', %s, true)"
_AS_SYSTEM = "SELECT set_config('role', 'aiw_system', true)"
_NOTIFY = "SELECT pg_notify('aiw_auth', %s)"

_TENANT = "id, name, created_at, status, limits, own_schema, erased_at"
_ADD_TENANT = f"INSERT INTO aiw.tenant ({_TENANT}) VALUES (%s, %s, %s, %s, %s, %s, %s)"
_ONE_TENANT = f"SELECT {_TENANT} FROM aiw.tenant WHERE id = %s"
_LOCK_TENANT = f"SELECT {_TENANT} FROM aiw.tenant WHERE id = %s FOR NO KEY UPDATE"
_ALL_TENANTS = f"SELECT {_TENANT} FROM aiw.tenant ORDER BY id"
_ERASE_TENANT = "SELECT aiw.erase_tenant(%s, %s)"
_SAVE_TENANT = "UPDATE aiw.tenant SET name = %s, status = %s, limits = %s WHERE id = %s"

_USER = "tenant, id, username, role, created_at, email, status, password_hash, oidc_subject, last_login_at"
_ADD_USER = f"INSERT INTO aiw.account ({_USER}) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
_ONE_USER = f"SELECT {_USER} FROM aiw.account WHERE tenant = %s AND id = %s"
_LOCK_USER = f"SELECT {_USER} FROM aiw.account WHERE tenant = %s AND id = %s FOR NO KEY UPDATE"
_FIND_USER = f"""SELECT {_USER} FROM aiw.account WHERE tenant = %(tenant)s
    AND (username = %(username)s OR email = %(email)s OR oidc_subject = %(oidc_subject)s)"""
_ALL_USERS = f"SELECT {_USER} FROM aiw.account WHERE tenant = %s ORDER BY username"
_SAVE_USER = """UPDATE aiw.account SET role = %s, email = %s, status = %s, password_hash = %s, oidc_subject = %s,
    last_login_at = %s WHERE tenant = %s AND id = %s
    RETURNING (old.role, old.status, old.password_hash) IS DISTINCT FROM (new.role, new.status, new.password_hash)"""

_SESSION = "tenant, id, account_id, subject, role, created_at, expires_at, revoked_at, revoked_reason"
_SESSION_S = ", ".join(f"s.{column.strip()}" for column in _SESSION.split(","))
_OPEN = f"INSERT INTO aiw.session ({_SESSION}) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)"
_SWEEP = "DELETE FROM aiw.session WHERE tenant = %s AND expires_at < %s"
_ADD_REFRESH = "INSERT INTO aiw.refresh_token (hash, tenant, session_id) VALUES (%s, %s, %s)"
_USE_REFRESH = "UPDATE aiw.refresh_token SET used_at = %s WHERE hash = %s AND used_at IS NULL RETURNING 1"
_SESSION_OF = f"""SELECT {_SESSION_S} FROM aiw.refresh_token t JOIN aiw.session s ON s.tenant = t.tenant AND s.id = t.session_id
    WHERE t.hash = %s"""
_REVOKE = """UPDATE aiw.session SET revoked_at = %(now)s, revoked_reason = %(reason)s
    WHERE tenant = %(tenant)s AND revoked_at IS NULL AND (id = %(session)s OR account_id = %(user)s) RETURNING id"""
_STANDING = """SELECT coalesce(a.role, s.role), coalesce(a.username, s.subject), s.revoked_at, s.expires_at, a.status,
    t.status, t.limits
    FROM aiw.session s JOIN aiw.tenant t ON t.id = s.tenant
    LEFT JOIN aiw.account a ON a.tenant = s.tenant AND a.id = s.account_id WHERE s.tenant = %s AND s.id = %s"""

_KEY = "tenant, id, account_id, name, scopes, created_at, expires_at, revoked_at, last_used_at"
_KEY_K = ", ".join(f"k.{column.strip()}" for column in _KEY.split(","))
_ADD_KEY = f"INSERT INTO aiw.api_key ({_KEY}, secret_hash) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
_ONE_KEY = f"SELECT {_KEY} FROM aiw.api_key WHERE tenant = %s AND id = %s"
_KEYS = f"""SELECT {_KEY} FROM aiw.api_key WHERE tenant = %(tenant)s AND (%(user)s::uuid IS NULL OR account_id = %(user)s)
    ORDER BY created_at DESC, id"""
_REVOKE_KEY = (
    f"UPDATE aiw.api_key SET revoked_at = coalesce(revoked_at, %s) WHERE tenant = %s AND id = %s RETURNING {_KEY}"
)
_FIND_KEY = f"""SELECT {_KEY_K}, a.role, a.username, a.status, t.status, t.limits
    FROM aiw.api_key k JOIN aiw.tenant t ON t.id = k.tenant JOIN aiw.account a ON a.tenant = k.tenant AND a.id = k.account_id
    WHERE k.id = %s AND k.secret_hash = %s"""
_TOUCH_KEY = "UPDATE aiw.api_key SET last_used_at = %s WHERE id = %s"

_ATTEMPTS = "SELECT subject, failures, blocked_until FROM aiw.login_attempt WHERE subject = ANY (%s)"
_FAILURE = """INSERT INTO aiw.login_attempt (subject, failures, failed_at) VALUES (%(subject)s, 1, %(now)s)
    ON CONFLICT (subject) DO UPDATE SET failed_at = %(now)s, failures = CASE
        WHEN login_attempt.failed_at < %(now)s - make_interval(secs => %(forget)s) THEN 1
        ELSE login_attempt.failures + 1 END RETURNING failures"""
_BLOCK = """UPDATE aiw.login_attempt SET blocked_until = %s + make_interval(secs => %s) WHERE subject = %s
    RETURNING failures, blocked_until"""
_FORGET = "DELETE FROM aiw.login_attempt WHERE failed_at < %s - make_interval(secs => %s)"
_CLEAR = "DELETE FROM aiw.login_attempt WHERE subject = %s"

_SIGNING = "kid, public, sealed, created_at, expires_at"
_SIGNING_KEYS = f"""SELECT {_SIGNING} FROM aiw.signing_key WHERE expires_at IS NULL OR expires_at > %s
    ORDER BY created_at DESC, kid"""
_SIGNING_LOCK = "SELECT pg_advisory_xact_lock(7301402650)"
_RETIRE = (
    "UPDATE aiw.signing_key SET expires_at = %(at)s WHERE expires_at IS NULL OR (%(drop)s AND expires_at > %(at)s)"
)
_ADD_SIGNING = f"INSERT INTO aiw.signing_key ({_SIGNING}) VALUES (%s, %s, %s, %s, %s)"
_ALL_SIGNING = "SELECT kid, sealed FROM aiw.signing_key FOR UPDATE"
_REWRAP_SIGNING = "UPDATE aiw.signing_key SET sealed = %s WHERE kid = %s"

_PROVIDER = "tenant, provider, sealed, hint, updated_at, base_url"
_SAVE_PROVIDER = f"""INSERT INTO aiw.provider_key ({_PROVIDER}) VALUES (%s, %s, %s, %s, %s, %s)
    ON CONFLICT (tenant, provider) DO UPDATE
    SET sealed = excluded.sealed, hint = excluded.hint, updated_at = excluded.updated_at, base_url = excluded.base_url"""
_PROVIDER_KEYS = f"SELECT {_PROVIDER} FROM aiw.provider_key WHERE tenant = %s ORDER BY provider"
_ONE_PROVIDER = f"SELECT {_PROVIDER} FROM aiw.provider_key WHERE tenant = %s AND provider = %s"
_REMOVE_PROVIDER = "DELETE FROM aiw.provider_key WHERE tenant = %s AND provider = %s"
_ALL_PROVIDER = "SELECT tenant, provider, sealed FROM aiw.provider_key FOR UPDATE"
_REWRAP_PROVIDER = "UPDATE aiw.provider_key SET sealed = %s WHERE tenant = %s AND provider = %s"
_ALL_MCP = "SELECT tenant, name, sealed FROM aiw.mcp_server WHERE sealed IS NOT NULL FOR UPDATE"
_REWRAP_MCP = "UPDATE aiw.mcp_server SET sealed = %s WHERE tenant = %s AND name = %s"
_ALL_LOGINS = "SELECT tenant, server, sealed FROM aiw.mcp_login FOR UPDATE"
_REWRAP_LOGIN = "UPDATE aiw.mcp_login SET sealed = %s WHERE tenant = %s AND server = %s"


@contextmanager
def _as_tenant(database: Database, tenant: str) -> Iterator[Connection]:
    with database.transaction() as connection:
        connection.execute(_AS_TENANT, (tenant,))
        yield connection


@contextmanager
def _as_system(database: Database) -> Iterator[Connection]:
    with database.transaction() as connection:
        connection.execute(_AS_SYSTEM)
        yield connection


class PostgresAccounts:
    """Safe to share between threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create_tenant(self, tenant: Tenant) -> Tenant:
        limits = Jsonb(tenant.limits.as_json())
        row = (tenant.id, tenant.name, tenant.created_at, tenant.status, limits, tenant.own_schema, tenant.erased_at)
        try:
            with _as_tenant(self._database, tenant.id) as connection:
                connection.execute(_ADD_TENANT, row)
        except errors.UniqueViolation as error:
            raise ConflictError(f"There is a tenant {tenant.id!r} already.", code="tenant_exists") from error
        return tenant

    def tenant(self, tenant: str, *, lock: bool = False) -> Tenant:
        with _as_tenant(self._database, tenant) as connection:
            row = connection.execute(_LOCK_TENANT if lock else _ONE_TENANT, (tenant,)).fetchone()
        if row is None:
            raise _no_tenant(tenant)
        return _tenant(row)

    def tenants(self) -> Sequence[Tenant]:
        with _as_system(self._database) as connection:
            return [_tenant(row) for row in connection.execute(_ALL_TENANTS)]

    def save_tenant(self, tenant: Tenant) -> Tenant:
        with _as_tenant(self._database, tenant.id) as connection:
            values = (tenant.name, tenant.status, Jsonb(tenant.limits.as_json()), tenant.id)
            if not connection.execute(_SAVE_TENANT, values).rowcount:
                raise _no_tenant(tenant.id)
            connection.execute(_NOTIFY, (f"tenant:{tenant.id}",))
        return tenant

    def erase_tenant(self, tenant: str, *, now: datetime) -> Tenant:
        with self._database.transaction() as connection:
            connection.execute(_ERASE_TENANT, (tenant, now))
            connection.execute(_NOTIFY, (f"tenant:{tenant}",))
        return self.tenant(tenant)

    def create_user(self, user: User) -> User:
        row = (
            user.tenant,
            user.id,
            user.username,
            user.role,
            user.created_at,
            user.email,
            user.status,
            user.password_hash,
            user.oidc_subject,
            user.last_login_at,
        )
        try:
            with _as_tenant(self._database, user.tenant) as connection:
                connection.execute(_ADD_USER, row)
        except errors.UniqueViolation as error:
            raise _taken(user) from error
        except errors.ForeignKeyViolation as error:
            raise _no_tenant(user.tenant) from error
        return user

    def user(self, user_id: UUID, *, tenant: str, lock: bool = False) -> User:
        with _as_tenant(self._database, tenant) as connection:
            row = connection.execute(_LOCK_USER if lock else _ONE_USER, (tenant, user_id)).fetchone()
        if row is None:
            raise _no_user(user_id)
        return _user(row)

    def find_user(
        self, *, tenant: str, username: str | None = None, email: str | None = None, oidc_subject: str | None = None
    ) -> User | None:
        wanted = {"tenant": tenant, "username": username, "email": email, "oidc_subject": oidc_subject}
        with _as_tenant(self._database, tenant) as connection:
            row = connection.execute(_FIND_USER, wanted).fetchone()
        return None if row is None else _user(row)

    def users(self, *, tenant: str) -> Sequence[User]:
        with _as_tenant(self._database, tenant) as connection:
            return [_user(row) for row in connection.execute(_ALL_USERS, (tenant,))]

    def save_user(self, user: User) -> User:
        values = (user.role, user.email, user.status, user.password_hash, user.oidc_subject, user.last_login_at)
        try:
            with _as_tenant(self._database, user.tenant) as connection:
                row = connection.execute(_SAVE_USER, (*values, user.tenant, user.id)).fetchone()
                if row is None:
                    raise _no_user(user.id)
                if row[0]:
                    connection.execute(_NOTIFY, (f"user:{user.id}",))
        except errors.UniqueViolation as error:
            raise _taken(user) from error
        return user


class PostgresCredentials:
    """Safe to share between threads. `key_use_precision` is how many seconds `last_used_at` may be behind."""

    def __init__(self, database: Database, *, key_use_precision: float = 60.0) -> None:
        self._database = database
        self._precision = key_use_precision

    def open_session(self, session: Session, *, refresh_hash: bytes | None) -> None:
        with _as_tenant(self._database, session.tenant) as connection:
            connection.execute(_SWEEP, (session.tenant, session.created_at))
            row = (
                session.tenant,
                session.id,
                session.user_id,
                session.subject,
                session.role,
                session.created_at,
                session.expires_at,
                session.revoked_at,
                session.revoked_reason,
            )
            connection.execute(_OPEN, row)
            if refresh_hash is not None:
                connection.execute(_ADD_REFRESH, (refresh_hash, session.tenant, session.id))

    def rotate(self, used: bytes, fresh: bytes, *, now: datetime) -> tuple[Session, bool] | None:
        with _as_system(self._database) as connection:
            row = connection.execute(_SESSION_OF, (used,)).fetchone()
            session = None if row is None else _session(row)
            if session is None or session.revoked_at is not None or session.expires_at <= now:
                return None
            if connection.execute(_USE_REFRESH, (now, used)).fetchone() is not None:
                connection.execute(_ADD_REFRESH, (fresh, session.tenant, session.id))
                return session, True
            self._revoke(
                connection, tenant=session.tenant, reason="refresh_reused", now=now, session=session.id, user=None
            )
            return session, False

    def session_of(self, refresh_hash: bytes) -> Session | None:
        with _as_system(self._database) as connection:
            row = connection.execute(_SESSION_OF, (refresh_hash,)).fetchone()
        return None if row is None else _session(row)

    def revoke_sessions(
        self, *, tenant: str, reason: str, now: datetime, session_id: UUID | None = None, user_id: UUID | None = None
    ) -> int:
        with _as_tenant(self._database, tenant) as connection:
            return self._revoke(connection, tenant=tenant, reason=reason, now=now, session=session_id, user=user_id)

    def session_standing(self, session_id: UUID, *, tenant: str, now: datetime) -> Standing | None:
        with _as_tenant(self._database, tenant) as connection:
            row = connection.execute(_STANDING, (tenant, session_id)).fetchone()
        if row is None:
            return None
        role, username, revoked_at, expires_at, user_status, tenant_status, limits = row
        reason = "session_ended" if revoked_at is not None or expires_at <= now else None
        return standing(role, username, user_status, tenant_status, limits, reason=reason)

    def create_key(self, key: ApiKey, *, secret_hash: bytes) -> None:
        row = (
            key.tenant,
            key.id,
            key.user_id,
            key.name,
            sorted(key.scopes),
            key.created_at,
            key.expires_at,
            key.revoked_at,
            key.last_used_at,
            secret_hash,
        )
        with _as_tenant(self._database, key.tenant) as connection:
            connection.execute(_ADD_KEY, row)

    def keys(self, *, tenant: str, user_id: UUID | None = None) -> Sequence[ApiKey]:
        with _as_tenant(self._database, tenant) as connection:
            return [_key(row) for row in connection.execute(_KEYS, {"tenant": tenant, "user": user_id})]

    def key(self, key_id: str, *, tenant: str, lock: bool = False) -> ApiKey:
        with _as_tenant(self._database, tenant) as connection:
            row = connection.execute(f"{_ONE_KEY} FOR UPDATE" if lock else _ONE_KEY, (tenant, key_id)).fetchone()
        if row is None:
            raise unknown_key(key_id)
        return _key(row)

    def revoke_key(self, key_id: str, *, tenant: str, now: datetime) -> ApiKey:
        with _as_tenant(self._database, tenant) as connection:
            row = connection.execute(_REVOKE_KEY, (now, tenant, key_id)).fetchone()
            if row is None:
                raise unknown_key(key_id)
            connection.execute(_NOTIFY, (f"key:{key_id}",))
        return _key(row)

    def find_key(self, key_id: str, *, secret_hash: bytes, now: datetime) -> tuple[ApiKey, Standing] | None:
        with _as_system(self._database) as connection:
            row = connection.execute(_FIND_KEY, (key_id, secret_hash)).fetchone()
            if row is None:
                return None
            key = _key(row[:9])
            last = key.last_used_at
            if last is None or (now - last).total_seconds() > self._precision:
                connection.execute(_TOUCH_KEY, (now, key_id))
        over = key.revoked_at is not None or (key.expires_at is not None and key.expires_at <= now)
        return replace(key, last_used_at=last), standing(*row[9:], reason="key_ended" if over else None)

    def attempts(self, subjects: Sequence[str]) -> dict[str, Attempts]:
        with _as_system(self._database) as connection:
            return {
                subject: Attempts(failures, until)
                for subject, failures, until in connection.execute(_ATTEMPTS, (list(subjects),))
            }

    def count_failure(
        self, subject: str, *, now: datetime, blocked: Callable[[int], float], forget_after: float
    ) -> Attempts:
        with _as_system(self._database) as connection:
            connection.execute(_FORGET, (now, forget_after))
            values = {"subject": subject, "now": now, "forget": forget_after}
            counted = connection.execute(_FAILURE, values).fetchone()
            assert counted is not None
            row = connection.execute(_BLOCK, (now, blocked(counted[0]), subject)).fetchone()
        assert row is not None
        return Attempts(*row)

    def clear_failures(self, subject: str) -> None:
        with _as_system(self._database) as connection:
            connection.execute(_CLEAR, (subject,))

    @staticmethod
    def _revoke(
        connection: Connection, *, tenant: str, reason: str, now: datetime, session: UUID | None, user: UUID | None
    ) -> int:
        values = {"tenant": tenant, "now": now, "reason": reason, "session": session, "user": user}
        ended = connection.execute(_REVOKE, values).fetchall()
        for (session_id,) in ended:
            connection.execute(_NOTIFY, (f"session:{session_id}",))
        return len(ended)


class PostgresSecrets:
    """Safe to share between threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def signing_keys(self, *, now: datetime) -> Sequence[SigningKey]:
        with _as_system(self._database) as connection:
            return [SigningKey(*row) for row in connection.execute(_SIGNING_KEYS, (now,))]

    def add_signing_key(self, key: SigningKey, *, retire_at: datetime, only_first: bool = False) -> bool:
        with _as_system(self._database) as connection:
            connection.execute(_SIGNING_LOCK)
            if only_first and connection.execute(_SIGNING_KEYS, (key.created_at,)).fetchone() is not None:
                return False
            drop = retire_at <= key.created_at
            connection.execute(_RETIRE, {"at": retire_at, "drop": drop})
            row = (key.kid, Jsonb(key.public), key.sealed, key.created_at, key.expires_at)
            connection.execute(_ADD_SIGNING, row)
            if drop:
                connection.execute(_NOTIFY, ("*",))
            return True

    def save_provider_key(self, key: ProviderKey) -> None:
        try:
            with _as_tenant(self._database, key.tenant) as connection:
                row = (key.tenant, key.provider, key.sealed, key.hint, key.updated_at, key.base_url)
                connection.execute(_SAVE_PROVIDER, row)
        except errors.ForeignKeyViolation as error:
            raise _no_tenant(key.tenant) from error

    def provider_keys(self, *, tenant: str) -> Sequence[ProviderKey]:
        with _as_tenant(self._database, tenant) as connection:
            return [ProviderKey(*row) for row in connection.execute(_PROVIDER_KEYS, (tenant,))]

    def provider_key(self, provider: str, *, tenant: str, lock: bool = False) -> ProviderKey | None:
        query = f"{_ONE_PROVIDER} FOR UPDATE" if lock else _ONE_PROVIDER
        with _as_tenant(self._database, tenant) as connection:
            row = connection.execute(query, (tenant, provider)).fetchone()
        return None if row is None else ProviderKey(*row)

    def remove_provider_key(self, provider: str, *, tenant: str) -> None:
        with _as_tenant(self._database, tenant) as connection:
            if not connection.execute(_REMOVE_PROVIDER, (tenant, provider)).rowcount:
                raise unknown_provider_key(provider)

    def rewrap(self, change: Callable[[bytes, str], bytes]) -> int:
        changed = 0
        with _as_system(self._database) as connection:
            for kid, sealed in connection.execute(_ALL_SIGNING).fetchall():
                if (fresh := change(sealed, context_of_signing_key(kid))) != sealed:
                    connection.execute(_REWRAP_SIGNING, (fresh, kid))
                    changed += 1
            for tenant, provider, sealed in connection.execute(_ALL_PROVIDER).fetchall():
                if (fresh := change(sealed, context_of_provider_key(tenant, provider))) != sealed:
                    connection.execute(_REWRAP_PROVIDER, (fresh, tenant, provider))
                    changed += 1
            for tenant, name, sealed in connection.execute(_ALL_MCP).fetchall():
                if (fresh := change(sealed, context_of_mcp_server(tenant, name))) != sealed:
                    connection.execute(_REWRAP_MCP, (fresh, tenant, name))
                    changed += 1
            for tenant, server, sealed in connection.execute(_ALL_LOGINS).fetchall():
                if (fresh := change(sealed, context_of_mcp_login(tenant, server))) != sealed:
                    connection.execute(_REWRAP_LOGIN, (fresh, tenant, server))
                    changed += 1
        return changed


def standing(
    role: str, username: str, user_status: str | None, tenant_status: str, limits: dict[str, Any], *, reason: str | None
) -> Standing:
    """What the statuses add up to; a service has no user and none of its own."""
    if reason is None and tenant_status != Status.ACTIVE:
        reason = "tenant_suspended"
    if reason is None and user_status not in {None, Status.ACTIVE}:
        reason = "user_suspended"
    return Standing(Role(role), username, reason is None, reason, Limits.of_json(limits))


def _tenant(row: tuple[Any, ...]) -> Tenant:
    tenant_id, name, created_at, status, limits, own_schema, erased_at = row
    return Tenant(tenant_id, name, created_at, Status(status), Limits.of_json(limits), own_schema, erased_at)


def _user(row: tuple[Any, ...]) -> User:
    tenant, user_id, username, role, created_at, email, status, password_hash, oidc_subject, last_login_at = row
    return User(
        tenant,
        user_id,
        username,
        Role(role),
        created_at,
        email=email,
        status=Status(status),
        password_hash=password_hash,
        oidc_subject=oidc_subject,
        last_login_at=last_login_at,
    )


def _session(row: tuple[Any, ...]) -> Session:
    return replace(Session(*row), role=Role(row[4]))


def _key(row: tuple[Any, ...]) -> ApiKey:
    return replace(ApiKey(*row), scopes=frozenset(row[4]))


def _no_tenant(tenant: str) -> NotFoundError:
    return NotFoundError(f"There is no tenant {tenant!r}.", code="tenant_not_found")


def _no_user(user_id: UUID) -> NotFoundError:
    return NotFoundError(f"There is no user {str(user_id)!r}.", code="user_not_found")


def _taken(user: User) -> ConflictError:
    return ConflictError(
        f"The name {user.username!r}, or the email with it, is taken in the tenant {user.tenant!r}.", code="user_exists"
    )
