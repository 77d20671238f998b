"""The port of model providers: one adapter a vendor, in `providers/<vendor>.py`.

Adapters are asynchronous, hold one client for their lifetime, retry nothing and wait for nobody: retries, limits, budgets and
the memo are the pipeline's (`resources/ai/`), once for all vendors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from resources.errors import LimitExceededError, UnavailableError, UpstreamError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from resources.ai.model import ChatRequest, Embeddings, EmbedRequest, StreamEvent


class RateLimitedError(LimitExceededError):
    """The provider says: too fast, or its quota is used up. `retry_after` in seconds when it said so.

    Being too fast passes, also when the provider does not say when; a used up quota (`provider_quota_exhausted`) does not.
    """

    default_code = "provider_rate_limited"

    def __init__(
        self, message: str, *, retry_after: float | None = None, code: str | None = None, **details: Any
    ) -> None:
        super().__init__(message, retry_after=retry_after, code=code, **details)
        self.retryable = self.code == self.default_code


class ProviderUnavailableError(UnavailableError):
    """The provider cannot be reached, is overloaded, or did not answer in time."""

    default_code = "provider_unavailable"


class StreamTruncatedError(ProviderUnavailableError):
    """The answer stopped in the middle, without an end: it is never taken for a whole one."""

    default_code = "stream_truncated"


class ProviderRefusedError(UpstreamError):
    """The provider understood and said no: wrong key, unknown model, bad request, too long a context."""

    default_code = "provider_refused"


@dataclass(frozen=True, slots=True)
class RateLimits:
    """What a provider's response said about the limits of a key and model. Resets and `retry_after` are in seconds from now."""

    provider: str
    model: str
    requests_limit: int | None = None
    requests_remaining: int | None = None
    requests_reset: float | None = None
    tokens_limit: int | None = None
    tokens_remaining: int | None = None
    tokens_reset: float | None = None
    retry_after: float | None = None


OnLimits = Callable[[RateLimits], None]
"""Told by an adapter after each response that spoke of limits, also after refusals; it must return at once."""


class ChatProvider(Protocol):
    """Answers chat requests.

    `stream` yields deltas and, last, exactly one Answer. It raises RateLimitedError, ProviderUnavailableError,
    StreamTruncatedError or ProviderRefusedError, and never an error of the vendor's library. Closing the stream early gives up
    the call.
    """

    @property
    def name(self) -> str: ...

    def stream(self, request: ChatRequest) -> AsyncIterator[StreamEvent]: ...

    async def close(self) -> None: ...


class EmbeddingProvider(Protocol):
    """Turns texts into vectors; errors as those of ChatProvider."""

    @property
    def name(self) -> str: ...

    async def embed(self, request: EmbedRequest) -> Embeddings: ...

    async def close(self) -> None: ...
