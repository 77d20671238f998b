from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr, ValidationError

from resources.ai.model import Answer, ChatRequest, Message
from resources.ai.providers import CHAT, EMBEDDINGS, build_embedder, build_provider
from resources.ai.providers.options import ProviderOptions
from resources.errors import InvalidInputError, NotPermittedError
from tests.contracts.chat_provider import MOOD, answer_of
from tests.fixtures.vendors import AnthropicMessages, BedrockConverse, OpenAIChat

if TYPE_CHECKING:
    from tests.fixtures.wire import WireServer

KEY = SecretStr("sk-0123456789")


def options(wire: WireServer, **more: Any) -> ProviderOptions:
    return ProviderOptions(base_url=wire.url, api_key=KEY, egress=None, **more)


def asked(model: str, **more: Any) -> ChatRequest:
    return ChatRequest(provider="p", model=model, messages=(Message(role="user", text="Hello?"),), **more)


def test_an_unknown_provider_is_told_with_those_there_are() -> None:
    with pytest.raises(InvalidInputError, match=r"opnai.*anthropic"):
        build_provider("opnai", ProviderOptions())
    with pytest.raises(InvalidInputError, match=r"anthropic.*bedrock"):
        build_embedder("anthropic", ProviderOptions())


@pytest.mark.parametrize("kind", ["openai", "azure", "gemini", "anthropic"])
def test_a_vendor_needs_a_key(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-operator")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-of-the-operator")
    with pytest.raises(InvalidInputError) as caught:
        build_provider(kind, ProviderOptions(base_url="https://example.com"))
    assert caught.value.code == "provider_key_missing"


@pytest.mark.parametrize("kind", ["azure", "ollama", "vllm", "openai-compatible"])
def test_a_server_of_ones_own_needs_an_address(kind: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        build_provider(kind, ProviderOptions(api_key=KEY))
    assert caught.value.code == "base_url_missing"


@pytest.mark.parametrize("kind", ["offline", "scripted"])
def test_answers_of_no_model_are_refused_in_production_unless_allowed(kind: str) -> None:
    with pytest.raises(NotPermittedError) as caught:
        build_provider(kind, ProviderOptions(production=True))
    assert caught.value.code == "simulated_in_production"
    assert build_provider(kind, ProviderOptions(production=True, allow_simulated=True)).name == kind


def test_a_provider_can_have_a_name_of_its_own() -> None:
    assert build_provider("offline", ProviderOptions(), name="house").name == "house"


async def test_a_script_can_be_given_by_options() -> None:
    said = Answer(text="Hello.", finish="stop", usage=None, provider="scripted", model="m")
    assert (await answer_of(build_provider("scripted", ProviderOptions(script=(said,))), asked("m"))).text == "Hello."


@pytest.mark.parametrize("region", ["eu-central-1.evil.com/", "EU", "x", "169.254.169.254"])
def test_a_region_is_not_an_address(region: str) -> None:
    with pytest.raises(ValidationError):
        ProviderOptions(region=region)


def test_a_tenant_cannot_set_the_address_of_bedrock() -> None:
    with pytest.raises(InvalidInputError):
        build_provider("bedrock", ProviderOptions(base_url="https://example.com", region="eu-central-1"))


@pytest.mark.parametrize("more", [{}, {"region": "eu-central-1", "access_key_id": "AKIA"}])
def test_bedrock_needs_a_region_and_whole_credentials(more: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        build_provider("bedrock", ProviderOptions(**more))


@pytest.mark.parametrize("kind", ["openai", "vllm", "anthropic"])
async def test_nothing_of_the_operators_environment_is_sent(
    kind: str, wire: WireServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_ADMIN_KEY", "OPENAI_API_KEY", "ANTHROPIC_AUTH_TOKEN"):
        monkeypatch.setenv(name, "of-the-operator")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "x-secret: of-the-operator")
    monkeypatch.setenv("ANTHROPIC_CUSTOM_HEADERS", "x-secret: of-the-operator")
    wire.reply(AnthropicMessages().text("ok") if kind == "anthropic" else OpenAIChat().text("ok"))
    provider = build_provider(kind, options(wire, headers={"x-own": SecretStr("mine")}))
    await answer_of(provider, asked("m"))
    assert "of-the-operator" not in str(wire.requests[0].headers)
    assert wire.requests[0].headers["x-own"] == "mine"
    await provider.close()


async def test_a_server_without_keys_gets_none(wire: WireServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-operator")
    wire.reply(OpenAIChat().text("ok"))
    provider = build_provider("ollama", ProviderOptions(base_url=f"{wire.url}/v1", egress=None))
    await answer_of(provider, asked("llama3"))
    assert wire.requests[0].headers["authorization"] == "Bearer none"
    await provider.close()


async def test_the_organisation_is_sent(wire: WireServer) -> None:
    wire.reply(OpenAIChat().text("ok"))
    provider = build_provider("openai", options(wire, organisation="org-1"))
    await answer_of(provider, asked("gpt-4o"))
    assert wire.requests[0].headers["openai-organization"] == "org-1"
    await provider.close()


async def test_azure_serves_deployments_of_a_dated_api(wire: WireServer) -> None:
    wire.reply(OpenAIChat().text("ok"))
    provider = build_provider("azure", options(wire, api_version="2026-02-01"))
    await answer_of(provider, asked("my-deployment"))
    assert wire.requests[0].path == "/openai/deployments/my-deployment/chat/completions?api-version=2026-02-01"
    assert wire.requests[0].headers["api-key"] == KEY.get_secret_value()
    await provider.close()


async def test_azures_filter_of_a_prompt_is_an_answer(wire: WireServer) -> None:
    filtered = OpenAIChat().error("bad")
    body = b'{"error": {"code": "content_filter", "message": "The prompt was filtered", "status": 400}}'
    wire.reply(type(filtered)(400, filtered.headers, (body,)))
    provider = build_provider("azure", options(wire))
    answer = await answer_of(provider, asked("my-deployment"))
    assert (answer.finish, answer.text, answer.usage) == ("filter", "", None)
    await provider.close()


@pytest.mark.parametrize(("kind", "strict"), [("openai", True), ("azure", True), ("vllm", None), ("gemini", None)])
async def test_strict_mode_is_asked_for_where_it_exists(kind: str, strict: bool | None, wire: WireServer) -> None:
    wire.reply(OpenAIChat().text('{"mood": "good", "why": null}'))
    provider = build_provider(kind, options(wire))
    await answer_of(provider, asked("m", output=MOOD))
    assert wire.requests[0].body["response_format"]["json_schema"].get("strict") is strict
    await provider.close()


async def test_a_server_that_never_says_why_it_ended_can_be_believed(wire: WireServer) -> None:
    half = OpenAIChat().text("a", "b").cut(3, "end")
    wire.reply(half)
    provider = build_provider("vllm", options(wire, strict_finish_reason=False))
    assert (await answer_of(provider, asked("m"))).text == "ab"
    await provider.close()


async def test_bedrock_can_be_asked_for_json_natively(wire: WireServer) -> None:
    wire.reply(BedrockConverse().text('{"mood": "good"}'))
    more = {"region": "eu-central-1", "access_key_id": "AKIAEXAMPLE", "structured_output": "native"}
    provider = build_provider("bedrock", options(wire, **more))
    assert (await answer_of(provider, asked("claude", output=MOOD))).text == '{"mood": "good"}'
    assert wire.requests[0].body["outputConfig"]["textFormat"]["type"] == "json_schema"
    await provider.close()


async def test_the_responses_api_refuses_stop_sequences(wire: WireServer) -> None:
    provider = build_provider("openai", options(wire, api="responses"))
    with pytest.raises(InvalidInputError) as caught:
        await answer_of(provider, asked("gpt-5", stop=("END",)))
    assert caught.value.code == "request_unsupported"
    await provider.close()


def test_no_sdk_is_imported_before_a_provider_is_built() -> None:
    code = (
        "import sys, resources.ai.providers as p, resources.ai.providers.openai, resources.ai.providers.anthropic\n"
        "import resources.ai.providers.bedrock, resources.ai.providers.local\n"
        "print([m for m in ('openai', 'anthropic', 'boto3', 'botocore', 'xllamacpp', 'onnxruntime') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_table_holds_every_kind_that_is_promised() -> None:
    assert set(CHAT) == {
        *("openai", "azure", "anthropic", "bedrock", "gemini", "ollama", "vllm", "openai-compatible"),
        *("local", "offline", "scripted"),
    }
    assert set(EMBEDDINGS) == {
        *("openai", "azure", "bedrock", "gemini", "ollama", "vllm", "openai-compatible", "local", "hashing"),
    }
