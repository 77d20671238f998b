"""A tenant's own key pays for its calls, and nobody else's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from resources.ai.build import AiOptions, build_ai
from resources.ai.directory import KEYS_SECONDS, ProviderConfig, ProviderDirectory
from resources.ai.egress import EgressPolicy
from resources.ai.model import CallContext
from resources.ai.providers.options import ProviderOptions
from resources.errors import ConflictError, NotPermittedError
from resources.tenants.memory import MemorySecrets
from resources.tenants.model import ProviderKey
from resources.tenants.provider_keys import ProviderKeys
from resources.tenants.store import context_of_provider_key
from resources.tenants.vault import Vault, new_master_key
from tests.contracts.identity_stores import NOW
from tests.fixtures.vendors import OpenAIChat
from tests.resources.ai.calls.parts import request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from resources.ai.pipeline import AiCalls
    from resources.database.postgres import Database
    from tests.fixtures.wire import WireServer

LOOPBACK = EgressPolicy.model_validate({"allowed": ("127.0.0.0/8",)})


class Drawer:
    """Keys of tenants as they are stored: sealed."""

    def __init__(self) -> None:
        self.vault = Vault([new_master_key()])
        self.secrets = MemorySecrets()
        self.keys = ProviderKeys(self.secrets, self.vault)

    def put(self, tenant: str, provider: str, key: str, base_url: str | None = None) -> None:
        sealed = self.vault.seal(key.encode(), context=context_of_provider_key(tenant, provider))
        self.secrets.save_provider_key(ProviderKey(tenant, provider, sealed, key[-4:], NOW, base_url))


@pytest.fixture
def drawer() -> Drawer:
    return Drawer()


@pytest.fixture
async def calls(database: Database, wire: WireServer, drawer: Drawer) -> AsyncIterator[AiCalls]:
    options = ProviderOptions(
        base_url=f"{wire.url}/v1",
        api_key=SecretStr("sk-operator"),
        organisation="org-operator",
        headers={"x-operator": SecretStr("private")},
        egress=None,
    )
    configs = {"openai": ProviderConfig(kind="openai", options=options)}
    calls = build_ai(database, AiOptions(providers=configs, egress=LOOPBACK, attempts=1), own_keys=drawer.keys)
    yield calls
    await calls.close()


async def ask(calls: AiCalls, wire: WireServer, tenant: str, text: str = "hi", provider: str = "openai") -> str:
    wire.reply(OpenAIChat().text(f"answer to {tenant}"))
    asked = request(text, provider=provider, model="gpt-4o")
    return (await calls.complete(asked, CallContext(tenant=tenant))).answer.text


async def test_each_tenant_calls_with_its_own_key_and_the_others_with_the_operators(
    calls: AiCalls, wire: WireServer, drawer: Drawer, tenant: str
) -> None:
    drawer.put(f"{tenant}-a", "openai", "sk-of-tenant-a")
    drawer.put(f"{tenant}-b", "openai", "sk-of-tenant-b")
    drawer.put(f"{tenant}-a", "webhook-orders", "no key of a provider")
    tenants = [f"{tenant}-{name}" for name in "abc"]
    assert [await ask(calls, wire, each) for each in tenants] == [f"answer to {each}" for each in tenants]
    sent = [asked.headers["authorization"] for asked in wire.requests]
    assert sent == ["Bearer sk-of-tenant-a", "Bearer sk-of-tenant-b", "Bearer sk-operator"]
    operators = [("x-operator" in asked.headers, "openai-organization" in asked.headers) for asked in wire.requests]
    assert operators == [(False, False), (False, False), (True, True)]


async def test_what_another_key_has_paid_for_is_not_given_away(
    calls: AiCalls, wire: WireServer, drawer: Drawer, tenant: str
) -> None:
    drawer.put(f"{tenant}-a", "openai", "sk-of-tenant-a")
    for each in (f"{tenant}-a", f"{tenant}-b", f"{tenant}-a"):
        assert await ask(calls, wire, each, "the same") == f"answer to {each}"
    assert len(wire.requests) == 2  # the third is the first, once more


async def test_limits_of_one_key_do_not_hold_up_another(
    calls: AiCalls, wire: WireServer, drawer: Drawer, tenant: str
) -> None:
    drawer.put(f"{tenant}-a", "openai", "sk-of-tenant-a")
    await ask(calls, wire, f"{tenant}-a")
    accounts = {calls.providers.account("openai", f"{tenant}-{name}") for name in "ab"}
    assert accounts == {f"openai@{tenant}-a", "openai"}


async def test_a_tenants_address_must_not_lead_inside(
    calls: AiCalls, wire: WireServer, drawer: Drawer, tenant: str
) -> None:
    drawer.put(tenant, "openai", "sk-of-tenant", "http://169.254.169.254/v1")
    with pytest.raises(NotPermittedError, match="not a public address"):
        await ask(calls, wire, tenant)
    assert wire.requests == []


async def test_a_provider_of_the_tenants_alone_is_reached_at_its_address(
    calls: AiCalls, wire: WireServer, drawer: Drawer, tenant: str
) -> None:
    drawer.put(tenant, "compatible", "sk-of-gateway", f"{wire.url}/gateway")
    assert await ask(calls, wire, tenant, provider="compatible") == f"answer to {tenant}"
    (asked,) = wire.requests
    assert (asked.path, asked.headers["authorization"]) == ("/gateway/chat/completions", "Bearer sk-of-gateway")


async def test_a_key_that_cannot_be_opened_is_not_replaced_by_the_operators(
    calls: AiCalls, wire: WireServer, drawer: Drawer, tenant: str
) -> None:
    drawer.put(tenant, "openai", "sk-of-tenant")
    sealed = drawer.secrets.provider_keys(tenant=tenant)[0].sealed
    drawer.secrets.save_provider_key(ProviderKey(tenant, "openai", sealed[:-1] + b"?", "nant", NOW))
    with pytest.raises(ConflictError):
        await ask(calls, wire, tenant)
    assert wire.requests == []


def test_keys_are_read_again_after_a_minute_and_never_shown() -> None:
    now, read = [0.0], []

    def own(tenant: str) -> dict[str, tuple[SecretStr, str | None]]:
        read.append(tenant)
        return {"openai": (SecretStr("sk-secret-key"), None)}

    directory = ProviderDirectory(own_keys=own, monotonic=lambda: now[0])
    for at in (0.0, KEYS_SECONDS, KEYS_SECONDS + 1):
        now[0] = at
        if directory.needs_reading("a"):
            directory.read("a")
    assert read == ["a", "a"]
    assert "sk-secret-key" not in repr(vars(directory))
