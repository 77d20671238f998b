"""All settings of the platform: environment variables with the prefix `AIW_`, nested by `__` (`AIW_DATABASE__URL`).

Read only at the roots (the code location, the API's factory, the command line) and passed down as values. `.env.example`
lists every variable; a test keeps it true. Secrets are `SecretStr`, so that no log or error page can print them.
"""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class DatabaseSettings(BaseModel):
    """PostgreSQL with pgvector: Dagster's storage (schema `dagster`) and the platform's own (schema `aiw`)."""

    url: SecretStr | None = Field(
        default=None, description="postgresql://user:password@host:port/database; unset = the embedded server"
    )
    pool_size: int = Field(default=8, ge=1, le=200, description="Connections that one process opens at most")
    connect_timeout: float = Field(default=5.0, gt=0, description="Seconds to wait for a connection")
    statement_timeout: float = Field(default=60.0, gt=0, description="Seconds after which a statement is cancelled")


class GraphSettings(BaseModel):
    """The graph store, over Bolt."""

    url: SecretStr | None = Field(
        default=None, description="bolt://host:port (or neo4j://, neo4j+s://); unset = the embedded ArcadeDB"
    )
    user: str = Field(default="root", description="User name")
    password: SecretStr = Field(default=SecretStr(""), description="Password")
    database: str = Field(default="graph", description="Database name; always sent, never left to the server")
    http_url: str | None = Field(
        default=None, description="ArcadeDB's HTTP address, for indexes that its Cypher cannot create; unset for Neo4j"
    )


class ApiSettings(BaseModel):
    """The FastAPI sidecar."""

    host: str = Field(default="127.0.0.1", description="Any other address than loopback needs AIW_AUTH__MODE=required")
    port: int = Field(default=0, ge=0, le=65535, description="0 = the kernel chooses a free port")
    public_url: str | None = Field(
        default=None, description="Address that browsers know the API by, behind a proxy; unset = that of the request"
    )
    cors_origins: str = Field(
        default="", description="Origins whose pages may call the API, separated by commas; * = any, empty = none"
    )
    workers: int = Field(default=1, ge=1, le=64, description="Processes that serve the API, on one port")
    request_timeout: float = Field(
        default=60.0,
        gt=0,
        description="Seconds until an answer must have begun; then it is a 504 and its work is ended",
    )


class AuthSettings(BaseModel):
    """Who may use the platform, and how they prove it."""

    mode: Literal["local", "required"] = Field(
        default="local",
        description="local = whoever is on this machine is its admin, on loopback and in development only",
    )
    algorithm: Literal["EdDSA", "HS256"] = Field(default="EdDSA", description="What access tokens are signed with")
    secret: SecretStr | None = Field(default=None, description="For HS256: at least 32 random bytes")
    master_key: SecretStr | None = Field(
        default=None, description="Seals stored secrets: 32 random bytes in base64 (`aiw keys master` makes one)"
    )
    former_master_keys: SecretStr = Field(
        default=SecretStr(""), description="Master keys of before, separated by commas, until `aiw keys rewrap`"
    )
    issuer: str = Field(default="aiw", min_length=1, description="`iss` of access tokens")
    audience: str = Field(default="aiw", min_length=1, description="`aud` of access tokens")
    access_seconds: int = Field(default=900, ge=30, le=86_400, description="How long an access token is good")
    session_days: int = Field(default=30, ge=1, le=366, description="How long a session can be prolonged")
    oidc_issuer: str | None = Field(default=None, description="OpenID Connect provider to log in with; unset = none")
    oidc_client_id: str | None = Field(default=None, description="What the provider knows the platform as")
    oidc_client_secret: SecretStr | None = Field(default=None, description="What the platform proves it with")
    oidc_tenant: str | None = Field(default=None, description="Tenant of who logs in there; unset = AIW_TENANT")
    oidc_role: Literal["viewer", "member"] | None = Field(
        default=None, description="Role of users who come for the first time; unset = only known users may come"
    )

    @property
    def master_keys(self) -> tuple[str, ...]:
        """The present one first, if there is any."""
        former = self.former_master_keys.get_secret_value().split(",")
        keys = ([self.master_key.get_secret_value()] if self.master_key else []) + [key.strip() for key in former]
        return tuple(key for key in keys if key)


class LimitSettings(BaseModel):
    """How many requests are answered (token buckets; none for the local admin)."""

    store: Literal["memory", "postgres"] = Field(
        default="memory", description="Where they are counted; memory = each process by itself"
    )
    redis_url: SecretStr | None = Field(
        default=None,
        description="redis://, rediss:// or unix:// of a Redis or Valkey: counted there, whatever `store` is",
    )
    principal_per_minute: int = Field(default=6_000, ge=1, description="Requests of one user or key")
    principal_burst: int = Field(default=600, ge=1, description="At once")
    tenant_per_minute: int = Field(
        default=60_000, ge=1, description="Requests of one tenant, unless it has its own limit"
    )
    tenant_burst: int = Field(default=6_000, ge=1, description="At once")
    address_per_minute: int = Field(default=12_000, ge=1, description="Requests from one address")
    address_burst: int = Field(default=1_200, ge=1, description="At once")


class GraphqlSettings(BaseModel):
    """How much one operation may ask of the graph, for how long, and one principal in all."""

    depth: int = Field(default=15, ge=1, le=50, description="Fields within fields")
    complexity: int = Field(default=1000, ge=1, description="Fields, those of a list as often as it is long")
    aliases: int = Field(default=100, ge=0, description="Fields that are given another name")
    selections: int = Field(default=200, ge=1, description="Fields and fragments in its text")
    variable_depth: int = Field(default=10, ge=1, le=50, description="Values within values of a variable")
    query_seconds: float = Field(default=30.0, gt=0, description="Until a query must be answered")
    mutation_seconds: float = Field(default=60.0, gt=0, description="Until a mutation must be answered")
    subscription_seconds: float = Field(
        default=300.0, gt=0, description="A subscription ends then, to be taken up again"
    )
    subscriptions: int = Field(default=5, ge=1, description="Of one principal at the same time, over all its sockets")
    points_per_request: int = Field(
        default=100,
        ge=1,
        description="Complexity of a request on average, of the rate in AIW_LIMITS__PRINCIPAL_PER_MINUTE",
    )


class RealtimeSettings(BaseModel):
    """How many sockets there may be, and how processes tell one another that there is news for them."""

    capacity: int = Field(default=10_000, ge=1, description="Sockets and streams that one process holds at most")
    sessions_per_user: int = Field(default=5, ge=1, description="Sockets that one user may have open")
    redis_url: SecretStr | None = Field(
        default=None,
        description="redis://, rediss:// or unix:// of a Redis or Valkey to tell it by; unset = by PostgreSQL's NOTIFY",
    )


class EgressSettings(BaseModel):
    """Where workflows and the providers that tenants configure may connect to, besides public addresses."""

    allowed: str = Field(default="", description="Networks, separated by commas, such as 10.0.0.0/8")

    @field_validator("allowed")
    @classmethod
    def _networks(cls, value: str) -> str:
        for network in value.split(","):
            if network.strip():
                ip_network(network.strip())
        return value

    @property
    def networks(self) -> tuple[str, ...]:
        """The networks one by one."""
        return tuple(network.strip() for network in self.allowed.split(",") if network.strip())


class AiSettings(BaseModel):
    """Models: which providers there are, and how they are called. Without any key the offline provider answers by rule."""

    openai_api_key: SecretStr | None = Field(default=None, description="Key of OpenAI; makes the provider `openai`")
    openai_base_url: str | None = Field(default=None, description="Instead of OpenAI's own address")
    anthropic_api_key: SecretStr | None = Field(default=None, description="Key of Anthropic: `anthropic`")
    anthropic_base_url: str | None = Field(default=None, description="Instead of Anthropic's own address")
    azure_api_key: SecretStr | None = Field(default=None, description="Key of Azure OpenAI: `azure`")
    azure_base_url: str | None = Field(
        default=None, description="The resource's address, https://NAME.openai.azure.com"
    )
    azure_api_version: str | None = Field(default=None, description="A dated API with deployments, instead of v1")
    bedrock_region: str | None = Field(
        default=None, description="AWS region: `bedrock`, with the machine's credentials"
    )
    bedrock_base_url: str | None = Field(default=None, description="Instead of the region's own address")
    gemini_api_key: SecretStr | None = Field(default=None, description="Key of Gemini: `gemini`")
    ollama_url: str | None = Field(default=None, description="Address of Ollama: `ollama`")
    vllm_url: str | None = Field(default=None, description="Address of vLLM: `vllm`")
    compatible_url: str | None = Field(
        default=None, description="Address of any server that speaks OpenAI's protocol: `compatible`"
    )
    compatible_api_key: SecretStr | None = Field(default=None, description="Its key, if it wants one")
    allow_simulated: bool = Field(
        default=False, description="Let the offline provider, which is no AI model, answer in production too"
    )
    memo: Literal["off", "read_through", "record", "replay_only"] = Field(
        default="read_through", description="Whether an answer that was paid for is recorded and given again"
    )
    memo_secret: SecretStr | None = Field(default=None, description="Encrypts recorded answers; unset = in plain")
    memo_days: float | None = Field(default=None, gt=0, description="After which they are forgotten; unset = never")
    timeout: float = Field(default=300.0, gt=0, description="Seconds for one call, with its waits and further tries")
    max_output_tokens: int = Field(default=4096, ge=1, description="Of requests that name no limit")
    capture_content: bool = Field(default=False, description="Put prompts and answers into events and traces")
    redact: bool = Field(default=False, description="Replace personal data before it reaches a provider")


class DagsterSettings(BaseModel):
    """How Dagster runs here."""

    port: int = Field(
        default=0, ge=0, le=65535, description="Port of Dagster's web server, behind the API; 0 = the kernel chooses"
    )
    url: str | None = Field(
        default=None, description="Dagster's web server, started with --path-prefix /dagster; unset = that of `aiw up`"
    )
    workers: int = Field(default=2, ge=1, le=64, description="Warm processes that execute runs")
    sensor_interval: float = Field(default=0.25, gt=0, description="Seconds between two looks of the sensor daemon")
    runs_per_worker: int = Field(default=500, ge=1, description="Runs after which a warm process is replaced")
    worker_memory_mb: int = Field(default=2048, ge=256, description="Resident megabytes at which a worker is replaced")
    max_runs: int = Field(default=64, ge=-1, description="Runs under way at a time, beyond which they queue; -1 = any")
    keep_days: int = Field(
        default=90, ge=0, description="Days after which the events and values of a run's steps go; 0 = they stay"
    )
    max_runs_per_tenant: int = Field(default=16, ge=-1, description="The same for each tenant; -1 = any")


class ContentSettings(BaseModel):
    """Limits on documents, checked before any work is done."""

    max_bytes: int = Field(default=10 * 1024 * 1024, ge=1, description="Largest document that is accepted, in bytes")
    max_depth: int = Field(default=200, ge=1, description="Deepest nesting that the parsers accept")
    max_pages: int = Field(default=2000, ge=1, description="Most pages of one PDF")
    parse_timeout: float = Field(default=30.0, gt=0, description="Seconds that one document may take to parse")
    chunk_chars: int = Field(default=1000, ge=100, le=8000, description="Target length of a chunk, in characters")
    chunk_overlap: int = Field(default=100, ge=0, le=1000, description="Characters that neighbouring chunks share")


class McpSettings(BaseModel):
    """MCP servers that are called, besides those that `MCP_EXTERNAL_SERVER_<n>_*` names."""

    config: Path | None = Field(
        default=None, description='File of servers for all tenants, {"mcpServers": {NAME: {...}}}; unset = none'
    )


class LogSettings(BaseModel):
    """Structured logs, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="Least severe level shown")
    format: Literal["auto", "json", "console"] = Field(
        default="auto", description="auto = readable on a terminal, JSON elsewhere"
    )


class Settings(BaseSettings):
    """The whole configuration, frozen. `Settings()` reads the environment (and `.env` in the working directory)."""

    model_config = SettingsConfigDict(
        env_prefix="AIW_", env_nested_delimiter="__", env_file=".env", extra="ignore", frozen=True
    )

    environment: Literal["development", "production"] = Field(
        default="development", description="production refuses what is only fit for a laptop"
    )
    tenant: str = Field(
        default="default", pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$", description="Tenant of local commands"
    )
    data_dir: Path = Field(default=Path(".aiw"), description="Data of the embedded servers, logs and Dagster's home")
    outputs: str | None = Field(
        default=None,
        description="Folder for large outputs of steps, as a URL (file:///path, s3://bucket/path); unset = in the data folder",
    )
    database: DatabaseSettings = DatabaseSettings()
    graph: GraphSettings = GraphSettings()
    api: ApiSettings = ApiSettings()
    auth: AuthSettings = AuthSettings()
    limits: LimitSettings = LimitSettings()
    graphql: GraphqlSettings = GraphqlSettings()
    realtime: RealtimeSettings = RealtimeSettings()
    egress: EgressSettings = EgressSettings()
    ai: AiSettings = AiSettings()
    dagster: DagsterSettings = DagsterSettings()
    content: ContentSettings = ContentSettings()
    mcp: McpSettings = McpSettings()
    log: LogSettings = LogSettings()
