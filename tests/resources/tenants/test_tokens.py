from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from resources.errors import InvalidInputError, UnauthenticatedError
from resources.tenants.memory import MemorySecrets
from resources.tenants.tokens import Tokens
from resources.tenants.vault import Vault, new_master_key

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
CLAIMS = {"sub": "ada", "sid": "s1", "tenant": "t1"}
SECRET = "a shared secret that nobody can guess 0123456789"


@pytest.fixture
def secrets() -> MemorySecrets:
    return MemorySecrets()


@pytest.fixture
def vault() -> Vault:
    return Vault([new_master_key()])


def test_processes_share_the_key_that_the_first_one_makes(secrets: MemorySecrets, vault: Vault) -> None:
    first, second = Tokens(secrets, vault), Tokens(secrets, vault)
    token = first.sign(CLAIMS, now=NOW, seconds=60)
    assert second.verify(token, now=NOW)["sub"] == "ada"
    assert second.verify(second.sign(CLAIMS, now=NOW, seconds=60), now=NOW)["tenant"] == "t1"
    assert len(first.jwks(now=NOW)["keys"]) == 1


def test_every_token_has_an_id_of_its_own(secrets: MemorySecrets, vault: Vault) -> None:
    tokens = Tokens(secrets, vault)
    ids = {tokens.verify(tokens.sign(CLAIMS, now=NOW, seconds=60), now=NOW)["jti"] for _ in range(3)}
    assert len(ids) == 3


def test_a_rotated_key_verifies_until_its_last_token_has_expired(secrets: MemorySecrets, vault: Vault) -> None:
    tokens, other = Tokens(secrets, vault), Tokens(secrets, vault)
    old = tokens.sign(CLAIMS, now=NOW, seconds=60)
    assert other.verify(old, now=NOW)
    tokens.rotate(now=NOW + timedelta(seconds=10))
    later = NOW + timedelta(seconds=20)
    fresh = tokens.sign(CLAIMS, now=later, seconds=60)
    assert tokens.verify(old, now=later)
    assert other.verify(fresh, now=later)  # another process looks for a key that it does not know
    assert len(tokens.jwks(now=NOW + timedelta(hours=11))["keys"]) == 2  # a cookie's token is good for as long
    assert len(tokens.jwks(now=NOW + timedelta(hours=13))["keys"]) == 1


def test_a_dropped_key_verifies_nothing_any_more(secrets: MemorySecrets, vault: Vault) -> None:
    tokens = Tokens(secrets, vault)
    older = tokens.sign(CLAIMS, now=NOW, seconds=60)
    tokens.rotate(now=NOW)
    old = tokens.sign(CLAIMS, now=NOW, seconds=60)
    key, _ = tokens.rotate(now=NOW + timedelta(seconds=1), drop_former=True)
    later = NOW + timedelta(seconds=2)
    assert [kept["kid"] for kept in tokens.jwks(now=later)["keys"]] == [key.kid]
    for token in (older, old):
        with pytest.raises(UnauthenticatedError):
            tokens.verify(token, now=later)


def test_a_shared_secret_signs_too(secrets: MemorySecrets, vault: Vault) -> None:
    tokens = Tokens(secrets, vault, algorithm="HS256", secret=SECRET)
    token = tokens.sign(CLAIMS, now=NOW, seconds=60)
    assert tokens.verify(token, now=NOW)["sub"] == "ada"
    assert tokens.jwks(now=NOW) == {"keys": []}
    with pytest.raises(UnauthenticatedError):
        Tokens(secrets, vault, algorithm="HS256", secret=SECRET + "!").verify(token, now=NOW)
    with pytest.raises(UnauthenticatedError):
        Tokens(secrets, vault).verify(token, now=NOW)


@pytest.mark.parametrize("secret", [None, "", "short", "x" * 31, "x" * 64])
def test_a_weak_secret_is_refused(secrets: MemorySecrets, vault: Vault, secret: str | None) -> None:
    with pytest.raises(InvalidInputError, match="at least 32"):
        Tokens(secrets, vault, algorithm="HS256", secret=secret)


def test_a_token_is_good_from_its_beginning_to_its_end(secrets: MemorySecrets, vault: Vault) -> None:
    tokens = Tokens(secrets, vault)
    token = tokens.sign(CLAIMS, now=NOW, seconds=60)
    for seconds, good in ((-60, False), (0, True), (59, True), (120, False)):
        now = NOW + timedelta(seconds=seconds)
        if good:
            assert tokens.verify(token, now=now)
        else:
            with pytest.raises(UnauthenticatedError):
                tokens.verify(token, now=now)
