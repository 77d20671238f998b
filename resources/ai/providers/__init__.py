"""The table of providers: which adapter serves a kind of provider. A vendor's SDK is imported when its provider is built.

To add one: an adapter in a file of its own, a factory and a row here, and a subclass of `tests/contracts/chat_provider.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from resources.errors import InvalidInputError, NotPermittedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from resources.ai.provider import ChatProvider, EmbeddingProvider, OnLimits
    from resources.ai.providers.bedrock import BedrockProvider
    from resources.ai.providers.openai import OpenAIProvider
    from resources.ai.providers.options import ProviderOptions

    ChatFactory = Callable[[ProviderOptions, str, OnLimits | None], ChatProvider]
    EmbeddingFactory = Callable[[ProviderOptions, str, OnLimits | None], EmbeddingProvider]


def build_provider(
    kind: str, options: ProviderOptions, *, name: str | None = None, on_limits: OnLimits | None = None
) -> ChatProvider:
    """A chat provider of that kind, called `name` (else as its kind).

    Raises InvalidInputError (an unknown kind, an option missing or wrong), NotPermittedError (an address or an answer of no AI
    model that is not allowed) or UnavailableError (an optional part is not installed). It does not connect yet.
    """
    if kind not in CHAT:
        raise _unknown(kind, CHAT)
    return CHAT[kind](options, name or kind, on_limits)


def build_embedder(
    kind: str, options: ProviderOptions, *, name: str | None = None, on_limits: OnLimits | None = None
) -> EmbeddingProvider:
    """An embedding provider of that kind; as `build_provider`."""
    if kind not in EMBEDDINGS:
        raise _unknown(kind, EMBEDDINGS)
    return EMBEDDINGS[kind](options, name or kind, on_limits)


def _unknown(kind: str, table: Mapping[str, object]) -> InvalidInputError:
    known = ", ".join(sorted(table))
    return InvalidInputError(f"Unknown provider {kind!r}; choose one of {known}.", code="provider_unknown")


def _openai(options: ProviderOptions, name: str, on_limits: OnLimits | None) -> OpenAIProvider:
    from resources.ai.providers.openai import OPENAI, OpenAIProvider

    return OpenAIProvider(options, name=name, dialect=OPENAI, on_limits=on_limits)


def _azure(options: ProviderOptions, name: str, on_limits: OnLimits | None) -> OpenAIProvider:
    from resources.ai.providers.openai import AZURE, OpenAIProvider

    return OpenAIProvider(options, name=name, dialect=AZURE, on_limits=on_limits)


def _gemini(options: ProviderOptions, name: str, on_limits: OnLimits | None) -> OpenAIProvider:
    from resources.ai.providers.openai import GEMINI, OpenAIProvider

    return OpenAIProvider(options, name=name, dialect=GEMINI, on_limits=on_limits)


def _compatible(options: ProviderOptions, name: str, on_limits: OnLimits | None) -> OpenAIProvider:
    from resources.ai.providers.openai import COMPATIBLE, OpenAIProvider

    return OpenAIProvider(options, name=name, dialect=COMPATIBLE, on_limits=on_limits)


def _anthropic(options: ProviderOptions, name: str, on_limits: OnLimits | None) -> ChatProvider:
    from resources.ai.providers.anthropic import AnthropicProvider

    return AnthropicProvider(options, name=name, on_limits=on_limits)


def _bedrock(options: ProviderOptions, name: str, on_limits: OnLimits | None) -> BedrockProvider:
    from resources.ai.providers.bedrock import BedrockProvider

    return BedrockProvider(options, name=name, on_limits=on_limits)


def _local(options: ProviderOptions, name: str, on_limits: OnLimits | None) -> ChatProvider:
    from resources.ai.providers.local import LocalProvider

    del on_limits
    return LocalProvider(options, name=name)


def _offline(options: ProviderOptions, name: str, on_limits: OnLimits | None) -> ChatProvider:
    from resources.ai.providers.offline import OfflineProvider

    del on_limits
    _refuse_in_production(options, name)
    return OfflineProvider(name=name)


def _scripted(options: ProviderOptions, name: str, on_limits: OnLimits | None) -> ChatProvider:
    from resources.ai.providers.scripted import ScriptedProvider

    del on_limits
    _refuse_in_production(options, name)
    return ScriptedProvider(options.script, name=name)


def _minilm(options: ProviderOptions, name: str, on_limits: OnLimits | None) -> EmbeddingProvider:
    from resources.ai.minilm import MiniLmEmbedder
    from resources.ai.providers.embeddings import LocalEmbeddings

    del options, on_limits
    return LocalEmbeddings(MiniLmEmbedder(), name=name)


def _hashing(options: ProviderOptions, name: str, on_limits: OnLimits | None) -> EmbeddingProvider:
    from resources.ai.memory import HashingEmbedder
    from resources.ai.providers.embeddings import LocalEmbeddings

    del on_limits
    _refuse_in_production(options, name)
    return LocalEmbeddings(HashingEmbedder(), name=name)


def _refuse_in_production(options: ProviderOptions, name: str) -> None:
    if options.production and not options.allow_simulated:
        raise NotPermittedError(
            f"The provider {name!r} is no AI model, and this is a production platform. "
            "Choose a provider with a model, or let the operator allow simulated answers.",
            code="simulated_in_production",
        )


CHAT: Final[Mapping[str, ChatFactory]] = {
    "openai": _openai,
    "azure": _azure,
    "anthropic": _anthropic,
    "bedrock": _bedrock,
    "gemini": _gemini,
    "ollama": _compatible,
    "vllm": _compatible,
    "openai-compatible": _compatible,
    "local": _local,
    "offline": _offline,
    "scripted": _scripted,
}
EMBEDDINGS: Final[Mapping[str, EmbeddingFactory]] = {
    "openai": _openai,
    "azure": _azure,
    "bedrock": _bedrock,
    "gemini": _gemini,
    "ollama": _compatible,
    "vllm": _compatible,
    "openai-compatible": _compatible,
    "local": _minilm,
    "hashing": _hashing,
}
