"""HTTP calls that workflows make: to public addresses only, bounded in time and size, each host behind a circuit breaker.

The address is checked and pinned as for model providers (`resources/ai/egress.py`). Redirects are not followed. A call has one
deadline for everything (name, connection, answer to the last byte), and ends when the run is cancelled. Each call has a client of
its own: connections are not kept, so that none that was checked for one name is used for another.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import httpx2

from resources.ai import bridge
from resources.ai.egress import EgressPolicy, GuardedTransport
from resources.errors import (
    InvalidInputError,
    LimitExceededError,
    NotPermittedError,
    UnavailableError,
    UpstreamError,
)
from resources.resilience.breaker import Breakers
from resources.workflows.waiting import unless_cancelled

if TYPE_CHECKING:
    from collections.abc import Mapping
    from threading import Event

_ENCODINGS: Final = frozenset({"", "identity", "gzip", "deflate"})
"""What is unpacked: others can hold thousands of times their size in one piece."""

SERVER_FAILURES: Final = frozenset({500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class WebRequest:
    """What is sent. `timeout` is in seconds for the whole call; an answer with more than `max_bytes` is refused."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None
    timeout: float = 30.0
    max_bytes: int = 10 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class WebReply:
    """What came back, whatever its status. Names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes
    charset: str | None

    def text(self) -> str:
        """The body as text; what cannot be read becomes U+FFFD."""
        try:
            return self.content.decode(self.charset or "utf-8", errors="replace")
        except LookupError:
            return self.content.decode(errors="replace")


class WebClient:
    """Sends requests. Safe to share between threads; not for use within a running event loop."""

    def __init__(self, policy: EgressPolicy | None = None, *, breakers: Breakers | None = None) -> None:
        self._policy = policy or EgressPolicy()
        self._breakers = breakers or Breakers()

    def send(self, request: WebRequest, *, tenant: str, cancel: Event) -> WebReply:
        """The answer.

        Raises InvalidInputError (`url_invalid`), NotPermittedError (`egress_refused`), LimitExceededError (`response_too_large`),
        ConflictError (`node_cancelled`), and UnavailableError: `http_unreachable` when nothing was sent, `http_timeout` and
        `http_broken` when it may have been, `circuit_open` when the host is left alone.
        """
        host = _host_of(request.url)
        breaker = self._breakers.of(f"{tenant} {host}")
        reply: WebReply | None = None

        def work() -> None:
            nonlocal reply
            reply = bridge.run(unless_cancelled(self._fetch(request, host), cancel))
            if reply.status in SERVER_FAILURES:
                raise _ServerFailure

        with contextlib.suppress(_ServerFailure):
            breaker.call(work, failed=lambda error: isinstance(error, UnavailableError | _ServerFailure))
        assert reply is not None
        return reply

    async def _fetch(self, request: WebRequest, host: str) -> WebReply:
        try:
            async with (
                asyncio.timeout(request.timeout),
                httpx2.AsyncClient(
                    transport=GuardedTransport(self._policy), follow_redirects=False, timeout=None, trust_env=False
                ) as client,
                client.stream(
                    request.method,
                    request.url,
                    headers={"accept-encoding": "gzip, deflate", **request.headers},
                    content=request.content,
                ) as response,
            ):
                return WebReply(
                    status=response.status_code,
                    headers={name.lower(): value for name, value in response.headers.items()},
                    content=await _body(response, request.max_bytes, host),
                    charset=response.charset_encoding,
                )
        except TimeoutError as error:
            raise UnavailableError(
                f"{host!r} did not answer within {request.timeout:g} s.", dependency=host, code="http_timeout"
            ) from error
        except NotPermittedError as error:
            raise NotPermittedError(
                f"A workflow must not call {host!r}: it is not a public address. The operator can allow its network.",
                code="egress_refused",
                host=host,
            ) from error
        except httpx2.ConnectError as error:
            raise UnavailableError(
                f"{host!r} cannot be reached: {error}", dependency=host, code="http_unreachable"
            ) from error
        except httpx2.TransportError as error:
            raise UnavailableError(
                f"The connection to {host!r} broke: {type(error).__name__}.", dependency=host, code="http_broken"
            ) from error
        except (httpx2.InvalidURL, httpx2.DecodingError) as error:
            raise UpstreamError(f"The call of {host!r} failed: {error}", code="http_invalid") from error


class _ServerFailure(Exception):  # noqa: N818  # never leaves this module
    """The host answered that it failed: an answer for the caller, a failure for the breaker."""


def _host_of(url: str) -> str:
    try:
        parts = urlsplit(url)
        fine = parts.scheme in {"http", "https"} and parts.hostname and not (parts.username or parts.password)
        port = parts.port
    except ValueError:
        fine, port = False, None
    if not fine:
        raise InvalidInputError(
            "The URL must be http(s)://host[:port]/path, without a user and password.", code="url_invalid"
        )
    return f"{parts.hostname}:{port}" if port else str(parts.hostname)


async def _body(response: httpx2.Response, max_bytes: int, host: str) -> bytes:
    encoding = response.headers.get("content-encoding", "").strip().lower()
    if encoding not in _ENCODINGS:
        raise UpstreamError(f"{host!r} answers in the encoding {encoding!r}, unasked.", code="http_invalid")
    content = bytearray()
    async for piece in response.aiter_bytes():
        content += piece
        if len(content) > max_bytes:
            raise LimitExceededError(
                f"The answer of {host!r} has more than {max_bytes:,} bytes. Ask for less, or raise `max_bytes`.",
                code="response_too_large",
                max_bytes=max_bytes,
            )
    return bytes(content)
