"""What an agent is: a goal, what it is told, the tools that it may use, and what it must not exceed."""

from __future__ import annotations

from decimal import Decimal  # pydantic reads the annotations at run time
from typing import Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from resources.ai.structured import check_schema

MAX_STEPS: Final = 25
OFFLINE: Final = "offline"
OFFLINE_MODEL: Final = "offline/extractive-v1"


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AgentLimits(_Value):
    """What a run of an agent must not exceed. A run that is executed again goes on counting where it was."""

    steps: int = Field(default=8, ge=1, le=MAX_STEPS, description="Turns of the model")
    model_calls: int = Field(
        default=16, ge=1, le=200, description="Calls of the model, further tries and repairs included"
    )
    tool_calls: int = Field(default=24, ge=0, le=500, description="Uses of tools")
    tool_calls_per_step: int = Field(
        default=8, ge=1, le=50, description="Uses of tools in one turn; others are refused"
    )
    repeated: int = Field(default=3, ge=1, le=20, description="How often the same tool may be asked the very same")
    tokens: int | None = Field(default=200_000, ge=1, description="Input and output together")
    usd: Decimal | None = Field(
        default=None, ge=0, description="Spent on models; a model without a known price is refused"
    )
    seconds: float = Field(default=300.0, gt=0, le=3600, description="Time from start to end, each time it is executed")


class ToolPolicy(_Value):
    """What tools may do."""

    approve: tuple[str, ...] = Field(
        default=(), max_length=100, description="Tools that a person must approve each use of"
    )
    after_untrusted: Literal["refuse", "approve", "allow"] = Field(
        default="refuse",
        description="What becomes of tools with effects once text of others was read, which may try to trigger them",
    )
    max_output: int = Field(
        default=16_384, ge=100, le=1_000_000, description="Characters of a tool's answer that are kept"
    )


class MemorySpec(_Value):
    """What an agent remembers of a conversation."""

    tokens: int = Field(
        default=2000, ge=100, le=100_000, description="Of former turns; older ones are summed up by rule"
    )


class AgentSpec(_Value):
    """An agent. `system` and `prompt` name prompts of the library (`id`, `id@3`, `id@production`).

    `system` is rendered with `name`, `goal`, `tools` and `limits`, as far as it has such variables; `prompt` with the variables
    that a task gives. Without `system` it is told `instructions`, or its goal; without `prompt` a task brings its own words.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,99}$", description="Name of the agent")
    description: str = Field(default="", description="What it is good for")
    goal: str = Field(default="", description="What it is there for; told to the model")
    system: str | None = Field(default=None, description="Prompt of the library that instructs it")
    instructions: str | None = Field(
        default=None, max_length=100_000, description="What instructs it, in place of `system`"
    )
    prompt: str | None = Field(default=None, description="Prompt of the library that a task is put in")
    provider: str = Field(default=OFFLINE, min_length=1, max_length=100, description="Name of a configured provider")
    model: str = Field(
        default=OFFLINE_MODEL, min_length=1, max_length=200, description="The provider's name for the model"
    )
    temperature: float | None = Field(default=None, ge=0, le=2, description="0 = the likeliest words")
    max_output_tokens: int = Field(default=4096, ge=1, description="Longest turn, in tokens")
    tools: tuple[str, ...] = Field(default=(), max_length=100, description="Tools that it may use, by name")
    output: dict[str, Any] | None = Field(default=None, description="JSON Schema of the final answer")
    limits: AgentLimits = Field(default=AgentLimits(), description="What a run must not exceed")
    policy: ToolPolicy = Field(default=ToolPolicy(), description="What tools may do")
    memory: MemorySpec = Field(default=MemorySpec(), description="What is remembered of a conversation")

    @model_validator(mode="after")
    def _one_instruction(self) -> Self:
        if self.system is not None and self.instructions is not None:
            raise ValueError("has either `system` or `instructions`")
        if self.output is not None:
            check_schema(self.output)
        return self


class AgentTask(_Value):
    """What an agent is to do. `documents` are texts of others; with a `session` it remembers the turns before."""

    prompt: str | None = Field(default=None, min_length=1, description="In words")
    variables: dict[str, Any] = Field(default_factory=dict, description="For the agent's prompt")
    documents: tuple[str, ...] = ()
    session: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_.:@-]{1,100}$")
