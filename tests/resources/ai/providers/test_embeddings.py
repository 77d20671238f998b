from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from resources.ai.model import EmbedRequest
from resources.ai.provider import ProviderRefusedError, ProviderUnavailableError, RateLimitedError
from resources.ai.providers import build_embedder
from resources.ai.providers.options import ProviderOptions
from tests.fixtures.vendors import BedrockConverse, OpenAIChat, document

if TYPE_CHECKING:
    from tests.fixtures.wire import WireServer

HASHING = "hashing-for-tests-384"
TITAN = "amazon.titan-embed-text-v2:0"


def openai_options(wire: WireServer) -> ProviderOptions:
    return ProviderOptions(base_url=wire.url, api_key=SecretStr("sk-test"), egress=None)


def bedrock_options(wire: WireServer) -> ProviderOptions:
    return openai_options(wire).model_copy(update={"region": "eu-central-1", "access_key_id": "AKIAEXAMPLE"})


def vectors(*rows: list[float], shuffled: bool = False) -> dict[str, object]:
    data = [{"object": "embedding", "index": index, "embedding": row} for index, row in enumerate(rows)]
    if shuffled:
        data.reverse()
    return {"object": "list", "data": data, "model": "e", "usage": {"prompt_tokens": 7, "total_tokens": 7}}


async def test_vectors_come_in_the_order_of_the_texts(wire: WireServer) -> None:
    embedder = build_embedder("openai", openai_options(wire))
    wire.reply(document(200, vectors([1.0, 0.0], [0.0, 1.0], shuffled=True)))
    answer = await embedder.embed(EmbedRequest(provider="openai", model="e", texts=("a", "b"), dimensions=2))
    assert answer.vectors == ((1.0, 0.0), (0.0, 1.0))
    assert answer.usage is not None
    assert answer.usage.input == 7
    assert wire.requests[0].body["dimensions"] == 2
    await embedder.close()


async def test_a_missing_vector_is_an_error(wire: WireServer) -> None:
    embedder = build_embedder("openai", openai_options(wire))
    wire.reply(document(200, vectors([1.0, 0.0])))
    with pytest.raises(ProviderUnavailableError):
        await embedder.embed(EmbedRequest(provider="openai", model="e", texts=("a", "b")))
    await embedder.close()


async def test_faults_of_embeddings_are_those_of_chat(wire: WireServer) -> None:
    embedder = build_embedder("openai", openai_options(wire))
    request = EmbedRequest(provider="openai", model="e", texts=("a",))
    wire.reply(OpenAIChat().error("rate", retry_after="3"), OpenAIChat().error("key"))
    with pytest.raises(RateLimitedError) as limited:
        await embedder.embed(request)
    assert limited.value.retry_after == 3.0
    with pytest.raises(ProviderRefusedError) as refused:
        await embedder.embed(request)
    assert refused.value.code == "provider_key_wrong"
    await embedder.close()


async def test_titan_embeds_text_by_text(wire: WireServer) -> None:
    embedder = build_embedder("bedrock", bedrock_options(wire))
    wire.reply(*[document(200, {"embedding": [0.5, 0.5], "inputTextTokenCount": 3})] * 2)
    answer = await embedder.embed(EmbedRequest(provider="bedrock", model=TITAN, texts=("a", "b"), dimensions=256))
    assert answer.vectors == ((0.5, 0.5), (0.5, 0.5))
    assert answer.usage is not None
    assert answer.usage.input == 6
    assert sorted(json.dumps(request.body) for request in wire.requests) == [
        '{"inputText": "a", "dimensions": 256}',
        '{"inputText": "b", "dimensions": 256}',
    ]
    await embedder.close()


async def test_faults_of_titan_are_those_of_converse(wire: WireServer) -> None:
    embedder = build_embedder("bedrock", bedrock_options(wire))
    wire.reply(BedrockConverse().error("rate"))
    with pytest.raises(RateLimitedError):
        await embedder.embed(EmbedRequest(provider="bedrock", model=TITAN, texts=("a",)))
    await embedder.close()


async def test_the_offline_model_is_a_provider() -> None:
    embedder = build_embedder("local", ProviderOptions())
    request = EmbedRequest(provider="local", model="all-MiniLM-L6-v2-int8", texts=("a cat", "a dog"))
    answer = await embedder.embed(request)
    assert [len(row) for row in answer.vectors] == [384, 384]
    assert (answer.model, answer.usage) == ("all-MiniLM-L6-v2-int8@1.0.0", None)


async def test_a_local_model_has_one_name_and_one_size() -> None:
    embedder = build_embedder("hashing", ProviderOptions())
    with pytest.raises(ProviderRefusedError) as unknown:
        await embedder.embed(EmbedRequest(provider="hashing", model="other", texts=("a",)))
    assert unknown.value.code == "model_unknown"
    with pytest.raises(ProviderRefusedError):
        await embedder.embed(EmbedRequest(provider="hashing", model=HASHING, texts=("a",), dimensions=8))
