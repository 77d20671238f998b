"""What every implementation of the stores of identity promises."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from resources.errors import ConflictError, NotFoundError
from resources.tenants.model import ApiKey, Limits, ProviderKey, Session, Standing, Status, Tenant, User
from resources.tenants.permissions import Role
from resources.tenants.store import context_of_provider_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from resources.tenants.store import AccountStore, CredentialStore, Notices, SecretStore

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@dataclass
class Stores:
    accounts: AccountStore
    credentials: CredentialStore
    secrets: SecretStore
    notices: Notices


def a_user(tenant: str, username: str = "ada", **fields: object) -> User:
    made = User(tenant, uuid.uuid4(), username, Role.MEMBER, NOW, email=f"{username}@example.org")
    return replace(made, **fields)  # type: ignore[arg-type]


def a_session(user: User, **fields: object) -> Session:
    made = Session(user.tenant, uuid.uuid4(), user.id, str(user.id), user.role, NOW, NOW + timedelta(days=1))
    return replace(made, **fields)  # type: ignore[arg-type]


def digest() -> bytes:
    return uuid.uuid4().bytes + uuid.uuid4().bytes


def blocked(failures: int) -> float:
    return 60.0 if failures >= 3 else 0.0


class IdentityContract:
    """Subclasses give `stores`; tests are tenants of their own."""

    @pytest.fixture
    def user(self, stores: Stores, tenant: str) -> User:
        stores.accounts.create_tenant(Tenant(tenant, "A tenant", NOW))
        return stores.accounts.create_user(a_user(tenant))

    def standing(self, stores: Stores, session: Session, now: datetime = NOW) -> Standing | None:
        return stores.credentials.session_standing(session.id, tenant=session.tenant, now=now)

    def test_a_tenant_is_kept_with_its_limits(self, stores: Stores, tenant: str) -> None:
        made = Tenant(tenant, "A", NOW, limits=Limits(runs_per_day=7, usd_per_month=Decimal("12.50")))
        stores.accounts.create_tenant(made)
        assert stores.accounts.tenant(tenant) == made
        assert made in stores.accounts.tenants()
        with pytest.raises(ConflictError, match=tenant):
            stores.accounts.create_tenant(made)
        changed = stores.accounts.save_tenant(replace(made, name="B", status=Status.SUSPENDED, limits=Limits()))
        assert stores.accounts.tenant(tenant) == changed

    def test_what_is_not_there_is_not_found(self, stores: Stores, tenant: str) -> None:
        with pytest.raises(NotFoundError):
            stores.accounts.tenant(tenant)
        with pytest.raises(NotFoundError):
            stores.accounts.save_tenant(Tenant(tenant, "A", NOW))
        with pytest.raises(NotFoundError):
            stores.accounts.create_user(a_user(tenant))

    def test_users_are_found_by_name_email_and_subject(self, stores: Stores, user: User) -> None:
        linked = stores.accounts.save_user(replace(user, oidc_subject="https://idp|1", role=Role.ADMIN))
        assert stores.accounts.user(user.id, tenant=user.tenant) == linked
        for wanted in ({"username": "ada"}, {"email": "ada@example.org"}, {"oidc_subject": "https://idp|1"}):
            assert stores.accounts.find_user(tenant=user.tenant, **wanted) == linked
        assert stores.accounts.find_user(tenant=user.tenant, username="bob") is None
        assert stores.accounts.find_user(tenant="another", username="ada") is None

    def test_names_emails_and_subjects_are_unique_within_a_tenant(self, stores: Stores, user: User) -> None:
        with pytest.raises(ConflictError):
            stores.accounts.create_user(a_user(user.tenant, email=None))
        with pytest.raises(ConflictError):
            stores.accounts.create_user(a_user(user.tenant, "bob", email=user.email))
        stores.accounts.create_user(a_user(user.tenant, "bob"))
        other = f"{user.tenant}-2"
        stores.accounts.create_tenant(Tenant(other, "B", NOW))
        stores.accounts.create_user(a_user(other))
        assert [one.username for one in stores.accounts.users(tenant=user.tenant)] == ["ada", "bob"]

    def test_a_user_of_another_tenant_is_not_found(self, stores: Stores, user: User) -> None:
        with pytest.raises(NotFoundError):
            stores.accounts.user(user.id, tenant="another")
        with pytest.raises(NotFoundError):
            stores.accounts.save_user(replace(user, tenant="another"))

    def test_a_refresh_token_is_used_once_and_a_second_use_ends_the_session(self, stores: Stores, user: User) -> None:
        session, first, second, third = a_session(user), digest(), digest(), digest()
        stores.credentials.open_session(session, refresh_hash=first)
        rotated = stores.credentials.rotate(first, second, now=NOW)
        assert rotated == (session, True)
        assert stores.credentials.rotate(first, third, now=NOW) == (session, False)
        assert stores.credentials.rotate(second, third, now=NOW) is None
        ended = stores.credentials.session_of(second)
        assert ended is not None
        assert ended.revoked_reason == "refresh_reused"
        standing = self.standing(stores, session)
        assert standing is not None
        assert (standing.active, standing.reason) == (False, "session_ended")

    def test_of_two_who_refresh_at_once_one_wins(self, stores: Stores, user: User) -> None:
        session, first = a_session(user), digest()
        stores.credentials.open_session(session, refresh_hash=first)
        with ThreadPoolExecutor(4) as threads:
            found = list(threads.map(lambda _: stores.credentials.rotate(first, digest(), now=NOW), range(4)))
        assert sum(one is not None and one[1] for one in found) == 1

    def test_unknown_and_expired_refresh_tokens_are_nothing(self, stores: Stores, user: User) -> None:
        session, token = a_session(user), digest()
        stores.credentials.open_session(session, refresh_hash=token)
        assert stores.credentials.rotate(digest(), digest(), now=NOW) is None
        assert stores.credentials.rotate(token, digest(), now=NOW + timedelta(days=2)) is None
        assert stores.credentials.session_of(digest()) is None

    def test_sessions_end_one_by_one_or_all_of_a_user(self, stores: Stores, user: User) -> None:
        sessions = [a_session(user) for _ in range(3)]
        for session in sessions:
            stores.credentials.open_session(session, refresh_hash=None)
        revoke = stores.credentials.revoke_sessions
        assert revoke(tenant="another", reason="logout", now=NOW, session_id=sessions[0].id) == 0
        assert revoke(tenant=user.tenant, reason="logout", now=NOW, session_id=sessions[0].id) == 1
        assert revoke(tenant=user.tenant, reason="logout", now=NOW, session_id=sessions[0].id) == 0
        assert revoke(tenant=user.tenant, reason="all", now=NOW, user_id=user.id) == 2

    def test_a_standing_tells_the_present_role_and_why_not(self, stores: Stores, user: User) -> None:
        session = a_session(user)
        stores.credentials.open_session(session, refresh_hash=None)
        assert self.standing(stores, session) == Standing(Role.MEMBER, "ada", True)
        assert self.standing(stores, replace(session, tenant="another")) is None
        stores.accounts.save_user(replace(user, role=Role.VIEWER))
        assert self.standing(stores, session) == Standing(Role.VIEWER, "ada", True)
        over = self.standing(stores, session, NOW + timedelta(days=2))
        assert over is not None
        assert over.reason == "session_ended"
        stores.accounts.save_user(replace(user, status=Status.SUSPENDED))
        suspended = self.standing(stores, session)
        assert suspended is not None
        assert suspended.reason == "user_suspended"
        stores.accounts.save_tenant(Tenant(user.tenant, "A", NOW, Status.SUSPENDED))
        suspended = self.standing(stores, session)
        assert suspended is not None
        assert suspended.reason == "tenant_suspended"

    def test_a_service_keeps_the_role_of_its_session(self, stores: Stores, user: User) -> None:
        session = a_session(user, user_id=None, subject="service:crawler", role=Role.SERVICE)
        stores.credentials.open_session(session, refresh_hash=None)
        assert self.standing(stores, session) == Standing(Role.SERVICE, "service:crawler", True)

    def a_key(self, stores: Stores, user: User, **fields: object) -> tuple[ApiKey, bytes]:
        key, secret = ApiKey(user.tenant, uuid.uuid4().hex[:12], user.id, "ci", frozenset({"read"}), NOW), digest()
        key = replace(key, **fields)  # type: ignore[arg-type]
        stores.credentials.create_key(key, secret_hash=secret)
        return key, secret

    def test_a_key_is_found_with_its_secret_and_notes_its_use(self, stores: Stores, user: User) -> None:
        key, secret = self.a_key(stores, user)
        found = stores.credentials.find_key(key.id, secret_hash=secret, now=NOW)
        assert found == (key, Standing(Role.MEMBER, "ada", True))
        assert stores.credentials.find_key(key.id, secret_hash=digest(), now=NOW) is None
        assert stores.credentials.find_key("nokey", secret_hash=secret, now=NOW) is None
        assert [one.last_used_at for one in stores.credentials.keys(tenant=user.tenant)] == [NOW]
        assert stores.credentials.keys(tenant="another") == []

    @pytest.mark.parametrize("how", ["revoked", "expired", "suspended"])
    def test_a_key_that_is_over_has_no_standing(self, stores: Stores, user: User, how: str) -> None:
        key, secret = self.a_key(stores, user, expires_at=NOW + timedelta(hours=1))
        if how == "revoked":
            assert stores.credentials.revoke_key(key.id, tenant=user.tenant, now=NOW).revoked_at == NOW
        if how == "suspended":
            stores.accounts.save_user(replace(user, status=Status.SUSPENDED))
        now = NOW + timedelta(hours=2) if how == "expired" else NOW
        found = stores.credentials.find_key(key.id, secret_hash=secret, now=now)
        assert found is not None
        assert not found[1].active

    def test_a_key_of_another_tenant_cannot_be_revoked(self, stores: Stores, user: User) -> None:
        key, _ = self.a_key(stores, user)
        with pytest.raises(NotFoundError):
            stores.credentials.revoke_key(key.id, tenant="another", now=NOW)

    def test_failures_add_up_block_and_are_forgotten(self, stores: Stores, tenant: str) -> None:
        subject = f"account:{tenant}"

        def fail(now: datetime) -> tuple[int, bool]:
            found = stores.credentials.count_failure(subject, now=now, blocked=blocked, forget_after=3600)
            return found.failures, found.blocked_until is not None and found.blocked_until > now

        assert [fail(NOW) for _ in range(3)] == [(1, False), (2, False), (3, True)]
        known = stores.credentials.attempts([subject, "account:nobody"])
        assert known[subject].blocked_until == NOW + timedelta(seconds=60)
        assert set(known) == {subject}
        assert fail(NOW + timedelta(hours=2)) == (1, False)
        stores.credentials.clear_failures(subject)
        assert stores.credentials.attempts([subject]) == {}

    def test_a_providers_key_belongs_to_one_tenant(self, stores: Stores, user: User) -> None:
        key = ProviderKey(user.tenant, "openai", b"sealed", "1234", NOW)
        stores.secrets.save_provider_key(key)
        stores.secrets.save_provider_key(replace(key, hint="5678"))
        assert stores.secrets.provider_keys(tenant=user.tenant) == [replace(key, hint="5678")]
        assert stores.secrets.provider_keys(tenant="another") == []
        with pytest.raises(NotFoundError):
            stores.secrets.remove_provider_key("openai", tenant="another")
        stores.secrets.remove_provider_key("openai", tenant=user.tenant)
        assert stores.secrets.provider_keys(tenant=user.tenant) == []

    def test_every_sealed_secret_can_be_changed_at_once(self, stores: Stores, user: User) -> None:
        stores.secrets.save_provider_key(ProviderKey(user.tenant, "openai", b"sealed", "1234", NOW))
        place = context_of_provider_key(user.tenant, "openai")
        changed = stores.secrets.rewrap(lambda sealed, context: b"anew" if context == place else sealed)
        assert changed == 1
        assert [key.sealed for key in stores.secrets.provider_keys(tenant=user.tenant)] == [b"anew"]

    def test_changes_of_rights_are_told(self, stores: Stores, user: User) -> None:
        session = a_session(user)
        stores.credentials.open_session(session, refresh_hash=None)
        key, _ = self.a_key(stores, user)
        heard: set[str] = set()
        cancel = self.listen(stores, heard)
        stores.accounts.save_user(replace(user, last_login_at=NOW))
        stores.accounts.save_user(replace(user, role=Role.ADMIN))
        stores.accounts.save_tenant(Tenant(user.tenant, "B", NOW))
        stores.credentials.revoke_sessions(tenant=user.tenant, reason="x", now=NOW, user_id=user.id)
        stores.credentials.revoke_key(key.id, tenant=user.tenant, now=NOW)
        wanted = {f"user:{user.id}", f"tenant:{user.tenant}", f"session:{session.id}", f"key:{key.id}"}
        self.await_news(heard, wanted)
        cancel()

    def listen(self, stores: Stores, heard: set[str]) -> Callable[[], None]:
        return stores.notices.watch(heard.add)

    def await_news(self, heard: set[str], wanted: set[str]) -> None:
        assert heard - {"*"} == wanted
