"""The port of text generation, as small as the offline provider needs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from collections.abc import Sequence


class Generated(BaseModel):
    """A text and where it comes from. `simulated` is true when no AI model wrote it; every face shows `notice` then."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str
    provider: str
    model: str
    simulated: bool
    notice: str | None = Field(default=None, description="What a reader must be told about the text's origin")
    passages_used: tuple[int, ...] = Field(default=(), description="Indexes of the passages that the text rests on")


class TextGenerator(Protocol):
    """Writes a text in answer to a prompt, resting on the passages that it is given."""

    @property
    def model_id(self) -> str: ...

    def generate(self, prompt: str, *, passages: Sequence[str]) -> Generated:
        """Raises InvalidInputError when there is nothing to write from."""
