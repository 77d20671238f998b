"""Servers that are called: where they are, how they are spoken to, and who of several copies is asked.

One *server* has one name and one or more *replicas* (addresses, or processes that are started); each replica has one or more
*connections*. A server of the operator may be a program; a server of a tenant is always an address.
"""

from __future__ import annotations

from collections.abc import Mapping  # pydantic reads the annotations
from dataclasses import dataclass, field
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from resources.registry.balancing import Strategy

Transport = Literal["stdio", "http", "websocket"]
Era = Literal["auto", "legacy", "2026-07-28"]
PoolStrategy = Strategy | Literal["health_based", "affinity"]

NAME = r"^[a-z][a-z0-9_-]{0,62}$"
_SCHEMES = {"http": ("http", "https"), "websocket": ("ws", "wss")}


class OAuthConfig(BaseModel):
    """How one logs in to a server over OAuth 2.1. Without a `client_id` we register ourselves, where the server lets us."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    grant: Literal["authorization_code", "client_credentials"] = Field(
        default="authorization_code", description="A person logs in (`aiw mcp login`), or the platform by itself"
    )
    client_id: str | None = None
    client_secret: SecretStr | None = None
    private_key: SecretStr | None = Field(default=None, description="PEM, instead of a secret: a signed JWT is shown")
    algorithm: str = Field(default="ES256", description="Of the private key's signature")
    scope: str | None = Field(default=None, description="Asked for at first; unset = what the server names")
    issuer: str | None = Field(default=None, description="The only authorization server that is given the credentials")
    client_metadata_url: str | None = Field(
        default=None, description="Document that names us, for servers that take its address as the client's id"
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.grant == "client_credentials":
            if (
                self.client_id is None
                or self.issuer is None
                or (self.client_secret is None) == (self.private_key is None)
            ):
                raise ValueError(
                    "client_credentials have a `client_id`, an `issuer`, and one of `client_secret` and `private_key`"
                )
        elif self.private_key is not None or (self.client_secret is not None and self.client_id is None):
            raise ValueError("authorization_code has no `private_key`, and a `client_secret` belongs to a `client_id`")
        return self


class SamplingConfig(BaseModel):
    """Which model answers a server that asks for one while its tools are called, and at what length."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    provider: str = Field(default="offline", min_length=1, max_length=100, description="Name of a configured provider")
    model: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        description="The provider's name for it; may be left out for offline",
    )
    max_tokens: int = Field(default=1024, ge=1, le=100_000, description="Longest answer; a server may ask for less")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.model is None and self.provider != "offline":
            raise ValueError("needs the `model`, as only the provider offline has one of its own")
        return self


class ServerConfig(BaseModel):
    """A server that is called. Values of `headers` and `env` are secrets; they are shown nowhere."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=NAME)
    transport: Transport = "http"
    urls: tuple[str, ...] = Field(default=(), max_length=32, description="One for each replica")
    weights: tuple[float, ...] = Field(default=(), description="One for each address, for the strategy `weighted`")
    headers: Mapping[str, SecretStr] = Field(default_factory=dict, description="Sent with each request")
    oauth: OAuthConfig | None = Field(default=None, description="For servers that want a login; unset = they want none")
    command: str | None = Field(default=None, description="The program of a stdio server")
    args: tuple[str, ...] = ()
    env: Mapping[str, SecretStr] = Field(
        default_factory=dict, description="What its environment has besides PATH and HOME"
    )
    cwd: str | None = None
    processes: int = Field(default=1, ge=1, le=8, description="How many of the program are started")
    max_restarts: int = Field(default=3, ge=0, le=100, description="Starts in a row that may fail")
    era: Era = Field(default="auto", description="Which era of the protocol is spoken; auto = the newest that it knows")
    strategy: PoolStrategy = Field(default="health_based", description="Who of several is asked")
    connections: int = Field(default=1, ge=1, le=5, description="To each replica")
    timeout: float = Field(default=30.0, gt=0, le=3600, description="Seconds for one call")
    connect_timeout: float = Field(default=30.0, gt=0, le=300)
    idle_seconds: float = Field(default=300.0, gt=0, description="After which connections that nobody uses are closed")
    probe_seconds: float = Field(default=30.0, gt=0, description="Between two looks whether a replica is well")
    max_bytes: int = Field(default=4 * 1024 * 1024, ge=1024, le=64 * 1024 * 1024, description="Of one message")
    tools: tuple[str, ...] | None = Field(default=None, description="The only tools that may be called; unset = all")
    pure: tuple[str, ...] = Field(
        default=(),
        description="Tools that always give the same for the same: their answers are recorded and given again",
    )
    elicitation: Literal["refuse", "defaults"] = Field(
        default="refuse",
        description="What a server is answered that asks for input: nothing, or the defaults of its form where all have one",
    )
    sampling: SamplingConfig | None = Field(
        default=None, description="The model that a server may ask, on the caller's budget; unset = none"
    )
    roots: tuple[str, ...] = Field(default=(), description="Folders (file://...) that a server is told when it asks")
    enabled: bool = True

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.oauth is not None and self.transport != "http":
            raise ValueError("`oauth` is for servers over http")
        if self.transport == "stdio":
            if not self.command or self.urls:
                raise ValueError("a stdio server has a `command` and no `urls`")
            return self
        if self.command or not self.urls:
            raise ValueError(f"a server over {self.transport} has `urls` and no `command`")
        if wrong := [url for url in self.urls if urlsplit(url).scheme not in _SCHEMES[self.transport]]:
            raise ValueError(
                f"{wrong[0]!r} is no address for {self.transport}: {' or '.join(_SCHEMES[self.transport])}"
            )
        if any("@" in urlsplit(url).netloc for url in self.urls):
            raise ValueError("an address has no user and password: they go into `headers`")
        if self.weights and (len(self.weights) != len(self.urls) or min(self.weights) <= 0):
            raise ValueError("there is one weight, above 0, for each address")
        return self

    def replicas(self) -> list[tuple[str, float]]:
        """What each is called in messages, and its weight."""
        if self.transport == "stdio":
            return [(f"{self.name}#{number}", 1.0) for number in range(1, self.processes + 1)]
        return list(zip(self.urls, self.weights or (1.0,) * len(self.urls), strict=True))


@dataclass(frozen=True, slots=True)
class RemoteTool:
    """A tool as its server lists it. `read_only` and `idempotent` are what the server says of it, `pure` what its configuration
    says: that it always gives the same for the same.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    output: Mapping[str, Any] | None = None
    read_only: bool = False
    idempotent: bool = False
    pure: bool = False

    @property
    def repeatable(self) -> bool:
        """Whether calling it twice does no more than calling it once."""
        return self.read_only or self.idempotent


@dataclass(frozen=True, slots=True)
class RemoteAnswer:
    """What a tool said: its text, its structured result if there is one, and all parts of its content as JSON."""

    text: str
    structured: Any = None
    content: list[dict[str, Any]] = field(default_factory=list)

    @property
    def value(self) -> Any:
        """The structured result, or the text."""
        return self.text if self.structured is None else self.structured


@dataclass(frozen=True, slots=True)
class ConnectionStatus:
    """How one connection is."""

    replica: str
    status: str
    calls: int
    under_way: int
    response_ms: float | None
    availability: float | None
    breaker: str
    protocol: str | None
    problem: str | None
