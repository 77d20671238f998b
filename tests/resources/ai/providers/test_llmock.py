"""The adapters against llmock, a server that nobody here wrote, and its verdict on the client.

A call is made as the platform makes it: what may pass is tried again, after the wait that was asked for; nothing else is.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal

import pytest
from llmock.scenarios import StreamFault
from pydantic import SecretStr

from resources.ai.model import Answer, ChatRequest, EmbedRequest, Message, TextDelta
from resources.ai.provider import ProviderRefusedError
from resources.ai.providers import build_embedder, build_provider
from resources.ai.providers.options import ProviderOptions, Timeouts
from resources.errors import PlatformError
from tests.contracts.chat_provider import WEATHER

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from llmock.pytest_plugin import LLMock

    from resources.ai.provider import ChatProvider, RateLimits

MODELS = {"openai": "gpt-4o", "responses": "gpt-4o", "anthropic": "claude-opus-4-8", "vllm": "llama"}


@pytest.fixture(params=sorted(MODELS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def limits() -> list[RateLimits]:
    return []


@pytest.fixture
async def provider(
    request: pytest.FixtureRequest, llmock: LLMock, kind: str, limits: list[RateLimits]
) -> AsyncIterator[ChatProvider]:
    stalls = "stall" in request.node.callspec.params.values()  # nobody else is to be taken for one on a busy machine
    options = ProviderOptions(
        base_url=llmock.base_url("anthropic" if kind == "anthropic" else "openai"),
        api_key=SecretStr("sk-test"),
        api="responses" if kind == "responses" else "chat",
        egress=None,
        timeouts=Timeouts(idle=0.5 if stalls else 30.0),
    )
    built = build_provider("openai" if kind == "responses" else kind, options, on_limits=limits.append)
    yield built
    await built.close()


@pytest.fixture
def question(kind: str) -> ChatRequest:
    return ChatRequest(
        provider="p", model=MODELS[kind], messages=(Message(role="user", text="Tell me about the harbour."),)
    )


async def called(provider: ChatProvider, request: ChatRequest, errors: list[str] | None = None) -> Answer:
    for attempt in range(4):
        try:
            last = [event async for event in provider.stream(request)][-1]
        except PlatformError as error:
            if errors is not None:
                errors.append(error.code)
            if not error.retryable:
                raise
            asked = getattr(error, "retry_after", None) or error.details.get("retry_after")
            await asyncio.sleep(asked or 0.06 * 2**attempt)
        else:
            assert isinstance(last, Answer)
            return last
    raise AssertionError("four attempts were not enough")


async def test_an_answer_is_streamed_and_counted(provider: ChatProvider, llmock: LLMock, question: ChatRequest) -> None:
    llmock.reply("The harbour is old and deep.")
    events = [event async for event in provider.stream(question)]
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "The harbour is old and deep."
    assert isinstance(events[-1], Answer)
    assert events[-1].usage is not None
    assert events[-1].usage.input > 0
    llmock.assert_resilient(strict=True)


async def test_a_tool_is_called_with_its_arguments(
    provider: ChatProvider, llmock: LLMock, question: ChatRequest
) -> None:
    llmock.call_tool("get_weather", {"city": "Paris"})
    answer = await called(provider, question.model_copy(update={"tools": (WEATHER,)}))
    assert [(call.name, call.arguments) for call in answer.calls] == [("get_weather", {"city": "Paris"})]
    assert answer.finish == "tool"


async def test_broken_arguments_are_none(provider: ChatProvider, llmock: LLMock, question: ChatRequest) -> None:
    llmock.break_tool_call("malformed_arguments")
    answer = await called(provider, question.model_copy(update={"tools": (WEATHER,)}))
    assert [call.arguments for call in answer.calls] == [None]


@pytest.mark.parametrize("status", [500, 503, 529])
async def test_a_failing_server_is_tried_again(
    provider: ChatProvider, llmock: LLMock, question: ChatRequest, status: int
) -> None:
    llmock.fail(status, retry_after=0.1)
    await called(provider, question)
    llmock.assert_resilient(strict=True)


async def test_a_wait_is_kept(provider: ChatProvider, llmock: LLMock, question: ChatRequest) -> None:
    llmock.rate_limit(retry_after=0.2)
    await called(provider, question)
    llmock.assert_resilient(strict=True)


@pytest.mark.parametrize("fault", ["disconnect", "truncate", "malformed", "stall"])
async def test_a_broken_stream_is_an_error(
    provider: ChatProvider,
    llmock: LLMock,
    question: ChatRequest,
    fault: Literal["disconnect", "truncate", "malformed", "stall"],
) -> None:
    llmock.pace(10)  # a server that is done before the client hangs up takes it for one that read on
    llmock.add(StreamFault(fault, after_chunks=4, stall_seconds=1.5))
    errors: list[str] = []
    await called(provider, question, errors)
    told = {"malformed": "stream_malformed", "stall": "provider_timeout"}
    assert errors == [told.get(fault, "stream_truncated")]
    llmock.assert_resilient(strict=True)


@pytest.mark.parametrize(
    ("status", "code"), [(401, "provider_key_wrong"), (404, "model_unknown"), (422, "provider_refused")]
)
async def test_a_refusal_is_not_tried_again(
    provider: ChatProvider, llmock: LLMock, question: ChatRequest, status: int, code: str
) -> None:
    llmock.fail(status)
    with pytest.raises(ProviderRefusedError) as caught:
        await called(provider, question)
    assert caught.value.code == code
    llmock.assert_resilient(strict=True)


async def test_too_long_a_prompt_is_an_overflow(provider: ChatProvider, llmock: LLMock, question: ChatRequest) -> None:
    llmock.limits(context_window=10)
    long = question.model_copy(update={"messages": (Message(role="user", text="word " * 200),)})
    with pytest.raises(ProviderRefusedError) as caught:
        await called(provider, long)
    assert caught.value.code == "context_overflow"


async def test_a_real_quota_is_told(
    provider: ChatProvider, llmock: LLMock, question: ChatRequest, limits: list[RateLimits]
) -> None:
    llmock.limits(rpm=60, tpm=90_000)
    await called(provider, question)
    assert (limits[0].requests_limit, limits[0].tokens_limit) == (60, 90_000)


async def test_embeddings_come_in_the_order_of_the_texts(llmock: LLMock) -> None:
    options = ProviderOptions(base_url=llmock.base_url("openai"), api_key=SecretStr("sk-test"), egress=None)
    embedder = build_embedder("openai", options)
    request = EmbedRequest(provider="openai", model="text-embedding-3-small", texts=("one", "two", "one"))
    answer = await embedder.embed(request)
    assert answer.vectors[0] == answer.vectors[2] != answer.vectors[1]
    assert answer.usage is not None
    await embedder.close()
