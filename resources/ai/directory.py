"""The configured providers by name, built when they are first called. Adapters hold clients: a directory has one event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from resources.ai.providers import CHAT, EMBEDDINGS, build_embedder, build_provider
from resources.ai.providers.options import ProviderOptions
from resources.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from resources.ai.provider import ChatProvider, EmbeddingProvider, OnLimits


class ProviderConfig(BaseModel):
    """A provider under a name: its kind (a row of `resources.ai.providers`) and how it is reached."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    options: ProviderOptions = ProviderOptions()

    @property
    def endpoint(self) -> str:
        """Tells apart servers of one kind: the same request to another one is another request."""
        options = self.options
        parts = (self.kind, options.base_url, options.api, options.api_version, options.region, options.organisation)
        return "|".join(part or "" for part in parts)


class ProviderDirectory:
    """`chat` and `embeddings` are providers that exist already; they go before the configured ones."""

    def __init__(
        self,
        configs: Mapping[str, ProviderConfig] | None = None,
        *,
        chat: Mapping[str, ChatProvider] | None = None,
        embeddings: Mapping[str, EmbeddingProvider] | None = None,
    ) -> None:
        self._configs = dict(configs or {})
        self._chat = dict(chat or {})
        self._embeddings = dict(embeddings or {})
        self.on_limits: OnLimits | None = None

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted({*self._configs, *self._chat, *self._embeddings}))

    def chat(self, name: str) -> ChatProvider:
        """Raises InvalidInputError when there is no such provider, and what building it raises."""
        if name not in self._chat:
            config = self._config(name, CHAT, "answers chats")
            self._chat[name] = build_provider(config.kind, config.options, name=name, on_limits=self.on_limits)
        return self._chat[name]

    def embeddings(self, name: str) -> EmbeddingProvider:
        """Raises as `chat` does."""
        if name not in self._embeddings:
            config = self._config(name, EMBEDDINGS, "makes embeddings")
            self._embeddings[name] = build_embedder(config.kind, config.options, name=name, on_limits=self.on_limits)
        return self._embeddings[name]

    def endpoint(self, name: str) -> str:
        """What is part of the memo's keys."""
        config = self._configs.get(name)
        return name if config is None else config.endpoint

    async def close(self) -> None:
        for chat in self._chat.values():
            await chat.close()
        for embeddings in self._embeddings.values():
            await embeddings.close()
        self._chat.clear()
        self._embeddings.clear()

    def _config(self, name: str, table: Mapping[str, object], does: str) -> ProviderConfig:
        config = self._configs.get(name)
        if config is None or config.kind not in table:
            able = sorted(known for known, other in self._configs.items() if other.kind in table)
            raise InvalidInputError(
                f"No provider {name!r} is configured that {does}; there are: {', '.join(able) or 'none'}.",
                code="provider_unknown",
            )
        return config
