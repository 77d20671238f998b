"""How a provider is reached: one set of options for all of them; each adapter reads those that mean something to it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from resources.ai.egress import EgressPolicy
from resources.ai.model import Answer


class _Options(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Timeouts(_Options):
    """In seconds. `idle` is the longest silence between two pieces of an answer, `total` the longest whole answer."""

    connect: float = Field(default=5.0, gt=0)
    idle: float = Field(default=60.0, gt=0)
    total: float = Field(default=300.0, gt=0)


class ProviderOptions(_Options):
    """Address, key and behaviour of a provider. Nothing is read from the environment behind its back."""

    base_url: str | None = Field(default=None, description="Instead of the vendor's own address")
    api_key: SecretStr | None = Field(default=None, description="With Bedrock: the secret access key")
    organisation: str | None = None
    headers: dict[str, SecretStr] = Field(default_factory=dict, description="Sent with each request")
    timeouts: Timeouts = Timeouts()
    api: Literal["chat", "responses"] = Field(default="chat", description="OpenAI and Azure: which of their APIs")
    api_version: str | None = Field(
        default=None, description="Azure: a dated API with deployments instead of /openai/v1"
    )
    region: str | None = Field(
        default=None, pattern=r"^[a-z]{2,4}(-[a-z]+)+-\d{1,2}$", description="Bedrock: AWS region"
    )
    access_key_id: str | None = Field(
        default=None, description="Bedrock: with `api_key`; else the operator's own chain"
    )
    session_token: SecretStr | None = Field(default=None, description="Bedrock: of temporary credentials")
    structured_output: Literal["native", "tool"] | None = Field(
        default=None, description="Bedrock: how JSON is asked for; a forced tool works with every model that has tools"
    )
    strict_finish_reason: bool = Field(
        default=True, description="False for servers that never say why an answer ended; it may then be half of one"
    )
    egress: EgressPolicy | None = Field(
        default=EgressPolicy(), description="Guards `base_url`; None when the operator set it and vouches for it"
    )
    production: bool = Field(default=False, description="Answers of no AI model are refused here, unless allowed")
    allow_simulated: bool = Field(default=False, description="Allow answers of no AI model in production")
    script: tuple[Answer, ...] = Field(default=(), description="What the scripted provider answers, in order")
