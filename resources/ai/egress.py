"""Where a provider's address may lead: the guard against server-side request forgery.

A tenant may point a provider at an address of its own (vLLM, Ollama, a gateway). Without a guard that is a way into the
network that the platform runs in: the cloud's metadata service, a database's admin port. A name is therefore resolved here,
every address behind it is checked, and the connection goes to the very address that was checked: a name that changes its
mind between the check and the connection (DNS rebinding) changes nothing. Redirects are not followed and the proxies of the
environment are not used, because either would connect for us, unchecked.

Addresses inside of IPv6 (mapped, 6to4, Teredo, NAT64) count as the IPv4 addresses that they lead to.
"""

from __future__ import annotations

import asyncio
import socket
from functools import cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import httpx2
from pydantic import BaseModel, ConfigDict, Field

from resources.errors import InvalidInputError, NotPermittedError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

_NAT64: Final = IPv6Network("64:ff9b::/96")


class EgressPolicy(BaseModel):
    """Public addresses only, and the networks that the operator allows besides."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    allowed: tuple[IPv4Network | IPv6Network, ...] = Field(
        default=(), description="Networks that may be reached though they are not public, such as 127.0.0.0/8"
    )

    def permits(self, address: IPv4Address | IPv6Address) -> bool:
        if any(address in network for network in self.allowed):
            return True
        return all(one.is_global and not one.is_multicast for one in _meant(address))


def check_url(url: str, policy: EgressPolicy) -> None:
    """Refuse what can be refused without asking a name server.

    Raises InvalidInputError for what is not an http(s) address, NotPermittedError for an address that `policy` does not permit.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.password:
        raise InvalidInputError(
            "A provider's base_url must be http(s)://host[:port]/path, without a user and password.",
            code="base_url_invalid",
        )
    address = _literal(parts.hostname)
    if address is not None and not policy.permits(address):
        raise _refusal(parts.hostname, address)


async def checked_address(host: str, port: int, policy: EgressPolicy) -> str:
    """The address to connect to for `host`. Raises NotPermittedError when any address of the name is not permitted."""
    address = _literal(host)
    if address is not None:
        found = [address]
    else:
        infos = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        found = [ip_address(str(info[4][0]).partition("%")[0]) for info in infos]
    for one in found:
        if not policy.permits(one):
            raise _refusal(host, one)
    return str(found[0])


class GuardedTransport(httpx2.AsyncBaseTransport):
    """Connects to checked addresses only. TLS still verifies the certificate of the name."""

    def __init__(self, policy: EgressPolicy) -> None:
        self._policy = policy
        self._inner = httpx2.AsyncHTTPTransport(verify=_tls(), trust_env=False)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        url = request.url
        try:
            address = await checked_address(url.host, url.port or (443 if url.scheme == "https" else 80), self._policy)
        except socket.gaierror as error:
            raise httpx2.ConnectError(f"The name {url.host!r} cannot be resolved.", request=request) from error
        pinned = httpx2.Request(
            request.method,
            url.copy_with(host=address),
            headers=request.headers,  # holds the Host of the name
            stream=request.stream,
            extensions={**request.extensions, "sni_hostname": url.host},
        )
        return await self._inner.handle_async_request(pinned)

    async def aclose(self) -> None:
        await self._inner.aclose()


@cache
def _tls() -> ssl.SSLContext:
    """What connections of this process share: reading the authorities' certificates takes some 30 ms."""
    return httpx2.create_ssl_context(trust_env=False)


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _meant(address: IPv4Address | IPv6Address) -> Iterator[IPv4Address | IPv6Address]:
    """The address, or every address that it carries inside and that a router would send the packets on to."""
    if isinstance(address, IPv4Address):
        yield address
        return
    inside = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in _NAT64:
        inside.append(IPv4Address(int(address) & 0xFFFFFFFF))
    carried = [one for one in inside if one is not None]
    yield from carried
    if address.ipv4_mapped is None:
        yield address


def _refusal(host: str, address: IPv4Address | IPv6Address) -> NotPermittedError:
    return NotPermittedError(
        f"A provider's base_url must not lead to {host!r} ({address}): it is not a public address. "
        "The operator can allow its network.",
        code="egress_refused",
        host=host,
    )
