"""The client's end of MCP over streamable HTTP: connections to permitted addresses only, and answers of bounded size."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx2
from mcp.client.streamable_http import streamable_http_client

from resources.ai.egress import GuardedTransport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from resources.ai.egress import EgressPolicy


class AnswerTooLargeError(httpx2.StreamError):
    """Told to who asked, as any answer that cannot be read."""


@asynccontextmanager
async def http_client(
    url: str,
    *,
    headers: Mapping[str, str],
    policy: EgressPolicy | None,
    limit: int,
    connect_timeout: float,
    auth: httpx2.Auth | None = None,
) -> AsyncIterator[tuple[Any, Any]]:
    """A transport to `url`. `policy` None = the address is the operator's own, and may be anywhere.

    Redirects to elsewhere are not followed, and the environment's proxies are not used. `auth` logs in; what it asks goes to
    permitted addresses too. How long an answer may take is the caller's business.
    """
    inner: httpx2.AsyncBaseTransport = (
        httpx2.AsyncHTTPTransport(trust_env=False) if policy is None else GuardedTransport(policy)
    )
    timeout = httpx2.Timeout(None, connect=connect_timeout)
    async with (
        httpx2.AsyncClient(
            transport=_Bounded(inner, limit), headers=dict(headers), timeout=timeout, trust_env=False, auth=auth
        ) as client,
        streamable_http_client(url, http_client=client, max_sse_event_size=limit) as streams,
    ):
        yield streams


class _Bounded(httpx2.AsyncBaseTransport):
    """Ends an answer that grows beyond the limit. Streams of events are bounded event by event, by who reads them."""

    def __init__(self, inner: httpx2.AsyncBaseTransport, limit: int) -> None:
        self._inner = inner
        self._limit = limit

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await self._inner.handle_async_request(request)
        if not response.headers.get("content-type", "").startswith("text/event-stream"):
            assert isinstance(response.stream, httpx2.AsyncByteStream)
            response.stream = _BoundedStream(response.stream, self._limit)
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


class _BoundedStream(httpx2.AsyncByteStream):
    def __init__(self, inner: httpx2.AsyncByteStream, limit: int) -> None:
        self._inner = inner
        self._limit = limit

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._inner:
            size += len(chunk)
            if size > self._limit:
                raise AnswerTooLargeError(f"The answer has more than {self._limit:,} bytes.")
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()
