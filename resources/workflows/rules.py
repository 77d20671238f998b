"""What holds for every name and every note in a workflow, whatever the nodes do: reserved words, sizes, banned content."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import orjson

from resources.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

MAX_METADATA_BYTES = 1_000_000
MAX_SPEC_BYTES = 4 * 1024 * 1024
MAX_TAG_LENGTH = 100
MAX_DESCRIPTION = 10_000

# Names that Dagster keeps for itself (a test compares them with the installed release), so that no node and no branch of a
# router can have them.
RESERVED = frozenset({
    "False", "None", "True", "and", "arg_dict", "as", "assert", "async", "await", "bool", "break", "class", "conf", "config",
    "context", "continue", "def", "del", "dict", "elif", "else", "except", "finally", "float", "for", "from", "global", "if",
    "import", "in", "input", "input_arg_dict", "int", "is", "lambda", "meta", "nonlocal", "not", "or", "output",
    "output_arg_dict", "pass", "raise", "return", "str", "try", "type", "while", "with", "yield",
})  # fmt: skip
PORT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

# Whole words of keys: `api_key` is refused, `monkey` is not.
_BANNED_WORDS = frozenset({"password", "token", "key", "credential", "constructor", "prototype"})
_BANNED_PARTS = (
    "__system__", "_internal_", "node_type", "_secret_", "__admin__", "__proto__", "__constructor__", "__definegetter__",
    "__definesetter__",
)  # fmt: skip
_BANNED_VALUES = (
    "<script", "javascript:", "vbscript:", "onload=", "onerror=", "onclick=", "; drop table", "union select", "rm -rf", "del /",
    "format c:", "../", "..\\", "eval(", "exec(", "system(", "__import__", "subprocess",
)  # fmt: skip


def _whole(words: Sequence[str]) -> re.Pattern[str]:
    edges = [
        (r"(?<!\w)" if word[0].isalnum() or word[0] == "_" else "")
        + re.escape(word)
        + (r"(?!\w)" if word[-1].isalnum() or word[-1] == "_" else "")
        for word in words
    ]
    return re.compile("|".join(edges), re.IGNORECASE)


_BANNED_VALUE = _whole(_BANNED_VALUES)
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def problems_of_port(path: str, name: str, what: str) -> Iterator[Problem]:
    """Whether a node or a branch can have this name."""
    if name in RESERVED:
        message = f"{name!r} is reserved by the engine and cannot name {what}"
        yield Problem(path, message, f"call it {name}_{what.rsplit(maxsplit=1)[-1]}, for example", code="reserved_name")
    yield from problems_of_name(path, name, what)


def problems_of_name(path: str, name: str, what: str) -> Iterator[Problem]:
    """Whether an expression can say the name."""
    if PORT.fullmatch(name) is None:
        yield Problem(path, f"{name!r} has to consist of letters, digits and _ to name {what}", code="field_invalid")


def problems_of_notes(path: str, metadata: Mapping[str, Any], tags: Sequence[str]) -> Iterator[Problem]:
    """What is wrong with metadata and tags."""
    try:
        size = len(orjson.dumps(metadata))
    except (TypeError, orjson.JSONEncodeError) as error:
        yield Problem(f"{path}metadata", f"is no JSON: {error}", code="field_invalid")
        return
    if size > MAX_METADATA_BYTES:
        message = f"has {size} bytes, more than {MAX_METADATA_BYTES}"
        yield Problem(f"{path}metadata", message, code="limit_exceeded")
        return
    waiting: list[tuple[str, Any]] = [(f"{path}metadata", metadata)]
    while waiting:
        where, value = waiting.pop()
        if isinstance(value, dict):
            for key, inner in value.items():
                if _is_banned_key(str(key)):
                    hint = "secrets belong into settings, and some names are the platform's own"
                    yield Problem(f"{where}.{key}", "this name is not allowed in metadata", hint, code="content_banned")
                waiting.append((f"{where}.{key}", inner))
        elif isinstance(value, list):
            waiting += [(f"{where}[{index}]", inner) for index, inner in enumerate(value)]
        elif isinstance(value, str):
            yield from _banned_value(where, value)
    for index, tag in enumerate(tags):
        where = f"{path}tags[{index}]"
        if len(tag) > MAX_TAG_LENGTH:
            yield Problem(where, f"has more than {MAX_TAG_LENGTH} characters", code="limit_exceeded")
        if not tag.strip() or _CONTROL.search(tag):
            yield Problem(where, "is blank or has control characters", code="field_invalid")
        yield from _banned_value(where, tag)


def problems_of_text(path: str, text: str) -> Iterator[Problem]:
    """Whether a description can be shown."""
    if len(text) > MAX_DESCRIPTION:
        yield Problem(path, f"has more than {MAX_DESCRIPTION} characters", code="limit_exceeded")


def _banned_value(path: str, value: str) -> Iterator[Problem]:
    found = _BANNED_VALUE.search(value)
    if found:
        yield Problem(path, f"must not contain {found[0]!r}", code="content_banned")


def _is_banned_key(key: str) -> bool:
    lowered = key.lower()
    words = {word.lower() for word in _WORDS.findall(key)}
    return bool(words & _BANNED_WORDS) or any(part in lowered for part in _BANNED_PARTS)
