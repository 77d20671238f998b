"""The configured providers by name, built when they are first called. Adapters hold clients: a directory has one event loop.

A tenant that has a key of its own for a provider is served with that, and by nobody else's: at the tenant's address, if it has
one (guarded: it may not lead into the platform's network), else at the operator's, else at the vendor's. An own key that cannot
be read fails the call; it is never made with the operator's instead.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, ConfigDict, SecretStr

from resources.ai.egress import EgressPolicy
from resources.ai.providers import CHAT, EMBEDDINGS, build_embedder, build_provider
from resources.ai.providers.options import ProviderOptions
from resources.errors import InvalidInputError

if TYPE_CHECKING:
    from resources.ai.provider import ChatProvider, EmbeddingProvider, OnLimits, RateLimits

KEYS_SECONDS: Final = 60.0
_KEYLESS: Final = frozenset({"offline", "local", "scripted", "minilm", "hashing"})
_KINDS: Final = {"compatible": "openai-compatible"}

OwnKeys = Callable[[str], Mapping[str, tuple[SecretStr, str | None]]]
"""A tenant's keys and the addresses where they are good, by the provider's name. Asks a store: not on an event loop."""


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

    @property
    def digest(self) -> str:
        """Changes with the address and the key, and tells neither."""
        key = self.options.api_key.get_secret_value() if self.options.api_key is not None else ""
        return hashlib.sha256(f"{self.endpoint}\0{self.options.access_key_id}\0{key}".encode()).hexdigest()

    def with_key(self, key: SecretStr, base_url: str | None, egress: EgressPolicy) -> ProviderConfig:
        """The same for somebody else: nothing of the operator's own account is left in it. Bedrock's keys are `ID:SECRET`."""
        access_key_id, secret = None, key
        if self.kind == "bedrock":
            access_key_id, _, text = key.get_secret_value().partition(":")
            secret = SecretStr(text)
        theirs: dict[str, object] = {
            "api_key": secret,
            "access_key_id": access_key_id,
            "session_token": None,
            "organisation": None,
            "headers": {},
        }
        if base_url is not None:
            theirs |= {"base_url": base_url, "egress": egress}
        return self.model_copy(update={"options": self.options.model_copy(update=theirs)})


class ProviderDirectory:
    """`chat` and `embeddings` are providers that exist already; they go before the configured ones, but not before own keys.

    `own_keys` are read again after a minute. `egress` guards the addresses that come with them.
    """

    def __init__(
        self,
        configs: Mapping[str, ProviderConfig] | None = None,
        *,
        chat: Mapping[str, ChatProvider] | None = None,
        embeddings: Mapping[str, EmbeddingProvider] | None = None,
        own_keys: OwnKeys | None = None,
        egress: EgressPolicy | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._configs = dict(configs or {})
        self._given_chat = dict(chat or {})
        self._given_embeddings = dict(embeddings or {})
        self._chat: dict[tuple[str, str], ChatProvider] = {}
        self._embeddings: dict[tuple[str, str], EmbeddingProvider] = {}
        self._own_keys = own_keys
        self._egress = egress or EgressPolicy()
        self._monotonic = monotonic
        self._own: dict[str, tuple[float, Mapping[str, ProviderConfig]]] = {}
        self.on_limits: OnLimits | None = None

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted({*self._configs, *self._given_chat, *self._given_embeddings}))

    def needs_reading(self, tenant: str) -> bool:
        """Whether the tenant's keys are not known, or not any more: `read` them first."""
        known = self._own.get(tenant)
        return self._own_keys is not None and (known is None or self._monotonic() - known[0] > KEYS_SECONDS)

    def read(self, tenant: str) -> None:
        """Read the tenant's keys. Raises what the store raises."""
        if self._own_keys is not None:
            found = self._own_keys(tenant)
            own = {name: config for name, (key, url) in found.items() if (config := self._with_key(name, key, url))}
            self._own[tenant] = (self._monotonic(), own)

    def chat(self, name: str, tenant: str) -> ChatProvider:
        """Raises InvalidInputError when there is no such provider, and what building it raises."""
        own = self._own_config(name, tenant)
        if own is None and name in self._given_chat:
            return self._given_chat[name]
        place = (self.account(name, tenant), own.digest if own is not None else "")
        if place not in self._chat:
            config = own or self._config(name, CHAT, "answers chats")
            self._chat[place] = build_provider(config.kind, config.options, name=name, on_limits=self._told(place[0]))
        return self._chat[place]

    def embeddings(self, name: str, tenant: str) -> EmbeddingProvider:
        """Raises as `chat` does."""
        own = self._own_config(name, tenant)
        if own is None and name in self._given_embeddings:
            return self._given_embeddings[name]
        place = (self.account(name, tenant), own.digest if own is not None else "")
        if place not in self._embeddings:
            config = own or self._config(name, EMBEDDINGS, "makes embeddings")
            self._embeddings[place] = build_embedder(
                config.kind, config.options, name=name, on_limits=self._told(place[0])
            )
        return self._embeddings[place]

    def endpoint(self, name: str, tenant: str) -> str:
        """What is part of the memo's keys, which are the tenant's anyway."""
        config = self._own_config(name, tenant) or self._configs.get(name)
        return name if config is None else config.endpoint

    def account(self, name: str, tenant: str) -> str:
        """Whose rate limits count: the operator's, under the provider's name, or those of the tenant's own key."""
        return name if self._own_config(name, tenant) is None else f"{name}@{tenant}"

    async def close(self) -> None:
        for chat in (*self._given_chat.values(), *self._chat.values()):
            await chat.close()
        for embeddings in (*self._given_embeddings.values(), *self._embeddings.values()):
            await embeddings.close()
        self._chat.clear()
        self._embeddings.clear()

    def _own_config(self, name: str, tenant: str) -> ProviderConfig | None:
        known = self._own.get(tenant)
        return None if known is None else known[1].get(name)

    def _with_key(self, name: str, key: SecretStr, base_url: str | None) -> ProviderConfig | None:
        """None: it is the key of something else than a provider."""
        config = self._configs.get(name)
        if config is None:
            config = ProviderConfig(kind=_KINDS.get(name, name), options=ProviderOptions(egress=self._egress))
        if config.kind in _KEYLESS or config.kind not in {*CHAT, *EMBEDDINGS}:
            return None
        return config.with_key(key, base_url, self._egress)

    def _told(self, account: str) -> OnLimits:
        def told(limits: RateLimits) -> None:
            if self.on_limits is not None:
                self.on_limits(replace(limits, provider=account))

        return told

    def _config(self, name: str, table: Mapping[str, object], does: str) -> ProviderConfig:
        config = self._configs.get(name)
        if config is None or config.kind not in table:
            able = sorted(known for known, other in self._configs.items() if other.kind in table)
            raise InvalidInputError(
                f"No provider {name!r} is configured that {does}; there are: {', '.join(able) or 'none'}.",
                code="provider_unknown",
            )
        return config
