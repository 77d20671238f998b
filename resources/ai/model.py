"""What is said to a model and what it answers, in words of no vendor's.

A request is a value: equal requests have equal canonical forms (`canonical`), which is what the memo, the ledger and a replay
know them by. Adapters translate it for one vendor each (`providers/`); nothing of a vendor leaks past them.
"""

from __future__ import annotations

import hashlib
from decimal import Decimal  # pydantic reads the annotations at run time
from typing import Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field

Role = Literal["system", "user", "assistant", "tool"]
Finish = Literal["stop", "length", "tool", "refusal", "filter"]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Image(_Value):
    """A picture for the model: base64 of its bytes."""

    media_type: Literal["image/png", "image/jpeg", "image/webp", "image/gif"]
    data: str = Field(description="Base64, without a data: prefix")


class ToolCall(_Value):
    """The model asks for a tool. `arguments` is None when what it wrote is not a JSON object; `raw` is what it wrote."""

    id: str
    name: str
    arguments: dict[str, Any] | None
    raw: str = ""


class Message(_Value):
    """One turn. `calls` belong to an assistant's turn, `call_id` to the tool's answer to one of them."""

    role: Role
    text: str = ""
    images: tuple[Image, ...] = ()
    calls: tuple[ToolCall, ...] = ()
    call_id: str | None = None


class ToolSpec(_Value):
    """A tool as the model sees it. `parameters` is a JSON Schema of type object."""

    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")
    description: str
    parameters: dict[str, Any]


class OutputSchema(_Value):
    """The answer must be JSON of this shape."""

    name: str = Field(default="answer", pattern=r"^[A-Za-z0-9_-]{1,64}$")
    json_schema: dict[str, Any]


class ChatRequest(_Value):
    """A question to a model. What is None is left to the provider. `model` is the provider's own name for it."""

    provider: str = Field(description="Name of a configured provider, such as openai, anthropic, bedrock, offline")
    model: str = Field(min_length=1, max_length=200)
    messages: tuple[Message, ...] = Field(min_length=1)
    tools: tuple[ToolSpec, ...] = ()
    tool_choice: Literal["auto", "required", "none"] = "auto"
    output: OutputSchema | None = None
    max_output_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    seed: int | None = None
    stop: tuple[str, ...] = ()
    reasoning_effort: Literal["minimal", "low", "medium", "high"] | None = None
    prompt_version: str | None = Field(
        default=None, description="`id@version` of the prompt that this was rendered from"
    )

    def canonical(self) -> bytes:
        """The request as canonical JSON: keys sorted, ids of tool calls replaced by their order (providers invent them)."""
        names: dict[str, str] = {}
        fields = self.model_dump(mode="json", exclude_defaults=True)
        for message in fields["messages"]:
            for call in message.get("calls", ()):
                call["id"] = names.setdefault(call["id"], f"call_{len(names)}")
            if "call_id" in message:
                message["call_id"] = names.get(message["call_id"], message["call_id"])
        if "tools" in fields:
            fields["tools"] = sorted(fields["tools"], key=lambda tool: str(tool["name"]))
        return orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)

    def fingerprint(self) -> str:
        """SHA-256 of the canonical form, in hexadecimal."""
        return hashlib.sha256(self.canonical()).hexdigest()


class Usage(_Value):
    """Tokens that the provider counted. `input` includes what was read from and written to its cache."""

    input: int = Field(default=0, ge=0)
    output: int = Field(default=0, ge=0, description="Includes `reasoning`")
    cache_read: int = Field(default=0, ge=0)
    cache_write: int = Field(default=0, ge=0)
    reasoning: int = Field(default=0, ge=0)

    @property
    def total(self) -> int:
        return self.input + self.output

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            input=self.input + other.input,
            output=self.output + other.output,
            cache_read=self.cache_read + other.cache_read,
            cache_write=self.cache_write + other.cache_write,
            reasoning=self.reasoning + other.reasoning,
        )


class Answer(_Value):
    """A whole answer, and the last thing that a stream says.

    `usage` is None when the provider did not tell it. `simulated` is true when no AI model wrote the answer; every face then
    shows `notice`. `request_id` is the provider's.
    """

    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    finish: Finish
    usage: Usage | None
    provider: str
    model: str
    request_id: str | None = None
    simulated: bool = False
    notice: str | None = None


class TextDelta(_Value):
    """More of the text."""

    text: str


class ReasoningDelta(_Value):
    """More of what the model thinks aloud; it is not part of the answer."""

    text: str


class ToolCallDelta(_Value):
    """More of the arguments of the call at `index`; `id` and `name` come with the first one."""

    index: int
    arguments: str = ""
    id: str | None = None
    name: str | None = None


class Restart(_Value):
    """What was streamed so far is void: the call failed and is made again (or goes to another provider)."""

    reason: str


StreamEvent = TextDelta | ReasoningDelta | ToolCallDelta | Restart | Answer


class EmbedRequest(_Value):
    """Texts to be turned into vectors."""

    provider: str
    model: str = Field(min_length=1, max_length=200)
    texts: tuple[str, ...] = Field(min_length=1)
    dimensions: int | None = Field(default=None, ge=1)

    def fingerprint(self) -> str:
        """SHA-256 of the canonical form, in hexadecimal."""
        fields = self.model_dump(mode="json", exclude_defaults=True)
        return hashlib.sha256(orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)).hexdigest()


class Embeddings(_Value):
    """A vector for each text, in the order of the texts, as the provider gave it."""

    vectors: tuple[tuple[float, ...], ...]
    usage: Usage | None
    provider: str
    model: str


class CallContext(_Value):
    """On whose behalf a call is made, and what its money is booked on. What is None is not known."""

    tenant: str
    user: str | None = None
    project: str | None = None
    workflow: str | None = None
    run_id: str | None = None
    node_id: str | None = None
    asset: str | None = None
    partition: str | None = None
    correlation_id: str | None = None


class Priced(_Value):
    """What an answer costs. `cost` is in US dollars; None means that nobody knows, never that it was free."""

    cost: Decimal | None
    price_source: str | None = Field(default=None, description="Which table of prices, and which state of it")
