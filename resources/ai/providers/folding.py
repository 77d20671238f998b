"""Pieces of an answer folded into the whole."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson

from resources.ai.model import ToolCall, ToolCallDelta


def tool_call(id: str, name: str, raw: str) -> ToolCall:
    """A call from what the model wrote. No arguments at all mean an empty object; anything but a JSON object means None."""
    try:
        value: Any = orjson.loads(raw) if raw.strip() else {}
    except ValueError:
        value = None
    return ToolCall(id=id, name=name, arguments=value if isinstance(value, dict) else None, raw=raw)


def arguments_for_history(call: ToolCall) -> dict[str, Any]:
    """A call's arguments as a vendor takes them back: always an object, also where the model had written none."""
    return call.arguments if call.arguments is not None else {"malformed": call.raw}


@dataclass(slots=True)
class _Open:
    index: int
    id: str = ""
    name: str = ""
    parts: list[str] = field(default_factory=list)


class CallBuffer:
    """Tool calls that arrive in pieces, by whatever key the vendor tells them apart with."""

    def __init__(self) -> None:
        self._open: dict[object, _Open] = {}

    def add(self, key: object, *, arguments: str = "", id: str | None = None, name: str | None = None) -> ToolCallDelta:
        """Take a piece in; the delta to show for it."""
        call = self._open.get(key)
        if call is None:
            index = len(self._open)
            call = self._open[key] = _Open(index, id or f"call_{index}", name or "")
            call.parts.append(arguments)
            return ToolCallDelta(index=call.index, arguments=arguments, id=call.id, name=call.name)
        call.name = call.name or name or ""
        call.parts.append(arguments)
        return ToolCallDelta(index=call.index, arguments=arguments)

    def calls(self) -> tuple[ToolCall, ...]:
        return tuple(tool_call(call.id, call.name, "".join(call.parts)) for call in self._open.values())
