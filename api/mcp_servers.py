"""What the management of MCP servers takes and gives over HTTP."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from resources.errors import InvalidInputError, Problem
from resources.mcp.model import Era, PoolStrategy, ServerConfig, Transport
from resources.mcp.servers import masked

if TYPE_CHECKING:
    from resources.mcp.model import ConnectionStatus, RemoteTool
    from resources.mcp.servers import Server

_Url = Annotated[str, Field(min_length=1, max_length=2000, pattern=r"^(https?|wss?)://[^\s\x00]+$")]
_Header = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,100}$")]
_Text = Annotated[str, Field(min_length=1, max_length=2000, pattern=r"^[^\x00]+$")]
_Name = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00]+$")]
_ToolName = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00]+$")]


class OAuthIn(BaseModel):
    """How one logs in. Without a `client_id` the platform registers itself, where the server lets it."""

    model_config = ConfigDict(extra="forbid")

    grant: Literal["authorization_code", "client_credentials"] = "authorization_code"
    client_id: _Text | None = None
    client_secret: SecretStr | None = Field(default=None, description="Kept sealed, never shown")
    private_key: SecretStr | None = Field(
        default=None, description="PEM, instead of a secret; kept sealed, never shown"
    )
    algorithm: Literal["ES256", "ES384", "RS256", "PS256", "EdDSA"] = "ES256"
    scope: _Text | None = Field(default=None, description="Asked for at first; unset = what the server names")
    issuer: _Url | None = Field(default=None, description="The only server that is given the credentials")
    client_metadata_url: _Url | None = None


class OAuthOut(BaseModel):
    """How one logs in. Secrets are not shown."""

    grant: Literal["authorization_code", "client_credentials"]
    client_id: str | None = None
    scope: str | None = None
    issuer: str | None = None
    client_metadata_url: str | None = None


class SamplingIn(BaseModel):
    """Which model answers a server that asks for one while its tools are called; on the caller's budget."""

    model_config = ConfigDict(extra="forbid")

    provider: _Name = Field(default="offline", description="Name of a configured provider")
    model: _ToolName | None = Field(default=None, description="Its name for the model; may be left out for offline")
    max_tokens: int = Field(default=1024, ge=1, le=100_000, description="Longest answer; a server may ask for less")


class SamplingOut(BaseModel):
    """Which model answers a server."""

    provider: str
    model: str | None = None
    max_tokens: int


class McpLoginIn(BaseModel):
    """What came of a login: what `aiw mcp login` hands over."""

    model_config = ConfigDict(extra="forbid")

    login: SecretStr = Field(min_length=2, max_length=65_536, description="As JSON; kept sealed, never shown")


class McpServerIn(BaseModel):
    """A server of the tenant's: an address. Programs are the operator's to configure."""

    model_config = ConfigDict(extra="forbid")

    transport: Literal["http", "websocket"] = "http"
    urls: list[_Url] = Field(min_length=1, max_length=32, description="One for each replica")
    weights: list[float] = Field(default_factory=list, max_length=32, description="For the strategy `weighted`")
    headers: dict[_Header, SecretStr] = Field(
        default_factory=dict, max_length=20, description="Kept sealed, never shown"
    )
    oauth: OAuthIn | None = Field(default=None, description="For servers that want a login; unset = they want none")
    era: Era = "auto"
    strategy: PoolStrategy = "health_based"
    connections: int = Field(default=1, ge=1, le=5, description="To each replica")
    timeout: float = Field(default=30.0, gt=0, le=3600, description="Seconds for one call")
    elicitation: Literal["refuse", "defaults"] = Field(
        default="refuse", description="What a server is answered that asks for input: nothing, or its form's defaults"
    )
    sampling: SamplingIn | None = Field(
        default=None, description="The model that the server may ask while it is called; unset = none"
    )
    tools: list[_ToolName] | None = Field(default=None, max_length=200, description="The only ones that may be called")
    pure: list[_ToolName] = Field(
        default_factory=list, max_length=200, description="Those that give the same for the same: called once"
    )
    enabled: bool = True

    def config(self, name: str) -> ServerConfig:
        """Raises InvalidInputError."""
        try:
            return ServerConfig.model_validate({"name": name, **self.model_dump()})
        except ValidationError as error:
            found = tuple(Problem(".".join(map(str, one["loc"])), str(one["msg"])) for one in error.errors())
            raise InvalidInputError(
                "The server is not configured right.", problems=found, code="mcp_config_invalid"
            ) from error


class McpServerOut(BaseModel):
    """A server. Of headers and environment, the names; an operator's server tells nothing of its environment."""

    name: str
    origin: Literal["operator", "tenant"]
    transport: Transport
    urls: list[str]
    headers: list[str]
    oauth: OAuthOut | None = None
    era: Era
    strategy: PoolStrategy
    connections: int
    processes: int
    timeout: float
    elicitation: Literal["refuse", "defaults"]
    sampling: SamplingOut | None = None
    tools: list[str] | None = None
    pure: list[str]
    enabled: bool

    @classmethod
    def of(cls, server: Server) -> Self:
        shown = {k: v for k, v in masked(server.config).items() if k in cls.model_fields}
        return cls.model_validate({"origin": server.origin, **shown})


class McpServerList(BaseModel):
    """By name."""

    servers: list[McpServerOut]
    next_cursor: str | None = None


class ToolOut(BaseModel):
    """A tool as its server lists it. `repeatable`: calling it twice does no more than calling it once, says the server."""

    name: str
    description: str
    parameters: dict[str, Any]
    output: dict[str, Any] | None
    read_only: bool
    repeatable: bool

    @classmethod
    def of(cls, tool: RemoteTool) -> Self:
        return cls(
            name=tool.name,
            description=tool.description,
            parameters=dict(tool.parameters),
            output=None if tool.output is None else dict(tool.output),
            read_only=tool.read_only,
            repeatable=tool.repeatable,
        )


class ToolList(BaseModel):
    """In the server's order."""

    tools: list[ToolOut]


class CalledOut(BaseModel):
    """What a tool said, and its row in the books."""

    text: str
    structured: Any
    content: list[dict[str, Any]]
    call_id: UUID
    memo: Literal["hit", "miss", "off"]


class ConnectionOut(BaseModel):
    """How one connection of the API's process is."""

    replica: str
    status: str
    calls: int
    under_way: int
    response_ms: float | None
    availability: float | None
    breaker: str
    protocol: str | None
    problem: str | None

    @classmethod
    def of(cls, status: ConnectionStatus) -> Self:
        return cls(**asdict(status))


class McpServerCheckOut(BaseModel):
    """It answers."""

    tools: int
    milliseconds: float
    connections: list[ConnectionOut]
