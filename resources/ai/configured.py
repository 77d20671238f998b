"""The providers that the operator has configured, as options of the AI layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from resources.ai.build import AiOptions
from resources.ai.directory import ProviderConfig
from resources.ai.egress import EgressPolicy
from resources.ai.providers.options import ProviderOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import SecretStr

    from resources.ai.memo.model import MemoMode

_SECONDS_A_DAY = 86_400.0


class Configuration(Protocol):
    """What is read of the settings (`AiSettings`)."""

    openai_api_key: SecretStr | None
    openai_base_url: str | None
    anthropic_api_key: SecretStr | None
    anthropic_base_url: str | None
    azure_api_key: SecretStr | None
    azure_base_url: str | None
    azure_api_version: str | None
    bedrock_region: str | None
    bedrock_base_url: str | None
    gemini_api_key: SecretStr | None
    ollama_url: str | None
    vllm_url: str | None
    compatible_url: str | None
    compatible_api_key: SecretStr | None
    allow_simulated: bool
    memo: MemoMode
    memo_secret: SecretStr | None
    memo_days: float | None
    timeout: float
    max_output_tokens: int
    capture_content: bool
    redact: bool


def ai_options(configuration: Configuration, *, production: bool, networks: Sequence[str] = ()) -> AiOptions:
    """The options. A provider is there when its key, address or region is set; `offline` and `local` always are.

    Addresses are the operator's own, so they may be private ones; those of tenants lead to public addresses and `networks`.
    """
    given = configuration
    providers = {
        "openai": (given.openai_api_key, ProviderOptions(api_key=given.openai_api_key, base_url=given.openai_base_url)),
        "anthropic": (
            given.anthropic_api_key,
            ProviderOptions(api_key=given.anthropic_api_key, base_url=given.anthropic_base_url),
        ),
        "azure": (
            given.azure_api_key and given.azure_base_url,
            ProviderOptions(
                api_key=given.azure_api_key, base_url=given.azure_base_url, api_version=given.azure_api_version
            ),
        ),
        "bedrock": (
            given.bedrock_region,
            ProviderOptions(region=given.bedrock_region, base_url=given.bedrock_base_url),
        ),
        "gemini": (given.gemini_api_key, ProviderOptions(api_key=given.gemini_api_key)),
        "ollama": (given.ollama_url, ProviderOptions(base_url=given.ollama_url)),
        "vllm": (given.vllm_url, ProviderOptions(base_url=given.vllm_url)),
        "openai-compatible": (
            given.compatible_url,
            ProviderOptions(base_url=given.compatible_url, api_key=given.compatible_api_key),
        ),
        "offline": (True, ProviderOptions()),
        "local": (True, ProviderOptions()),
    }
    update = {"egress": None, "production": production, "allow_simulated": given.allow_simulated}
    return AiOptions(
        providers={
            "compatible" if kind == "openai-compatible" else kind: ProviderConfig(
                kind=kind, options=options.model_copy(update=update)
            )
            for kind, (there, options) in providers.items()
            if there
        },
        egress=EgressPolicy.model_validate({"allowed": tuple(networks)}),
        memo=given.memo,
        memo_secret=given.memo_secret,
        memo_ttl=None if given.memo_days is None else given.memo_days * _SECONDS_A_DAY,
        timeout=given.timeout,
        max_output_tokens=given.max_output_tokens,
        capture_content=given.capture_content,
        redact=given.redact,
    )
