"""What the tests of calls are made of: a request, an answer, prices in round numbers, and calls on either store."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from resources.ai.directory import ProviderDirectory
from resources.ai.ledger.memory import MemoryCallBooks
from resources.ai.ledger.postgres import PostgresCallBooks
from resources.ai.memo.postgres import PostgresMemo
from resources.ai.model import Answer, CallContext, ChatRequest, Embeddings, Message, OutputSchema, TextDelta, Usage
from resources.ai.pipeline import AiCalls
from resources.ai.prices.book import PriceBook
from resources.ai.prices.memory import MemoryPrices
from resources.ai.prices.model import PriceOverride
from resources.ai.provider import ProviderRefusedError, ProviderUnavailableError, RateLimitedError
from resources.ai.retry import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from resources.ai.model import EmbedRequest, StreamEvent
    from resources.ai.provider import ChatProvider, EmbeddingProvider
    from resources.database.postgres import Database

CONTEXT = CallContext(tenant="t", run_id="r", asset="a", user="u")
PRICE = Decimal("0.000015")
NOTHING = Decimal(0)
BUSY = RateLimitedError("slow down", retry_after=0)
DOWN = ProviderUnavailableError("down", dependency="scripted")
TIMEOUT = ProviderUnavailableError("late", dependency="scripted", code="provider_timeout")
REFUSED = ProviderRefusedError("no")
SHAPE = OutputSchema(json_schema={"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]})

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
MILLION = 1_000_000


async def at_once(seconds: float) -> None:
    """Waits of the retry policy, without the waiting."""
    del seconds


def request(text: str = "hi", **fields: Any) -> ChatRequest:
    fields = {"provider": "scripted", "model": "m", "max_output_tokens": 10} | fields
    return ChatRequest(messages=(Message(role="user", text=text),), **fields)


def answer(text: str = "hello world", **fields: Any) -> Answer:
    fields = {"finish": "stop", "usage": Usage(input=10, output=5), "provider": "scripted", "model": "m"} | fields
    return Answer(text=text, **fields)


def prices(*, tokens_per_dollar: int = MILLION) -> PriceBook:
    """The model m of the providers scripted and other costs a dollar per so many tokens, in and out; others are unknown."""
    store, price = MemoryPrices(), Decimal(MILLION) / tokens_per_dollar
    for provider in ("scripted", "other"):
        store.add(PriceOverride(provider, "m", LONG_AGO, price, price))
    return PriceBook(store)


def memory_calls(
    provider: ChatProvider | None = None,
    *,
    books: MemoryCallBooks | None = None,
    chat: Mapping[str, ChatProvider] | None = None,
    embeddings: Mapping[str, EmbeddingProvider] | None = None,
    **options: Any,
) -> AiCalls:
    books = books or MemoryCallBooks()
    given = dict(chat or {}) | ({provider.name: provider} if provider is not None else {})
    fixed: dict[str, Any] = {"prices": prices(), "retry": RetryPolicy(random=random.Random(0)), "sleep": at_once}
    directory = ProviderDirectory(chat=given, embeddings=embeddings)
    return AiCalls(providers=directory, books=books, memo=books.memo, **(fixed | options))


def postgres_calls(database: Database, provider: ChatProvider, **options: Any) -> AiCalls:
    fixed: dict[str, Any] = {
        "prices": prices(),
        "retry": RetryPolicy(random=random.Random(0)),
        "sleep": at_once,
        "threads": 4,
    }
    return AiCalls(
        providers=ProviderDirectory(chat={provider.name: provider}),
        books=PostgresCallBooks(database),
        memo=PostgresMemo(database),
        **(fixed | options),
    )


class Broken:
    """Says something, and then fails or waits."""

    name = "scripted"

    def __init__(self, error: Exception | None = None, *, then: Answer | None = None) -> None:
        self.requests: list[ChatRequest] = []
        self.said = asyncio.Event()
        self._error = error
        self._then = then

    async def stream(self, request: ChatRequest) -> AsyncGenerator[StreamEvent]:
        self.requests.append(request)
        if self._then is not None and len(self.requests) > 1:
            yield TextDelta(text=self._then.text)
            yield self._then
            return
        yield TextDelta(text="half of ")
        self.said.set()
        if self._error is not None:
            raise self._error
        await asyncio.Event().wait()

    async def close(self) -> None:
        """Nothing is held."""


class Vectors:
    name = "scripted"

    def __init__(self, *errors: Exception) -> None:
        self.requests = 0
        self._errors = list(errors)

    async def embed(self, asked: EmbedRequest) -> Embeddings:
        self.requests += 1
        if self._errors:
            raise self._errors.pop()
        vectors = tuple((float(len(text)), 0.5) for text in asked.texts)
        return Embeddings(vectors=vectors, usage=Usage(input=7), provider="scripted", model="m")

    async def close(self) -> None:
        """Nothing is held."""
