"""Keys that sign, over HTTP: rotated, listed for others, dropped. On keys of the test's own, as dropping ends all tokens."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from api.app import create_app
from resources.tenants.identity import build_identity
from resources.tenants.memory import MemoryNotices, MemorySecrets
from resources.tenants.postgres import PostgresAccounts, PostgresCredentials
from resources.tenants.schemas.postgres import PostgresSchemas
from resources.tenants.tokens import Tokens
from resources.tenants.vault import Vault, new_master_key
from tests.api.auth.people import People, bearer
from tests.api.harness import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from api.dependencies import Services
    from resources.database.postgres import Database
    from resources.settings import Settings

V1 = "/api/v1"


@dataclass
class House:
    """Two processes with the same keys, as programs and other services see them."""

    one: httpx.Client
    other: httpx.Client
    people: People
    home: People

    def listed(self) -> Any:
        """The keys that others verify with."""
        return self.other.get("/.well-known/jwks.json").json()

    def rotate(self, **query: str) -> str:
        answer = self.one.post(f"{V1}/keys/signing/rotate", headers=self.home.headers("admin"), params=query)
        assert answer.is_success, answer.text
        return str(answer.json()["kid"])

    def accepts(self, token: str) -> list[int]:
        """What both processes say about a token."""
        asked = (client.get(f"{V1}/auth/whoami", headers=bearer(token)) for client in (self.one, self.other))
        return [answer.status_code for answer in asked]


@pytest.fixture
def house(services: Services, guarded_settings: Settings, database: Database, tenant: str) -> Iterator[House]:
    notices = MemoryNotices()
    secrets, vault = MemorySecrets(notices), Vault([new_master_key()])

    def process() -> Services:
        identity = build_identity(
            accounts=PostgresAccounts(database),
            credentials=PostgresCredentials(database),
            secret_store=secrets,
            notices=notices,
            events=services.events,
            tokens=Tokens(secrets, vault),
            vault=vault,
            home=f"{tenant}-home",
            schemas=PostgresSchemas(database),
            together=database.together,
        )
        return replace(services, identity=identity)

    first, second = process(), process()
    with (
        serving(create_app(first, guarded_settings)) as one,
        serving(create_app(second, guarded_settings)) as other,
        httpx.Client(base_url=one, trust_env=False, timeout=30) as to_one,
        httpx.Client(base_url=other, trust_env=False, timeout=30) as to_other,
    ):
        people, home = People(first.identity, tenant), People(first.identity, f"{tenant}-home")
        yield House(to_one, to_other, people, home)


def test_a_rotated_key_is_listed_and_the_former_verifies_until_it_is_dropped(house: House) -> None:
    old = house.people.pair("member")
    (before,) = house.listed()["keys"]
    kid = house.rotate()
    new = house.people.pair("member")
    assert house.accepts(old.access_token) == house.accepts(new.access_token) == [200, 200]
    listed = house.listed()
    assert {key["kid"] for key in listed["keys"]} == {kid, before["kid"]}
    assert not any("d" in key for key in listed["keys"])
    for pair in (old, new):  # whoever has the list can verify both
        assert jwt.decode(pair.access_token, KeySet.import_key_set(listed), algorithms=["Ed25519"])

    last = house.rotate(drop_former="true")
    listed = house.listed()
    assert [key["kid"] for key in listed["keys"]] == [last]
    for pair in (old, new):
        assert house.accepts(pair.access_token) == [401, 401]
        with pytest.raises((JoseError, ValueError)):
            jwt.decode(pair.access_token, KeySet.import_key_set(listed), algorithms=["Ed25519"])
    refreshed = house.other.post(f"{V1}/auth/refresh", json={"refresh_token": new.refresh_token}).json()
    assert house.accepts(refreshed["access_token"]) == [200, 200]
