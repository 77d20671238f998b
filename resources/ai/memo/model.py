"""What is kept of an answer, what it is known by, and the error of a replay that lacks one."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import orjson

from resources.ai.model import Answer, Embeddings, ReasoningDelta, Restart, TextDelta, ToolCallDelta
from resources.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from uuid import UUID

    from resources.ai.model import StreamEvent

MemoMode = Literal["off", "read_through", "record", "replay_only"]

SCHEMA = "memo-1"
"""Part of every key: raised when what adapters make of the same request, or what is kept of an answer, changes."""

_MAX_DIFFERENCES = 20
_MAX_SHOWN = 120
_KINDS: dict[str, type[TextDelta | ReasoningDelta | ToolCallDelta]] = {
    "text": TextDelta,
    "reasoning": ReasoningDelta,
    "tool": ToolCallDelta,
}


class MemoMissError(NotFoundError):
    """A replay asks for what was not recorded. `nearest` is the call whose request comes closest, if there is any."""

    default_code = "memo_miss"

    def __init__(self, fingerprint: str, *, nearest: UUID | None, differences: Sequence[str]) -> None:
        seen = (
            f"The nearest recorded request is that of call {str(nearest)!r}; it differs in:\n  "
            + "\n  ".join(differences)
            if nearest is not None
            else "Nothing of that kind is recorded."
        )
        super().__init__(
            f"No answer is recorded for the request {fingerprint[:12]!r}, and a replay makes no calls. {seen}",
            fingerprint=fingerprint,
            nearest=str(nearest) if nearest is not None else None,
            differences=list(differences),
        )
        self.nearest = nearest
        self.differences = tuple(differences)


@dataclass(frozen=True, slots=True)
class Recording:
    """An answer as it is kept: the request in canonical form, what was streamed, and the end of it."""

    request: bytes
    deltas: tuple[StreamEvent, ...]
    answer: Answer | Embeddings | str

    def to_bytes(self) -> bytes:
        match self.answer:
            case Answer():
                kind, answer = "chat", self.answer.model_dump(mode="json", exclude_defaults=True)
            case Embeddings():
                kind, answer = "embed", self.answer.model_dump(mode="json", exclude_defaults=True)
            case _:
                kind, answer = "tool", {"result": self.answer}
        deltas = [[_kind(delta), delta.model_dump(mode="json", exclude_defaults=True)] for delta in self.deltas]
        return orjson.dumps(
            {"kind": kind, "request": orjson.Fragment(self.request), "deltas": deltas, "answer": answer}
        )

    @classmethod
    def from_bytes(cls, payload: bytes) -> Recording:
        kept = orjson.loads(payload)
        answer: Answer | Embeddings | str
        match kept["kind"]:
            case "chat":
                answer = Answer.model_validate(kept["answer"])
            case "embed":
                answer = Embeddings.model_validate(kept["answer"])
            case _:
                answer = kept["answer"]["result"]
        deltas = tuple(_KINDS[kind].model_validate(delta) for kind, delta in kept["deltas"])
        return cls(orjson.dumps(kept["request"], option=orjson.OPT_SORT_KEYS), deltas, answer)


def key_of(tenant: str, endpoint: str, fingerprint: str) -> bytes:
    """What the memo knows a request by. `endpoint` tells apart servers that answer to the same provider's name."""
    return hashlib.sha256(f"{SCHEMA}\0{tenant}\0{endpoint}\0{fingerprint}".encode()).digest()


def differences(recorded: bytes, asked: bytes) -> list[str]:
    """Where two requests in canonical form differ: `path: recorded → asked`, the first of them."""
    before, after = dict(_leaves(orjson.loads(recorded))), dict(_leaves(orjson.loads(asked)))
    paths = [path for path in before | after if before.get(path) != after.get(path)]
    shown = [f"{path}: {_shown(before.get(path))} → {_shown(after.get(path))}" for path in paths[:_MAX_DIFFERENCES]]
    rest = len(paths) - len(shown)
    return [*shown, f"and {rest} more"] if rest > 0 else shown


def distance(recorded: bytes, asked: bytes) -> int:
    """How many leaves of the two requests differ."""
    before, after = dict(_leaves(orjson.loads(recorded))), dict(_leaves(orjson.loads(asked)))
    return sum(before.get(path) != after.get(path) for path in before | after)


def _kind(delta: StreamEvent) -> str:
    match delta:
        case TextDelta():
            return "text"
        case ReasoningDelta():
            return "reasoning"
        case ToolCallDelta():
            return "tool"
        case Restart() | Answer():
            raise TypeError(f"{type(delta).__name__} is no part of a recording")


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    match value:
        case dict():
            for key, inner in value.items():
                yield from _leaves(inner, f"{path}.{key}" if path else key)
        case list():
            for index, inner in enumerate(value):
                yield from _leaves(inner, f"{path}[{index}]")
        case _:
            yield path, value


def _shown(value: Any) -> str:
    text = "nothing" if value is None else orjson.dumps(value).decode()
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}… ({len(text)} characters)"
