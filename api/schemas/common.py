"""What schemas of all faces are made of."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

# PostgreSQL's text has no NUL. Payloads of events are checked by the store; what ends up in a column is checked here.
Storable = Annotated[str, Field(pattern=r"^[^\x00]*$")]
Tag = Annotated[str, Field(max_length=200)]
ShortText = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]


class Strict(BaseModel):
    """What is not known is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)
