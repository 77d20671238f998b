from __future__ import annotations

import asyncio
import socket
from ipaddress import IPv4Network, ip_address
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from pydantic import SecretStr

from resources.ai.egress import EgressPolicy, GuardedTransport, check_url
from resources.ai.model import ChatRequest, Message
from resources.ai.providers import build_provider
from resources.ai.providers.options import ProviderOptions
from resources.errors import InvalidInputError, NotPermittedError
from tests.fixtures.vendors import OpenAIChat
from tests.fixtures.wire import Reply

if TYPE_CHECKING:
    from tests.fixtures.wire import WireServer

LOOPBACK = EgressPolicy(allowed=(IPv4Network("127.0.0.0/8"),))
QUESTION = ChatRequest(provider="vllm", model="llama", messages=(Message(role="user", text="Hello?"),))


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "fe80::1",
        "fd00::1",
        "ff02::1",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
    ],
)
def test_addresses_that_are_not_public_are_refused(address: str) -> None:
    assert not EgressPolicy().permits(ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_public_addresses_are_permitted(address: str) -> None:
    assert EgressPolicy().permits(ip_address(address))


def test_the_operator_can_allow_a_network() -> None:
    assert LOOPBACK.permits(ip_address("127.0.0.1"))
    assert not LOOPBACK.permits(ip_address("10.0.0.1"))


@pytest.mark.parametrize(
    "url", ["ftp://example.com", "file:///etc/passwd", "http://", "http://user:secret@example.com"]
)
def test_an_address_that_is_none_is_invalid(url: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        check_url(url, EgressPolicy())
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("kind", ["openai", "azure", "anthropic", "gemini", "ollama", "vllm"])
def test_a_tenant_cannot_point_a_provider_at_the_metadata_service(kind: str) -> None:
    options = ProviderOptions(base_url="http://169.254.169.254/latest", api_key=SecretStr("sk-test"))
    with pytest.raises(NotPermittedError) as caught:
        build_provider(kind, options)
    assert caught.value.code == "egress_refused"


@pytest.mark.parametrize("host", ["localhost", "2130706433", "0x7f000001", "127.1"])
async def test_a_name_that_leads_inside_is_refused_before_anything_is_sent(wire: WireServer, host: str) -> None:
    port = wire.url.rpartition(":")[2]
    provider = build_provider("vllm", ProviderOptions(base_url=f"http://{host}:{port}/v1"))
    with pytest.raises(NotPermittedError) as caught:
        _ = [event async for event in provider.stream(QUESTION)]
    assert caught.value.code == "egress_refused"
    assert wire.requests == []
    await provider.close()


async def test_an_allowed_name_is_reached_under_its_own_name(wire: WireServer) -> None:
    port = wire.url.rpartition(":")[2]
    wire.reply(OpenAIChat().text("ok"))
    provider = build_provider(
        "vllm",
        ProviderOptions(
            base_url=f"http://localhost:{port}/v1",
            egress=EgressPolicy(allowed=(IPv4Network("127.0.0.0/8"), *_loopback6())),
        ),
    )
    assert [event async for event in provider.stream(QUESTION)]
    assert wire.requests[0].headers["host"] == f"localhost:{port}"
    await provider.close()


async def test_the_connection_goes_to_the_address_that_was_checked(
    wire: WireServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name server that answers differently the second time (DNS rebinding) is not asked a second time."""
    answers = ["127.0.0.1", "10.255.255.1"]

    async def resolve(_loop: Any, host: str, port: int, **_more: Any) -> list[Any]:
        del host
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (answers.pop(0), port))]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", resolve)
    wire.reply(Reply(chunks=(b"{}",)))
    port = wire.url.rpartition(":")[2]
    async with httpx2.AsyncClient(transport=GuardedTransport(LOOPBACK)) as client:
        response = await client.post(f"http://rebinding.test:{port}/", json={})
    assert response.status_code == 200
    assert answers == ["10.255.255.1"]


async def test_a_redirect_is_not_followed(wire: WireServer) -> None:
    wire.reply(Reply(307, {"location": "http://169.254.169.254/latest/meta-data/"}))
    provider = build_provider("vllm", ProviderOptions(base_url=f"{wire.url}/v1", egress=LOOPBACK))
    with pytest.raises(Exception, match="'vllm' failed"):
        _ = [event async for event in provider.stream(QUESTION)]
    assert len(wire.requests) == 1
    await provider.close()


async def test_a_proxy_of_the_environment_is_not_used(wire: WireServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    wire.reply(OpenAIChat().text("ok"))
    provider = build_provider("vllm", ProviderOptions(base_url=f"{wire.url}/v1", egress=LOOPBACK))
    assert [event async for event in provider.stream(QUESTION)]
    await provider.close()


def _loopback6() -> tuple[Any, ...]:
    from ipaddress import IPv6Network

    return (IPv6Network("::1/128"),)
