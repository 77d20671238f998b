"""The HTTP client under the vendors' SDKs (both speak httpx2), and what its failures mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx2

from resources.ai.egress import GuardedTransport, check_url
from resources.ai.providers.faults import MALFORMED, TIMEOUT, TRUNCATED, UNAVAILABLE, UNREACHABLE
from resources.errors import InvalidInputError

if TYPE_CHECKING:
    from resources.ai.providers.faults import Fault
    from resources.ai.providers.options import ProviderOptions


def http_client(options: ProviderOptions) -> httpx2.AsyncClient:
    """A client with our timeouts, that follows no redirects, and that is guarded where the address is a tenant's.

    Raises InvalidInputError and NotPermittedError as `check_url`.
    """
    timeout = httpx2.Timeout(options.timeouts.idle, connect=options.timeouts.connect)
    if options.base_url is None or options.egress is None:
        return httpx2.AsyncClient(timeout=timeout, follow_redirects=False)
    check_url(options.base_url, options.egress)
    return httpx2.AsyncClient(
        timeout=timeout, follow_redirects=False, trust_env=False, transport=GuardedTransport(options.egress)
    )


def key_of(options: ProviderOptions, *, provider: str) -> str:
    """The API key. Raises InvalidInputError when there is none."""
    if options.api_key is None or not options.api_key.get_secret_value():
        raise InvalidInputError(f"The provider {provider!r} needs an api_key.", code="provider_key_missing")
    return options.api_key.get_secret_value()


def headers_of(options: ProviderOptions) -> dict[str, str]:
    """The options' own headers in clear."""
    return {name: value.get_secret_value() for name, value in options.headers.items()}


def fault_of_transport(error: BaseException, *, begun: bool) -> Fault:
    """What a failure of the network or of the bytes means. `begun`: a part of the answer had come."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, TimeoutError | httpx2.TimeoutException):
            return TIMEOUT
        if isinstance(seen, httpx2.ConnectError):
            return UNREACHABLE
        if isinstance(seen, ValueError):  # JSON or UTF-8 that is none
            return MALFORMED
        seen = seen.__cause__
    return TRUNCATED if begun else UNAVAILABLE
