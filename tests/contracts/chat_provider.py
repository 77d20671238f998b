"""What every chat provider promises. Subclass and give a `provider`; an adapter of a vendor subclasses `WireContract`.

`WireContract` plays the vendor's server on loopback and goes through all that can go wrong between it and the adapter.
"""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Literal

import pytest
from pydantic import SecretStr

from resources.ai.model import (
    Answer,
    ChatRequest,
    Image,
    Message,
    OutputSchema,
    ReasoningDelta,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolSpec,
    Usage,
)
from resources.ai.provider import (
    ProviderRefusedError,
    ProviderUnavailableError,
    RateLimitedError,
    RateLimits,
    StreamTruncatedError,
)
from resources.ai.providers.options import ProviderOptions, Timeouts
from resources.ai.structured import AnswerInvalidError, read_answer
from tests.fixtures.vendors import (
    CACHE_READ,
    CACHE_WRITE,
    INPUT,
    OUTPUT,
    PIXEL,
    REASONING,
    Dialect,
)
from tests.fixtures.wire import WireServer, refused_address

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from resources.ai.model import StreamEvent
    from resources.ai.provider import ChatProvider
    from resources.errors import PlatformError

KEY = "sk-very-secret-0123456789"
WEATHER = ToolSpec(
    name="get_weather",
    description="Tell the weather of a city",
    parameters={"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)
MOOD = OutputSchema(
    name="mood",
    json_schema={
        "type": "object",
        "properties": {"mood": {"enum": ["good", "bad"]}, "why": {"type": "string", "minLength": 1}},
        "required": ["mood"],
    },
)


async def events_of(provider: ChatProvider, request: ChatRequest) -> list[StreamEvent]:
    return [event async for event in provider.stream(request)]


async def answer_of(provider: ChatProvider, request: ChatRequest) -> Answer:
    last = (await events_of(provider, request))[-1]
    assert isinstance(last, Answer)
    return last


class ChatProviderContract:
    """Holds for providers with and without a vendor behind them."""

    model: str

    @pytest.fixture
    def provider(self) -> ChatProvider:
        raise NotImplementedError

    @pytest.fixture
    def answering(self, provider: ChatProvider) -> ChatProvider:
        """The provider, ready for one question that it answers in text."""
        return provider

    def question(
        self, text: str = "What did the meeting decide? The meeting decided to ship.", **more: Any
    ) -> ChatRequest:
        return ChatRequest(provider="p", model=self.model, messages=(Message(role="user", text=text),), **more)

    async def test_a_stream_ends_with_its_only_answer(self, answering: ChatProvider) -> None:
        events = await events_of(answering, self.question())
        assert [isinstance(event, Answer) for event in events] == [False] * (len(events) - 1) + [True]
        assert len(events) > 1

    async def test_the_deltas_make_up_the_text(self, answering: ChatProvider) -> None:
        events = await events_of(answering, self.question())
        answer = events[-1]
        assert isinstance(answer, Answer)
        assert answer.text
        assert "".join(event.text for event in events if isinstance(event, TextDelta)) == answer.text

    async def test_an_answer_names_its_provider(self, answering: ChatProvider) -> None:
        assert (await answer_of(answering, self.question())).provider == answering.name

    async def test_a_stream_can_be_left_early(self, answering: ChatProvider) -> None:
        stream: Any = answering.stream(self.question())
        async with aclosing(stream):
            assert isinstance(await anext(stream), TextDelta)


class WireContract(ChatProviderContract):
    """Holds for adapters of vendors. Give `dialect` and `build`."""

    dialect: Dialect

    def build(self, options: ProviderOptions, limits: list[RateLimits]) -> ChatProvider:
        raise NotImplementedError

    def options(self, address: str, **more: Any) -> ProviderOptions:
        return ProviderOptions(base_url=address, api_key=SecretStr(KEY), egress=None, **more)

    @property
    def model(self) -> str:  # type: ignore[override]  # follows the dialect
        return self.dialect.model

    @pytest.fixture
    def limits(self) -> list[RateLimits]:
        return []

    @pytest.fixture
    async def provider(self, wire: WireServer, limits: list[RateLimits]) -> AsyncIterator[ChatProvider]:
        provider = self.build(self.options(wire.url), limits)
        yield provider
        await provider.close()

    @pytest.fixture
    async def impatient(self, wire: WireServer, limits: list[RateLimits]) -> AsyncIterator[ChatProvider]:
        provider = self.build(self.options(wire.url, timeouts=Timeouts(idle=0.3)), limits)
        yield provider
        await provider.close()

    @pytest.fixture
    def answering(self, provider: ChatProvider, wire: WireServer) -> ChatProvider:
        wire.reply(self.dialect.text("The meeting ", "decided to ship."))
        return provider

    # What is asked

    async def test_the_system_and_the_question_are_sent(self, provider: ChatProvider, wire: WireServer) -> None:
        wire.reply(self.dialect.text("ok"))
        messages = (Message(role="system", text="Be brief."), Message(role="user", text="Hello there?"))
        await events_of(provider, self.question().model_copy(update={"messages": messages}))
        assert self.dialect.system(wire.requests[0].body) == "Be brief."
        assert "Hello there?" in str(
            wire.requests[0].body["messages" if "messages" in wire.requests[0].body else "input"]
        )

    async def test_images_are_sent(self, provider: ChatProvider, wire: WireServer) -> None:
        wire.reply(self.dialect.text("a pixel"))
        picture = Message(role="user", text="What is it?", images=(Image(media_type="image/png", data=PIXEL),))
        await events_of(provider, self.question().model_copy(update={"messages": (picture,)}))
        assert self.dialect.images(wire.requests[0].body) == [("image/png", PIXEL)]

    async def test_a_schema_is_sent(self, provider: ChatProvider, wire: WireServer) -> None:
        wire.reply(self.dialect.structured("mood", '{"mood": "good"}'))
        await events_of(provider, self.question(output=MOOD))
        assert set(self.dialect.schema(wire.requests[0].body)["properties"]) == {"mood", "why"}

    async def test_limits_of_the_answer_are_sent(self, provider: ChatProvider, wire: WireServer) -> None:
        wire.reply(self.dialect.text("ok"))
        await events_of(provider, self.question(max_output_tokens=77, temperature=0.25))
        sent = wire.requests[0].body
        sent = sent.get("inferenceConfig", sent)
        assert 77 in sent.values()
        assert sent["temperature"] == 0.25

    # What is answered

    async def test_an_answer_tells_finish_and_length(self, provider: ChatProvider, wire: WireServer) -> None:
        wire.reply(self.dialect.text("whole"), self.dialect.text("half", finish="length"))
        assert (await answer_of(provider, self.question())).finish == "stop"
        assert (await answer_of(provider, self.question())).finish == "length"

    async def test_a_stream_tells_what_was_used_with_the_cache(self, provider: ChatProvider, wire: WireServer) -> None:
        wire.reply(self.dialect.text("ok"))
        assert (await answer_of(provider, self.question())).usage == Usage(
            input=INPUT,
            output=OUTPUT,
            cache_read=CACHE_READ,
            cache_write=CACHE_WRITE,
            reasoning=REASONING if self.dialect.counts_reasoning else 0,
        )

    async def test_a_tool_call_is_put_together(self, provider: ChatProvider, wire: WireServer) -> None:
        wire.reply(self.dialect.tool("get_weather", '{"ci', 'ty": "Pa', 'ris"}'))
        events = await events_of(provider, self.question(tools=(WEATHER,)))
        answer = events[-1]
        assert isinstance(answer, Answer)
        assert answer.finish == "tool"
        assert [(call.name, call.arguments) for call in answer.calls] == [("get_weather", {"city": "Paris"})]
        deltas = [event for event in events if isinstance(event, ToolCallDelta)]
        assert (deltas[0].id, deltas[0].name, deltas[0].index) == (answer.calls[0].id, "get_weather", 0)
        assert "".join(delta.arguments for delta in deltas) == answer.calls[0].raw

    async def test_a_call_without_arguments_has_an_empty_object(self, provider: ChatProvider, wire: WireServer) -> None:
        wire.reply(self.dialect.tool("get_weather"))
        assert (await answer_of(provider, self.question(tools=(WEATHER,)))).calls[0].arguments == {}

    @pytest.mark.parametrize("written", ['{"city": "Pa', "[1, 2]"])
    async def test_arguments_that_are_no_object_are_none(
        self, provider: ChatProvider, wire: WireServer, written: str
    ) -> None:
        wire.reply(self.dialect.tool("get_weather", written))
        call = (await answer_of(provider, self.question(tools=(WEATHER,)))).calls[0]
        assert (call.arguments, call.raw) == (None, written)

    async def test_a_tool_round_trip(self, provider: ChatProvider, wire: WireServer) -> None:
        wire.reply(self.dialect.tool("get_weather", '{"city": "Paris"}'), self.dialect.text("Sunny."))
        first = self.question("Weather in Paris?", tools=(WEATHER,))
        call = (await answer_of(provider, first)).calls[0]
        messages = (
            *first.messages,
            Message(role="assistant", calls=(call,)),
            Message(role="tool", text="21 degrees", call_id=call.id),
        )
        answer = await answer_of(provider, first.model_copy(update={"messages": messages}))
        body = wire.requests[1].body
        assert self.dialect.tool_results(body) == [(call.id, "21 degrees")]
        assert self.dialect.tool_arguments(body) == [{"city": "Paris"}]
        assert (answer.text, answer.finish) == ("Sunny.", "stop")

    async def test_a_malformed_call_can_be_told_back(self, provider: ChatProvider, wire: WireServer) -> None:
        wire.reply(self.dialect.text("Sorry."))
        call = ToolCall(id="c1", name="get_weather", arguments=None, raw='{"c')
        messages = (
            Message(role="user", text="Weather?"),
            Message(role="assistant", calls=(call,)),
            Message(role="tool", text="The arguments are not JSON.", call_id="c1"),
        )
        request = self.question(tools=(WEATHER,)).model_copy(update={"messages": messages})
        assert (await answer_of(provider, request)).text == "Sorry."
        assert self.dialect.tool_arguments(wire.requests[0].body) == [{"malformed": '{"c'}]

    async def test_a_structured_answer_is_its_text(self, provider: ChatProvider, wire: WireServer) -> None:
        wire.reply(self.dialect.structured("mood", '{"mood": "good",', ' "why": "sun"}'))
        answer = await answer_of(provider, self.question(output=MOOD))
        assert read_answer(answer.text, MOOD) == {"mood": "good", "why": "sun"}
        assert (answer.finish, answer.calls) == ("stop", ())

    async def test_an_answer_against_the_schema_is_seen(self, provider: ChatProvider, wire: WireServer) -> None:
        wire.reply(self.dialect.structured("mood", '{"mood": "so so"}'))
        answer = await answer_of(provider, self.question(output=MOOD))
        with pytest.raises(AnswerInvalidError) as caught:
            read_answer(answer.text, MOOD)
        assert [problem.path for problem in caught.value.problems] == ["$.mood"]

    async def test_thoughts_are_no_part_of_the_answer(self, provider: ChatProvider, wire: WireServer) -> None:
        wire.reply(self.dialect.reasoning("Let me see.", "Yes."))
        events = await events_of(provider, self.question(reasoning_effort="low"))
        assert [event.text for event in events if isinstance(event, ReasoningDelta)] == ["Let me see."]
        assert isinstance(events[-1], Answer)
        assert events[-1].text == "Yes."

    async def test_a_refusal_is_a_finish(self, provider: ChatProvider, wire: WireServer) -> None:
        wire.reply(self.dialect.refusal())
        assert (await answer_of(provider, self.question())).finish == "refusal"

    async def test_a_content_filter_is_a_finish(self, provider: ChatProvider, wire: WireServer) -> None:
        wire.reply(self.dialect.filtered())
        assert (await answer_of(provider, self.question())).finish in {"filter", "refusal"}

    # What goes wrong

    async def test_too_fast_tells_how_long_to_wait(self, provider: ChatProvider, wire: WireServer) -> None:
        wire.reply(self.dialect.error("rate", retry_after="7"))
        error = await self._fails(provider, RateLimitedError, "provider_rate_limited")
        assert isinstance(error, RateLimitedError)
        assert (error.retry_after, error.retryable) == (7.0, True)

    async def test_too_fast_may_not_say_how_long(self, provider: ChatProvider, wire: WireServer) -> None:
        wire.reply(self.dialect.error("rate"))
        error = await self._fails(provider, RateLimitedError, "provider_rate_limited")
        assert isinstance(error, RateLimitedError)
        assert (error.retry_after, error.retryable) == (None, True)

    async def test_a_used_up_quota_does_not_pass(self, provider: ChatProvider, wire: WireServer) -> None:
        wire.reply(self.dialect.error("quota"))
        error = await self._fails(provider, RateLimitedError, "provider_quota_exhausted")
        assert not error.retryable

    async def test_a_server_error_may_pass(self, provider: ChatProvider, wire: WireServer) -> None:
        wire.reply(self.dialect.error("server"))
        assert (await self._fails(provider, ProviderUnavailableError, "provider_unavailable")).retryable

    async def test_overload_may_pass(self, provider: ChatProvider, wire: WireServer) -> None:
        wire.reply(self.dialect.error("overloaded", retry_after="3"))
        error = await self._fails(provider, ProviderUnavailableError, None)
        assert (error.retryable, error.details["retry_after"]) == (True, 3.0)

    async def test_nothing_is_retried_here(self, provider: ChatProvider, wire: WireServer) -> None:
        wire.reply(self.dialect.error("server"), self.dialect.text("ok"))
        await self._fails(provider, ProviderUnavailableError, None)
        assert len(wire.requests) == 1

    async def test_too_long_a_context_is_refused(self, provider: ChatProvider, wire: WireServer) -> None:
        wire.reply(self.dialect.error("context"))
        assert not (await self._fails(provider, ProviderRefusedError, "context_overflow")).retryable

    async def test_a_wrong_key_is_refused(self, provider: ChatProvider, wire: WireServer) -> None:
        wire.reply(self.dialect.error("key"))
        await self._fails(provider, ProviderRefusedError, "provider_key_wrong")

    async def test_an_unknown_model_is_refused(self, provider: ChatProvider, wire: WireServer) -> None:
        wire.reply(self.dialect.error("model"))
        await self._fails(provider, ProviderRefusedError, "model_unknown")

    async def test_a_bad_request_is_refused(self, provider: ChatProvider, wire: WireServer) -> None:
        wire.reply(self.dialect.error("bad"))
        await self._fails(provider, ProviderRefusedError, "provider_refused")

    async def test_a_server_that_is_down_is_unreachable(self, limits: list[RateLimits]) -> None:
        provider = self.build(self.options(refused_address()), limits)
        await self._fails(provider, ProviderUnavailableError, "provider_unreachable")
        await provider.close()

    async def test_silence_before_the_answer_times_out(self, impatient: ChatProvider, wire: WireServer) -> None:
        wire.reply(self.dialect.text("a").cut(0, "stall"))
        assert (await self._fails(impatient, ProviderUnavailableError, "provider_timeout")).retryable

    async def test_silence_in_the_answer_times_out(self, impatient: ChatProvider, wire: WireServer) -> None:
        wire.reply(self.dialect.text("a", "b", "c").cut(3, "stall"))
        await self._fails(impatient, ProviderUnavailableError, "provider_timeout")

    async def test_a_whole_answer_has_its_time(self, wire: WireServer, limits: list[RateLimits]) -> None:
        provider = self.build(self.options(wire.url, timeouts=Timeouts(idle=20, total=0.3)), limits)
        wire.reply(self.dialect.text("a", "b", "c").cut(3, "stall"))
        await self._fails(provider, ProviderUnavailableError, "provider_timeout")
        await provider.close()

    @pytest.mark.parametrize("after", [1, 3])
    @pytest.mark.parametrize("then", ["end", "disconnect"])
    async def test_half_an_answer_is_no_answer(
        self, provider: ChatProvider, wire: WireServer, after: int, then: Literal["end", "disconnect"]
    ) -> None:
        wire.reply(self.dialect.text("a", "b", "c").cut(after, then))
        error = await self._fails(provider, StreamTruncatedError, "stream_truncated")
        assert error.retryable

    async def test_a_malformed_chunk_ends_the_answer(self, provider: ChatProvider, wire: WireServer) -> None:
        wire.reply(self.dialect.malformed())
        await self._fails(provider, StreamTruncatedError, "stream_malformed")

    async def test_an_error_inside_of_the_stream_is_one(self, provider: ChatProvider, wire: WireServer) -> None:
        wire.reply(self.dialect.error_in_stream())
        with pytest.raises((ProviderUnavailableError, RateLimitedError)) as caught:
            await events_of(provider, self.question())
        assert caught.value.retryable

    async def test_a_page_instead_of_an_answer_is_no_answer(self, provider: ChatProvider, wire: WireServer) -> None:
        page = self.dialect.text("a")
        wire.reply(type(page)(200, {"content-type": "text/html"}, (b"<html>Sign in</html>",)))
        with pytest.raises((StreamTruncatedError, ProviderUnavailableError)):
            await events_of(provider, self.question())

    async def test_after_a_fault_the_next_call_is_answered(self, provider: ChatProvider, wire: WireServer) -> None:
        wire.reply(self.dialect.text("a", "b").cut(2, "disconnect"), self.dialect.text("whole"))
        with pytest.raises(StreamTruncatedError):
            await events_of(provider, self.question())
        assert (await answer_of(provider, self.question())).text == "whole"

    # What is told and what is not

    async def test_limits_in_the_headers_are_told(
        self, provider: ChatProvider, wire: WireServer, limits: list[RateLimits]
    ) -> None:
        headers = self.dialect.limits()
        reply = self.dialect.text("ok")
        wire.reply(type(reply)(200, reply.headers | headers, reply.chunks))
        await events_of(provider, self.question())
        told = [
            (one.model, one.requests_limit, one.requests_remaining, one.tokens_limit, one.tokens_remaining)
            for one in limits
        ]
        assert told == ([(self.model, 500, 499, 30000, 29000)] if headers else [])

    async def test_a_wait_is_told(self, provider: ChatProvider, wire: WireServer, limits: list[RateLimits]) -> None:
        wire.reply(self.dialect.error("rate", retry_after="7"))
        await self._fails(provider, RateLimitedError, None)
        assert [one.retry_after for one in limits] == [7.0]

    async def test_a_key_is_in_no_error(self, provider: ChatProvider, wire: WireServer) -> None:
        wire.reply(self.dialect.error("key", message=f"Incorrect API key provided: {KEY}"))
        error = await self._fails(provider, ProviderRefusedError, "provider_key_wrong")
        shown = f"{error} {error!r} {error.details} {error.__cause__}"
        assert KEY not in shown
        assert "***" in shown

    async def test_a_key_is_in_no_repr(self, provider: ChatProvider, wire: WireServer) -> None:
        assert KEY not in f"{provider!r} {self.options(wire.url)!r} {vars(provider).get('_options')!r}"

    async def _fails(self, provider: ChatProvider, kind: type[PlatformError], code: str | None) -> PlatformError:
        with pytest.raises(kind) as caught:
            await events_of(provider, self.question())
        assert code is None or caught.value.code == code
        return caught.value
