"""The way to the vendors: an attempt waits for its slot, is sent, and is heard until its time is over.

Each account at a vendor is behind a circuit breaker. A vendor that does not answer is left alone for a minute, by all calls of
the process at once; who has another to fall back on goes there without waiting for the first.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, aclosing, contextmanager
from typing import TYPE_CHECKING, cast

from resources.ai import estimate
from resources.ai.model import Answer
from resources.ai.provider import ProviderUnavailableError, RateLimitedError
from resources.ai.turn import timed_out
from resources.errors import UnavailableError
from resources.resilience.breaker import CIRCUIT_OPEN, Breakers

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from resources.ai.directory import ProviderDirectory
    from resources.ai.limits.limiter import RateLimiter
    from resources.ai.model import ChatRequest, Embeddings, EmbedRequest, StreamEvent
    from resources.ai.provider import RateLimits
    from resources.ai.turn import Turn


class Vendors:
    """The adapters behind the limits of their vendors. For one event loop."""

    def __init__(self, providers: ProviderDirectory, limiter: RateLimiter, *, breakers: Breakers | None = None) -> None:
        self._providers = providers
        self._limiter = limiter
        self._breakers = breakers or Breakers()
        self._loop: asyncio.AbstractEventLoop | None = None
        providers.on_limits = self._on_limits

    async def stream(self, turn: Turn, request: ChatRequest, deadline: float) -> AsyncGenerator[StreamEvent]:
        """What the adapter says, once there is a slot, and in time."""
        self._loop = asyncio.get_running_loop()
        asked = turn.asked
        tenant = asked.context.tenant
        provider, account = (
            self._providers.chat(asked.provider, tenant),
            self._providers.account(asked.provider, tenant),
        )
        answer: Answer | None = None
        try:
            async with AsyncExitStack() as stack:
                async with asyncio.timeout_at(deadline):
                    slot = await stack.enter_async_context(
                        self._limiter.slot(
                            tenant=tenant, provider=account, model=asked.model, tokens=estimate.about(request)
                        )
                    )
                stack.enter_context(self._guard(account, asked.provider))
                turn.sent = True
                events = cast("AsyncGenerator[StreamEvent]", provider.stream(request))
                await stack.enter_async_context(aclosing(events))
                while answer is None:
                    async with asyncio.timeout_at(deadline):
                        event = await anext(events, None)
                    if event is None:
                        return
                    if isinstance(event, Answer):
                        slot.settle(event.usage.total if event.usage is not None else None)
                        answer = event
                    else:
                        turn.first_token()
                        yield event
        except TimeoutError as error:
            raise timed_out(asked) from error
        except RateLimitedError as error:
            self._limiter.refused(account, asked.model, error.retry_after)
            raise
        yield answer

    async def embed(self, turn: Turn, request: EmbedRequest, deadline: float) -> Embeddings:
        """The vectors, once there is a slot, and in time."""
        self._loop = asyncio.get_running_loop()
        asked, tenant = turn.asked, turn.asked.context.tenant
        provider = self._providers.embeddings(asked.provider, tenant)
        account = self._providers.account(asked.provider, tenant)
        place = {"tenant": tenant, "provider": account, "model": asked.model}
        try:
            async with (
                asyncio.timeout_at(deadline),
                self._limiter.slot(**place, tokens=estimate.about(request)) as slot,
            ):
                with self._guard(account, asked.provider):
                    turn.sent = True
                    embeddings = await provider.embed(request)
                slot.settle(embeddings.usage.total if embeddings.usage is not None else None)
                return embeddings
        except TimeoutError as error:
            raise timed_out(asked) from error
        except RateLimitedError as error:
            self._limiter.refused(account, asked.model, error.retry_after)
            raise

    @contextmanager
    def _guard(self, account: str, provider: str) -> Iterator[None]:
        """The account's breaker. Its refusal is one of the provider's: it is not tried again, and another may be."""
        try:
            with self._breakers.of(account).guard(_is_fault):
                yield
        except UnavailableError as error:
            if error.code != CIRCUIT_OPEN:
                raise
            raise ProviderUnavailableError(
                error.message, dependency=provider, code=CIRCUIT_OPEN, retryable=False
            ) from error

    def _on_limits(self, limits: RateLimits) -> None:
        """An adapter may tell from a thread of its own."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._limiter.learn, limits)


def _is_fault(error: Exception) -> bool:
    """Whether the vendor failed. That it said no is none, nor that a caller's own time was over."""
    return isinstance(error, ProviderUnavailableError)
