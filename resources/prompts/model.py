"""A prompt: a text with typed variables, in versions that never change and under labels that move."""

from __future__ import annotations

import hashlib
import re
from datetime import datetime  # pydantic reads the annotations at run time
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

PROMPT_ID = re.compile(r"[a-z][a-z0-9]*([_.-][a-z0-9]+)*")
LABEL = re.compile(r"[a-z][a-z0-9-]{0,62}")

VariableType = Literal["string", "number", "boolean", "array", "object", "any"]
OutputFormat = Literal["text", "json", "yaml", "markdown", "html"]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _typed(value: Any) -> Any:
    """`topic: string` is short for `topic: {type: string}`."""
    return {"type": value} if isinstance(value, str) else value


class Variable(_Value):
    """What may be put into the text. `items` and `properties` tell more of an array and an object."""

    type: VariableType = "string"
    description: str = ""
    required: bool = True
    default: Any = None
    items: Annotated[Variable, BeforeValidator(_typed)] | None = None
    properties: dict[str, Annotated[Variable, BeforeValidator(_typed)]] | None = None

    def json_schema(self) -> dict[str, Any]:
        """The same as JSON Schema."""
        schema: dict[str, Any] = {} if self.type == "any" else {"type": self.type}
        if self.items is not None:
            schema["items"] = self.items.json_schema()
        if self.properties is not None:
            schema["properties"] = {name: found.json_schema() for name, found in self.properties.items()}
            schema["required"] = [name for name, found in self.properties.items() if found.required]
        return schema


class Example(_Value):
    """A render whose text is known: `aiw prompts test` compares."""

    variables: dict[str, Any]
    system: str | None = None
    text: str


class PromptSpec(_Value):
    """What an author writes. `content` is the user's message, `system` the instruction before it; both are Handlebars.

    `{{> other@3}}` puts version 3 of another prompt's content there, `{{> other}}` its newest one; both are looked up once, when
    the prompt is published. `context` names what the prompt is for, so that `pick` can choose among those that fit.
    """

    id: str = Field(pattern=f"^{PROMPT_ID.pattern}$", max_length=100)
    name: str = ""
    description: str = ""
    content: str = Field(min_length=1)
    system: str | None = None
    variables: dict[str, Annotated[Variable, BeforeValidator(_typed)]] = Field(default_factory=dict)
    output_format: OutputFormat = "text"
    strict: bool = Field(default=False, description="A missing variable is an error instead of nothing")
    model: dict[str, Any] = Field(
        default_factory=dict, description="Defaults for the call: provider, model, temperature…"
    )
    context: str | None = None
    examples: tuple[Example, ...] = ()
    tags: tuple[str, ...] = Field(default=(), max_length=50)

    def fingerprint(self) -> str:
        """SHA-256 of the canonical form, in hexadecimal."""
        fields = self.model_dump(mode="json", exclude_defaults=True)
        return hashlib.sha256(orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)).hexdigest()

    def variables_schema(self) -> dict[str, Any]:
        """JSON Schema of the variables."""
        return {
            "type": "object",
            "properties": {name: found.json_schema() for name, found in self.variables.items()},
            "required": [name for name, found in self.variables.items() if found.required and found.default is None],
        }


class PromptVersion(_Value):
    """One published state. `content` and `system` are flat: what they include is in them. `includes`: id → version."""

    version: int
    spec: PromptSpec
    content: str
    system: str | None
    includes: dict[str, int]
    sha256: str = Field(description="Of the flat texts, the variables and the defaults: what a render depends on")
    created_at: datetime
    created_by: str | None
    comment: str | None

    @property
    def reference(self) -> str:
        """`id@version`: what an answer of a model is linked to."""
        return f"{self.spec.id}@{self.version}"


class Rendered(_Value):
    """The texts for a model, and which prompt they come from."""

    prompt_version: str
    sha256: str
    system: str | None
    text: str
    model: dict[str, Any]
