"""What can be asked of a text, and what the answer is."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


Share = Annotated[float, Field(ge=0, le=1)]


class Exact(_Value):
    """The text is this, but for space at its ends."""

    kind: Literal["exact"]
    expected: str
    ignore_case: bool = False


class Contains(_Value):
    """All of these are in it, and none of those; upper and lower case are the same."""

    kind: Literal["contains"]
    all: tuple[str, ...] = ()
    none: tuple[str, ...] = ()


class Matches(_Value):
    """A regular expression is found in it."""

    kind: Literal["regex"]
    pattern: str = Field(max_length=1000)


class Shape(_Value):
    """It is JSON of this JSON Schema."""

    kind: Literal["json_schema"]
    json_schema: dict[str, Any]


class Similar(_Value):
    """It means about the same: the cosine of the two texts' embeddings."""

    kind: Literal["similarity"]
    expected: str
    min: Share = 0.7


class Readable(_Value):
    """Its Flesch reading ease lies between the two (Flesch 1948)."""

    kind: Literal["readability"]
    min: float = 30
    max: float = 122


class Grounded(_Value):
    """The share of its sentences that the passages support: said there, or near in meaning (`near`, cosine) to what is."""

    kind: Literal["groundedness"]
    min: Share = 0.8
    near: Share = 0.75


class Judged(_Value):
    """A model judges it by the criteria, from 0 to 1. The call is paid, budgeted and recorded as any other."""

    kind: Literal["judge"]
    criteria: str = Field(min_length=1, max_length=4000)
    provider: str
    model: str
    min: Share = 0.7


Scorer = Annotated[
    Exact | Contains | Matches | Shape | Similar | Readable | Grounded | Judged, Field(discriminator="kind")
]


class Verdict(_Value):
    """What one scorer says. `score` is None where there is nothing to measure; `simulated`: no AI model has judged."""

    kind: str
    passed: bool
    score: float | None
    reason: str
    simulated: bool = False


class Case(_Value):
    """One input, and what must hold of the answer. Passages are put below the prompt."""

    name: str
    variables: dict[str, Any] = Field(default_factory=dict)
    text: str | None = Field(default=None, description="In place of a prompt of the library")
    passages: tuple[str, ...] = ()
    expect: tuple[Scorer, ...] = Field(min_length=1)


class GoldenSet(_Value):
    """Cases for one prompt and one model."""

    name: str
    prompt: str | None = Field(default=None, description="A prompt of the library: id, id@3 or id@label")
    provider: str = "offline"
    model: str = "offline/extractive-v1"
    cases: tuple[Case, ...] = Field(min_length=1)


class CaseResult(_Value):
    """What came of a case. `error` tells why there is no answer."""

    name: str
    passed: bool
    answer: str | None = None
    verdicts: tuple[Verdict, ...] = ()
    prompt_version: str | None = None
    cost: str | None = Field(default=None, description="US dollars paid now; null when nobody knows")
    error: str | None = None
    notice: str | None = None
