"""A provider that answers what it was told to: for tests, and for demonstrations that must come out the same.

Each call takes the next line of the script: an answer, an error to raise, or a function of the request that gives either. Text is
streamed word by word. `requests` is the journal of what was asked. Its answers are simulated and say so.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from resources.ai.model import Answer, ChatRequest, TextDelta, ToolCallDelta
from resources.ai.provider import ProviderRefusedError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable

    from resources.ai.model import StreamEvent

NOTICE: Final = "scripted, not an AI model"

Said = Answer | Exception
Line = Said | Callable[[ChatRequest], Said]

_PIECE = re.compile(r"\s*\S+|\s+\Z")


class ScriptedProvider:
    """Says its lines in order. Raises ProviderRefusedError (`script_exhausted`) when there are no more."""

    def __init__(self, script: Iterable[Line] = (), *, name: str = "scripted") -> None:
        self.name: Final = name
        self.requests: list[ChatRequest] = []
        self._script = list(script)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[StreamEvent]:
        said = self._said(request)
        if isinstance(said, Exception):
            raise said
        for piece in _PIECE.findall(said.text):
            yield TextDelta(text=piece)
        for index, call in enumerate(said.calls):
            yield ToolCallDelta(index=index, id=call.id, name=call.name, arguments=call.raw)
        yield said.model_copy(update={"simulated": True, "notice": NOTICE})

    async def close(self) -> None:
        """Nothing is held."""

    def _said(self, request: ChatRequest) -> Said:
        self.requests.append(request)
        if len(self.requests) > len(self._script):
            return ProviderRefusedError(
                f"The script of {self.name!r} has {len(self._script)} lines; this call is number {len(self.requests)}.",
                code="script_exhausted",
            )
        line = self._script[len(self.requests) - 1]
        return line(request) if callable(line) else line
