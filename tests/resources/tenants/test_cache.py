"""What a process remembers of credentials, and how it forgets; and what passwords cost those who guess them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from resources.errors import LimitExceededError, UnauthenticatedError
from resources.events.memory import MemoryEventStore
from resources.tenants.authentication import block_seconds
from resources.tenants.cache import VerifiedCredentials
from resources.tenants.identity import Identity, build_identity
from resources.tenants.memory import MemoryAccounts, MemoryCredentials, MemoryNotices, MemorySecrets
from resources.tenants.model import Status, TokenPair
from resources.tenants.passwords import Passwords
from resources.tenants.permissions import Role
from resources.tenants.schemas.memory import MemorySchemas
from resources.tenants.tokens import Tokens
from resources.tenants.vault import Vault, new_master_key

PASSWORD = "correct horse battery staple"


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def notices() -> MemoryNotices:
    return MemoryNotices()


@pytest.fixture
def identity(notices: MemoryNotices) -> Identity:
    accounts, secrets, vault = MemoryAccounts(notices), MemorySecrets(), Vault([new_master_key()])
    identity = build_identity(
        accounts=accounts,
        credentials=MemoryCredentials(accounts, notices),
        secret_store=secrets,
        notices=notices,
        events=MemoryEventStore(),
        tokens=Tokens(secrets, vault),
        vault=vault,
        home="home",
        schemas=MemorySchemas(),
        passwords=Passwords(fast=True),
    )
    identity.administration.create_tenant("t1", actor=None)
    identity.administration.create_user("root", tenant="t1", role=Role.ADMIN, actor=None)
    identity.administration.create_user("ada", tenant="t1", role=Role.MEMBER, password=PASSWORD, actor=None)
    return identity


@pytest.fixture
def pair(identity: Identity) -> TokenPair:
    return identity.authentication.login("ada", PASSWORD, tenant="t1")


def test_what_was_verified_is_known_for_a_while(identity: Identity, notices: MemoryNotices, pair: TokenPair) -> None:
    clock = Clock()
    verified = VerifiedCredentials(identity.authentication, notices, clock=clock)
    assert verified.known(pair.access_token) is None
    assert verified.authenticate(pair.access_token) == verified.known(pair.access_token)
    clock.now = 29.0
    assert verified.known(pair.access_token) is not None
    clock.now = 31.0
    assert verified.known(pair.access_token) is None


def test_no_setting_makes_it_longer_than_half_a_minute(
    identity: Identity, notices: MemoryNotices, pair: TokenPair
) -> None:
    clock = Clock()
    verified = VerifiedCredentials(identity.authentication, notices, seconds=3600, clock=clock)
    verified.authenticate(pair.access_token)
    clock.now = 30.1
    assert verified.known(pair.access_token) is None


@pytest.mark.parametrize("change", ["logout", "role", "suspended user", "suspended tenant", "lost connection"])
def test_a_change_of_rights_is_not_remembered_wrongly(
    identity: Identity, notices: MemoryNotices, pair: TokenPair, change: str
) -> None:
    verified, administration = identity.verified, identity.administration
    principal = verified.authenticate(pair.access_token)
    other = identity.authentication.open_session(administration.find_user("root", tenant="t1"), method="password")
    verified.authenticate(other.access_token)
    assert principal.user_id is not None
    match change:
        case "logout":
            identity.authentication.logout(principal)
        case "role":
            administration.change_user(principal.user_id, tenant="t1", role=Role.VIEWER, actor=None)
        case "suspended user":
            administration.change_user(principal.user_id, tenant="t1", status=Status.SUSPENDED, actor=None)
        case "suspended tenant":
            administration.change_tenant("t1", status=Status.SUSPENDED, actor=None)
        case _:
            notices.tell("*")
    assert verified.known(pair.access_token) is None
    only_ada = change in {"logout", "role", "suspended user"}
    assert (verified.known(other.access_token) is not None) is only_ada
    if change == "role":
        assert verified.authenticate(pair.access_token).role is Role.VIEWER
    elif change != "lost connection":
        with pytest.raises(UnauthenticatedError):
            verified.authenticate(pair.access_token)


def test_memory_is_bounded(identity: Identity, notices: MemoryNotices) -> None:
    verified = VerifiedCredentials(identity.authentication, notices, entries=10)
    user = identity.administration.find_user("ada", tenant="t1")
    for _ in range(30):
        verified.authenticate(identity.authentication.open_session(user, method="password").access_token)
        assert len(verified._known) <= 10


def test_passwords_that_are_guessed_block_longer_and_longer(identity: Identity) -> None:
    now, waits = datetime(2026, 11, 22, tzinfo=UTC), []
    for _ in range(9):
        try:
            identity.authentication.login("ada", "a wrong password", tenant="t1", now=now)
        except LimitExceededError as error:
            waits.append(error.retry_after or 0.0)
            now += timedelta(seconds=waits[-1])
        except UnauthenticatedError:
            pass
    assert waits == [1.0, 2.0]
    later = now + timedelta(minutes=16)
    assert identity.authentication.login("ada", PASSWORD, tenant="t1", now=later).principal.username == "ada"


def test_an_address_that_tries_many_accounts_is_blocked(identity: Identity) -> None:
    now = datetime(2026, 11, 22, tzinfo=UTC)
    for number in range(20):
        with pytest.raises(UnauthenticatedError):
            identity.authentication.login(f"user{number}", "password1234", tenant="t1", address="192.0.2.1", now=now)
    with pytest.raises(LimitExceededError):
        identity.authentication.login("ada", PASSWORD, tenant="t1", address="192.0.2.1", now=now)
    assert identity.authentication.login("ada", PASSWORD, tenant="t1", address="192.0.2.2", now=now)


def test_no_block_is_for_ever() -> None:
    assert [block_seconds(count, free=5) for count in (0, 4, 5, 6, 7)] == [0, 0, 1, 2, 4]
    assert block_seconds(10_000, free=5) == 900


def test_an_outdated_hash_is_made_anew_at_login(identity: Identity) -> None:
    strong = Passwords()
    user = identity.administration.find_user("ada", tenant="t1")
    assert user.password_hash is not None
    assert user.password_hash.startswith("$argon2id$")
    assert strong.outdated(user.password_hash)
    identity.authentication._passwords = strong
    identity.authentication.login("ada", PASSWORD, tenant="t1")
    renewed = identity.administration.find_user("ada", tenant="t1").password_hash
    assert renewed is not None
    assert not strong.outdated(renewed)


def test_a_password_of_nobody_is_as_wrong_as_any() -> None:
    passwords = Passwords(fast=True)
    assert not passwords.verify(None, "nobody's password")
    assert not passwords.verify("no hash at all", "x" * 20)
    assert not passwords.verify(passwords.hash(PASSWORD), "x" * 5000)
    assert passwords.verify(passwords.hash(PASSWORD), PASSWORD)
