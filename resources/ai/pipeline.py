"""Calls of models and tools as the platform makes them: redacted, reserved, paid once, retried, in turn, and in the books.

    span > redaction > memo and budget (one statement) > retry > rate limit > adapter > books (one statement)

Each attempt is opened in the books before anything is sent and settled whatever happens, so that the sum over calls is what was
paid, and a process that is killed loses the answer of at most one call. An answer is shown as whole only after it is recorded.
"""

from __future__ import annotations

import asyncio
import hashlib
import inspect
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import orjson

from resources.ai import bridge, estimate
from resources.ai.call import (
    Call,
    CallOptions,
    CallResult,
    CallStream,
    EmbedResult,
    Target,
    ToolResult,
    content_of,
    mended,
    mode_of,
    placed_for,
    problems_of,
)
from resources.ai.desk import Desk
from resources.ai.errand import Errand, on_errand
from resources.ai.limits.limiter import RateLimiter
from resources.ai.memo.cipher import MemoCipher
from resources.ai.memo.model import Recording
from resources.ai.model import Answer, ChatRequest, Embeddings, Restart, Usage
from resources.ai.provider import ProviderRefusedError, ProviderUnavailableError, RateLimitedError, StreamTruncatedError
from resources.ai.redaction import StreamRestorer
from resources.ai.retry import RetryPolicy
from resources.ai.structured import AnswerInvalidError
from resources.ai.turn import Asked, timed_out
from resources.ai.vendors import Vendors
from resources.errors import PlatformError, UpstreamError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping

    from resources.ai.directory import ProviderDirectory
    from resources.ai.ledger.model import CallOutcome, CallRecord
    from resources.ai.ledger.store import CallBooks
    from resources.ai.memo.model import MemoMode
    from resources.ai.memo.store import MemoStore
    from resources.ai.model import CallContext, EmbedRequest, StreamEvent
    from resources.ai.prices.book import PriceBook
    from resources.ai.turn import Turn

_ProviderError = (RateLimitedError, ProviderUnavailableError, ProviderRefusedError)
_OUTCOMES: Final[Mapping[str, CallOutcome]] = {
    "stop": "answered",
    "tool": "answered",
    "length": "cut",
    "refusal": "refused",
    "filter": "filtered",
}
_WHOLE: Final = frozenset({"stop", "tool"})


class AiCalls:
    """What workflows and agents call models and tools through. For one event loop; its stores work on threads."""

    def __init__(
        self,
        *,
        providers: ProviderDirectory,
        books: CallBooks,
        memo: MemoStore,
        prices: PriceBook,
        limiter: RateLimiter | None = None,
        retry: RetryPolicy | None = None,
        cipher: MemoCipher | None = None,
        defaults: CallOptions | None = None,
        max_output_tokens: int = 4096,
        lease: float = 15.0,
        threads: int = 8,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.books = books
        self.prices = prices
        self.providers = providers
        self.cipher = cipher or MemoCipher()
        self._retry = retry or RetryPolicy()
        self._defaults = defaults or CallOptions()
        self._max_output_tokens = max_output_tokens
        self._desk = Desk(books, memo, prices, self.cipher, lease=lease, threads=threads)
        self._sleep = sleep
        self._vendors = Vendors(providers, limiter or RateLimiter())

    def stream(self, request: ChatRequest, context: CallContext, options: CallOptions | None = None) -> CallStream:
        """Deltas as they come, then the answer. After `Restart` what was shown before is void."""
        call = Call(placed_for(context), options or self._defaults)
        return CallStream(self._chat(request, call), call)

    async def complete(
        self, request: ChatRequest, context: CallContext, options: CallOptions | None = None
    ) -> CallResult:
        """The whole answer.

        Raises BudgetExceededError before the call, MemoMissError in a replay, AnswerInvalidError when the answer is not of the
        asked shape after all repairs, and the port's errors when the provider and all fallbacks failed.
        """
        async with self.stream(request, context, options) as events:
            async for _ in events:
                pass
            assert events.result is not None
            return events.result

    async def embed(
        self, request: EmbedRequest, context: CallContext, options: CallOptions | None = None
    ) -> EmbedResult:
        """Vectors for the texts; in the books and paid once like an answer."""
        options = options or self._defaults
        deadline = asyncio.get_running_loop().time() + options.timeout
        canonical = orjson.dumps(request.model_dump(mode="json", exclude_defaults=True), option=orjson.OPT_SORT_KEYS)
        asked = Asked(
            kind="embed",
            provider=request.provider,
            model=request.model,
            canonical=canonical,
            fingerprint=hashlib.sha256(canonical).hexdigest(),
            context=placed_for(context),
            most=estimate.most(request),
            endpoint=await self._endpoint(request.provider, context.tenant),
        )

        async def attempt(asked: Asked) -> tuple[Recording, CallRecord]:
            turn = await self._start(asked, options.memo, options, deadline)
            if turn.recalled is not None:
                return await turn.recall()
            embeddings = await self._settled(turn, self._vendors.embed(turn, request, deadline))
            recording = Recording(canonical, (), embeddings)
            return recording, await turn.answered(recording, embeddings.usage, outcome="answered", keep=True)

        recording, record = await self._retried(attempt, asked, deadline)
        embeddings = recording.answer
        assert isinstance(embeddings, Embeddings)
        return EmbedResult(embeddings, record.call_id, record.memo, record.usage or Usage(), record.cost)

    async def call_tool(
        self,
        name: str,
        arguments: Mapping[str, Any],
        function: Callable[..., Any],
        context: CallContext,
        options: CallOptions | None = None,
        *,
        service: str = "tool",
        pure: bool = False,
    ) -> ToolResult:
        """Call a tool with the arguments by keyword; what is not text is written as JSON. A blocking function gets a thread.

        Only the results of a `pure` tool are recorded: the others have effects, and are called each time, also in a replay.
        Errors of the tool pass through, and are in the books.
        """
        options = options or self._defaults
        deadline = asyncio.get_running_loop().time() + options.timeout
        canonical = orjson.dumps(
            {"service": service, "name": name, "arguments": dict(arguments)}, option=orjson.OPT_SORT_KEYS, default=str
        )
        asked = Asked(
            kind="tool",
            provider=service,
            model=name,
            canonical=canonical,
            fingerprint=hashlib.sha256(canonical).hexdigest(),
            context=placed_for(context),
            most=Usage(),
            endpoint=service,
        )
        turn = await self._start(asked, options.memo if pure else "off", options, deadline)
        if turn.recalled is not None:
            recording, record = await turn.recall()
        else:
            with on_errand(Errand(self, asked.context, options)):
                text = await self._settled(turn, _called(turn, function, arguments, deadline))
            recording = Recording(canonical, (), text)
            record = await turn.answered(recording, None, outcome="answered", keep=pure)
        return ToolResult(str(recording.answer), record.call_id, record.memo)

    def complete_sync(
        self, request: ChatRequest, context: CallContext, options: CallOptions | None = None
    ) -> CallResult:
        """As `complete`, for code that is not asynchronous. Not on an event loop's thread."""
        return bridge.run(self.complete(request, placed_for(context), options))

    def embed_sync(
        self, request: EmbedRequest, context: CallContext, options: CallOptions | None = None
    ) -> EmbedResult:
        """As `embed`, for code that is not asynchronous."""
        return bridge.run(self.embed(request, placed_for(context), options))

    def stream_sync(
        self, request: ChatRequest, context: CallContext, options: CallOptions | None = None
    ) -> Iterator[StreamEvent]:
        """As `stream`, for code that is not asynchronous. Closing the iterator gives up the call."""
        events = self.stream(request, placed_for(context), options)

        async def following() -> StreamEvent | None:
            return await anext(events, None)

        try:
            while (event := bridge.run(following())) is not None:
                yield event
        finally:
            bridge.run(events.aclose())

    def settle_abandoned(self) -> int:
        """Settle the calls of processes that died; returns how many. Calls do this by the way, a quiet platform does not."""
        return self._desk.settle_abandoned()

    async def close(self) -> None:
        """Close the providers' clients and the threads of the stores."""
        await self.providers.close()
        self._desk.close()

    async def _chat(self, request: ChatRequest, call: Call) -> AsyncGenerator[StreamEvent]:
        """Redaction: placeholders go out, values come back."""
        call.deadline = asyncio.get_running_loop().time() + call.options.timeout
        if request.max_output_tokens is None:  # without a bound there is no worst case
            request = request.model_copy(update={"max_output_tokens": self._max_output_tokens})
        redactor = call.options.redactor or self._defaults.redactor
        if redactor is None:
            async with aclosing(self._repaired(request, call)) as events:
                async for event in events:
                    yield event
            return
        request, placeholders = redactor.redact(request)
        restorer = StreamRestorer(placeholders)
        async with aclosing(self._repaired(request, call)) as events:
            try:
                async for event in events:
                    for restored in restorer.feed(event):
                        yield restored
            except AnswerInvalidError as error:
                if error.answer is not None:
                    error.answer = placeholders.restore_answer(error.answer)
                raise

    async def _repaired(self, request: ChatRequest, call: Call) -> AsyncGenerator[StreamEvent]:
        """Have the model mend an answer that is not of the asked shape."""
        for left in range(call.options.repair, -1, -1):
            answer: Answer | None = None
            problems: AnswerInvalidError | None = None
            async with aclosing(self._from_any(request, call)) as events:
                async for event in events:
                    if isinstance(event, Answer):
                        answer, problems = event, problems_of(request, event)
                        break
                    yield event
            assert answer is not None
            if problems is None:
                yield answer
                return
            if not left or answer.finish == "length":
                raise problems
            yield Restart(reason=problems.code)
            request = mended(request, answer, problems)

    async def _from_any(self, request: ChatRequest, call: Call) -> AsyncGenerator[StreamEvent]:
        """The provider, or the next one when it fails."""
        targets = (Target(request.provider, request.model), *call.options.fallback)
        for number, target in enumerate(targets, start=1):
            place = {"provider": target.provider, "model": target.model}
            shown, failure = False, None
            attempts = self._attempts(request.model_copy(update=place), call)
            async with aclosing(attempts) as events:
                try:
                    async for event in events:
                        shown = True
                        yield event
                    return
                except _ProviderError as error:
                    failure = error
            if number == len(targets) or asyncio.get_running_loop().time() >= call.deadline:
                raise failure
            if shown:
                yield Restart(reason=failure.code)

    async def _attempts(self, request: ChatRequest, call: Call) -> AsyncGenerator[StreamEvent]:
        """The same again when it may pass, each time reserved anew."""
        attempt, pause = 1, self._retry.base
        while True:
            shown = False
            async with aclosing(self._once(request, call, attempt)) as events:
                try:
                    async for event in events:
                        shown = True
                        yield event
                    return
                except _ProviderError as error:
                    failure = error
            pause = self._pause(failure, attempt, pause, call.deadline)
            if shown:
                yield Restart(reason=failure.code)
            await self._sleep(pause)
            attempt += 1

    async def _once(
        self,
        request: ChatRequest,
        call: Call,
        attempt: int,
    ) -> AsyncGenerator[StreamEvent]:
        """One attempt: a recorded answer, or the provider's."""
        canonical = request.canonical()
        asked = Asked(
            kind="chat",
            provider=request.provider,
            model=request.model,
            canonical=canonical,
            fingerprint=hashlib.sha256(canonical).hexdigest(),
            context=call.context,
            most=estimate.most(request),
            endpoint=await self._endpoint(request.provider, call.context.tenant),
            prompt_version=request.prompt_version,
            attempt=attempt,
        )
        turn = await self._start(asked, mode_of(request, call.options), call.options, call.deadline)
        if turn.recalled is not None:
            recording, record = await turn.recall()
            call.records.append(record)
            for delta in recording.deltas:
                yield delta
            assert isinstance(recording.answer, Answer)
            yield recording.answer
            return
        deltas: list[StreamEvent] = []
        answer: Answer | None = None
        try:
            async with aclosing(self._vendors.stream(turn, request, call.deadline)) as events:
                async for event in events:
                    if isinstance(event, Answer):
                        answer = event
                        break
                    deltas.append(event)
                    yield event
            answer = _finished(answer, asked)
        except PlatformError as error:
            call.records.append(await turn.failed(error))
            raise
        except BaseException as error:
            # cancelled, closed by who listened, or broken in a way that no adapter should be
            given_up = isinstance(error, asyncio.CancelledError | GeneratorExit)
            record = await (turn.cancelled() if given_up else turn.failed(UpstreamError(type(error).__name__)))
            call.records.append(record)
            raise
        recording = Recording(canonical, tuple(deltas), answer)
        whole = answer.finish in _WHOLE and problems_of(request, answer) is None
        captured = content_of(request, answer) if call.options.capture_content else None
        outcome = _OUTCOMES[answer.finish]
        record = await turn.answered(recording, answer.usage, outcome=outcome, keep=whole, captured=captured)
        call.records.append(record)
        yield answer

    async def _endpoint(self, provider: str, tenant: str) -> str:
        """Where the tenant's requests go; its own keys are known from here on."""
        if self.providers.needs_reading(tenant):
            await self._desk.in_thread(lambda: self.providers.read(tenant))
        return self.providers.endpoint(provider, tenant)

    async def _start(self, asked: Asked, mode: MemoMode, options: CallOptions, deadline: float) -> Turn:
        return await self._desk.start(
            asked, mode=mode, ttl=options.memo_ttl, refuse_unpriced=options.refuse_unpriced, deadline=deadline
        )

    async def _settled(self, turn: Turn, work: Awaitable[Any]) -> Any:
        """The work's result; its failure is in the books."""
        try:
            return await work
        except PlatformError as error:
            await turn.failed(error)
            raise
        except asyncio.CancelledError:
            await turn.cancelled()
            raise
        except Exception as error:
            await turn.failed(UpstreamError(type(error).__name__, code=f"raised_{type(error).__name__}"))
            raise

    async def _retried(
        self, attempt: Callable[[Asked], Awaitable[tuple[Recording, CallRecord]]], asked: Asked, deadline: float
    ) -> tuple[Recording, CallRecord]:
        number, pause = 1, self._retry.base
        while True:
            try:
                return await attempt(replace(asked, attempt=number))
            except _ProviderError as error:
                pause = self._pause(error, number, pause, deadline)
            await self._sleep(pause)
            number += 1

    def _pause(self, error: PlatformError, attempt: int, last: float, deadline: float) -> float:
        """How long to wait before the next attempt. Raises the error when there is none."""
        pause = self._retry.pause(error, attempt=attempt, last=last)
        if pause is None or asyncio.get_running_loop().time() + pause >= deadline:
            raise error
        return pause


def _finished(answer: Answer | None, asked: Asked) -> Answer:
    if answer is None:
        raise StreamTruncatedError(
            f"{asked.provider!r} ended its stream without an answer. What came so far is not one; call again.",
            dependency=asked.provider,
        )
    return answer


async def _called(turn: Turn, function: Callable[..., Any], arguments: Mapping[str, Any], deadline: float) -> str:
    turn.sent = True
    try:
        async with asyncio.timeout_at(deadline):
            value = (
                await function(**arguments)
                if inspect.iscoroutinefunction(function)
                else await asyncio.to_thread(function, **arguments)
            )
            if inspect.isawaitable(value):
                value = await value
    except TimeoutError as error:
        raise timed_out(turn.asked) from error
    return value if isinstance(value, str) else orjson.dumps(value, default=str).decode()
