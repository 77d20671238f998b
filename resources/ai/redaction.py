"""Personal data stays here: it is replaced before a request leaves, and put back into the answer.

What is found becomes a placeholder (`[[EMAIL-1]]`), the same for the same value within a request. The provider, the memo, the
ledger and captured content see placeholders only. Found are e-mail addresses, telephone numbers, IBANs (by their check digits,
ISO 13616), payment cards (by theirs, Luhn), IP addresses, and what custom patterns match. Names are not found.
"""

from __future__ import annotations

import ipaddress
import json
import re
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from resources.ai.model import Answer, ChatRequest, TextDelta, ToolCallDelta
from resources.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from resources.ai.model import Message, StreamEvent, ToolCall

_EMAIL = re.compile(
    r"(?<![\w.+-])[A-Za-z0-9](?:[\w.+-]{0,62}[\w+-])?"
    r"@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?\.[A-Za-z]{2,24}\b"
)
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b")
_CARD = re.compile(r"(?<![\w-])\d(?:[ -]?\d){12,18}(?![\w-])")
_IPV4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.]*\w)")
_IPV6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![\w:])")
_PHONE = re.compile(
    r"(?<![\w.+-])(?:\+\d{1,3}|\(?0\d{1,5}\)?|\(\d{2,5}\))(?:[ ./()-]{0,2}\d){5,12}(?![\w-])"
    r"|(?<![\w.-])\d{3}[ .-]\d{3}[ .-]\d{4}(?![\w-])"
)

_DIGITS_OF_A_PHONE = range(7, 16)
_IBAN_LENGTHS = range(15, 35)
_PLACEHOLDER: Final = re.compile(r"\[\[([A-Z0-9_]+-\d+)\]\]")
_WITH_PLACEHOLDERS: Final = re.compile(r"(\[\[[A-Z0-9_]+-\d+\]\])")
_LONGEST: Final = 64


class Redactor:
    """Finds personal data by pattern. `custom` adds kinds: a name in capitals and a regular expression."""

    def __init__(
        self,
        kinds: Collection[str] = ("EMAIL", "IBAN", "CARD", "IP", "PHONE"),
        *,
        custom: Mapping[str, str] | None = None,
    ) -> None:
        self._finders: list[tuple[str, re.Pattern[str], Callable[[str], bool]]] = []
        for kind, pattern in (custom or {}).items():
            if re.fullmatch(r"[A-Z][A-Z0-9_]{0,40}", kind) is None:
                raise InvalidInputError(f"{kind!r} is not the name of a kind of personal data: capitals, digits and _.")
            try:
                self._finders.append((kind, re.compile(pattern), bool))
            except re.error as error:
                raise InvalidInputError(f"The pattern of {kind!r} is not a regular expression: {error}.") from error
        self._finders += [finder for finder in _FINDERS if finder[0] in kinds]

    def redact(self, request: ChatRequest) -> tuple[ChatRequest, Placeholders]:
        """The request as it may leave, and what turns its answer back."""
        found = Placeholders(taken=_texts(request.messages))

        def plain(text: str) -> str:
            for kind, pattern, is_one in self._finders:
                replace = partial(_replaced, found, kind, is_one)
                parts = _WITH_PLACEHOLDERS.split(text)
                parts[::2] = [pattern.sub(replace, part) for part in parts[::2]]
                text = "".join(parts)
            return text

        messages = tuple(
            message.model_copy(
                update={"text": plain(message.text), "calls": tuple(_map_call(call, plain) for call in message.calls)}
            )
            for message in request.messages
        )
        return request.model_copy(update={"messages": messages}), found


class Placeholders:
    """What was replaced in one request."""

    def __init__(self, *, taken: str = "") -> None:
        self._taken = {match[1] for match in _PLACEHOLDER.finditer(taken)}
        self._values: dict[str, str] = {}
        self._names: dict[tuple[str, str], str] = {}
        self._counts: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._values)

    def of(self, kind: str, value: str) -> str:
        """The placeholder of a value. A name that stands in the text already is passed over."""
        if (kind, value) not in self._names:
            name = self._next(kind)
            while name in self._taken:
                name = self._next(kind)
            self._names[kind, value] = name
            self._values[name] = value
        return f"[[{self._names[kind, value]}]]"

    def restore(self, text: str) -> str:
        """The text with the values again."""
        return _PLACEHOLDER.sub(lambda match: self._values.get(match[1], match[0]), text)

    def restore_json(self, text: str) -> str:
        """The same within the strings of a piece of JSON."""

        def value(match: re.Match[str]) -> str:
            known = self._values.get(match[1])
            return match[0] if known is None else json.dumps(known, ensure_ascii=False)[1:-1]

        return _PLACEHOLDER.sub(value, text)

    def restore_answer(self, answer: Answer) -> Answer:
        if not self._values:
            return answer
        calls = tuple(
            call.model_copy(
                update={"arguments": _map_json(call.arguments, self.restore), "raw": self.restore_json(call.raw)}
            )
            for call in answer.calls
        )
        return answer.model_copy(update={"text": self.restore(answer.text), "calls": calls})

    def _next(self, kind: str) -> str:
        self._counts[kind] = self._counts.get(kind, 0) + 1
        return f"{kind}-{self._counts[kind]}"


class StreamRestorer:
    """Puts values back into a stream, where a placeholder may be cut in two by the border of a chunk.

    What might be the beginning of a placeholder is held back until the next delta or the end.
    """

    def __init__(self, placeholders: Placeholders) -> None:
        self._placeholders = placeholders
        self._held: dict[tuple[str, int], StreamEvent] = {}

    def feed(self, event: StreamEvent) -> Sequence[StreamEvent]:
        if not len(self._placeholders):
            return (event,)
        if isinstance(event, Answer):
            rest = tuple(self._held.values())
            self._held.clear()
            return (*(self._whole(held) for held in rest), self._placeholders.restore_answer(event))
        place = (type(event).__name__, getattr(event, "index", 0))
        before = self._held.pop(place, None)
        if isinstance(event, ToolCallDelta):
            before_arguments = before.arguments if isinstance(before, ToolCallDelta) else ""
            ready, held = _split(before_arguments + event.arguments)
            if held:
                self._held[place] = ToolCallDelta(index=event.index, arguments=held)
            return (event.model_copy(update={"arguments": self._placeholders.restore_json(ready)}),)
        if hasattr(event, "text"):
            ready, held = _split(getattr(before, "text", "") + event.text)
            if held:
                self._held[place] = event.model_copy(update={"text": held})
            return (event.model_copy(update={"text": self._placeholders.restore(ready)}),) if ready else ()
        self._held.clear()  # a restart: what came is void
        return (event,)

    def _whole(self, event: StreamEvent) -> StreamEvent:
        if isinstance(event, ToolCallDelta):
            return event.model_copy(update={"arguments": self._placeholders.restore_json(event.arguments)})
        if isinstance(event, TextDelta) or hasattr(event, "text"):
            return event.model_copy(update={"text": self._placeholders.restore(event.text)})
        return event


def _replaced(found: Placeholders, kind: str, is_one: Callable[[str], bool], match: re.Match[str]) -> str:
    return found.of(kind, match[0]) if is_one(match[0]) else match[0]


def _split(text: str) -> tuple[str, str]:
    """What can be shown, and what might be the beginning of a placeholder."""
    start = text.rfind("[", max(0, len(text) - _LONGEST))
    if start > 0 and text[start - 1] == "[":
        start -= 1
    if start < 0 or re.fullmatch(r"\[(\[([A-Z0-9_]*(-\d*\]?)?)?)?", text[start:]) is None:
        return text, ""
    return text[:start], text[start:]


def _texts(messages: Sequence[Message]) -> str:
    parts = [message.text for message in messages]
    parts += [call.raw + json.dumps(call.arguments) for message in messages for call in message.calls]
    return "\n".join(parts)


def _map_call(call: ToolCall, change: Callable[[str], str]) -> ToolCall:
    # what the model wrote may be no JSON at all, and is sent back as it is but for what is found in it
    return call.model_copy(update={"arguments": _map_json(call.arguments, change), "raw": change(call.raw)})


def _map_json(value: Any, change: Callable[[str], str]) -> Any:
    match value:
        case str():
            return change(value)
        case dict():
            return {change(key): _map_json(inner, change) for key, inner in value.items()}
        case list():
            return [_map_json(inner, change) for inner in value]
    return value


def _is_iban(found: str) -> bool:
    text = found.replace(" ", "")
    if len(text) not in _IBAN_LENGTHS:
        return False
    return int("".join(str(int(sign, 36)) for sign in text[4:] + text[:4])) % 97 == 1


def _is_card(found: str) -> bool:
    digits = [int(sign) for sign in found if sign.isdigit()]
    doubled = [digit * 2 - 9 * (digit > 4) for digit in digits[-2::-2]]  # noqa: PLR2004  # Luhn: the digits of the double
    return any(digits) and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _is_ip(found: str) -> bool:
    try:
        ipaddress.ip_address(found)
    except ValueError:
        return False
    return found not in {"::", "0.0.0.0"}  # noqa: S104  # nobody's address, and nothing listens


def _is_phone(found: str) -> bool:
    return sum(sign.isdigit() for sign in found) in _DIGITS_OF_A_PHONE


_FINDERS: Final = (
    ("EMAIL", _EMAIL, lambda _: True),
    ("IBAN", _IBAN, _is_iban),
    ("CARD", _CARD, _is_card),
    ("IP", _IPV6, _is_ip),
    ("IP", _IPV4, _is_ip),
    ("PHONE", _PHONE, _is_phone),
)
