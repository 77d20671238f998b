"""JSON as something to read: keys that hold text become headings and paragraphs, lists of like objects become tables.

The decoder (orjson) refuses more than 1,024 levels, the walk more than the limit; neither recurses in Python. Values that only
machines read (hashes, ids, encoded bytes) are left out of the text.
"""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

from resources.content.model import MediaType, ParsedDocument
from resources.content.parsers.base import ParseLimits, TextBuilder, broken, one_line, too_deep
from resources.content.parsers.encoding import decode

_TITLE_KEYS = ("title", "name", "label", "headline", "$id", "id")
_AUTHOR_KEYS = ("author", "creator", "by")
_MACHINE = re.compile(r"[0-9a-fA-F]{16,}|[0-9a-fA-F-]{36}|[A-Za-z0-9+/=_-]{40,}|(?:sha\d+|md5)[-:].*")
_WORD_BREAK = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[_\-.]+")
_TABLE_ROWS = 2
_TABLE_COLUMNS = 12


def parse(content: bytes, *, limits: ParseLimits) -> ParsedDocument:
    """Read JSON. Raises InvalidInputError when it is not JSON, or nests too deep."""
    decoded = decode(content)
    value = _load(decoded.text, limits)
    builder = TextBuilder(limits)
    _walk(builder, value)
    metadata: dict[str, Any] = {
        "root": "object" if isinstance(value, dict) else "array" if isinstance(value, list) else "value"
    }
    if isinstance(value, dict):
        metadata["keys"] = [one_line(key)[:100] for key in list(value)[:50]]
    if decoded.replaced:
        metadata["replaced_characters"] = decoded.replaced
    return builder.build(
        MediaType.JSON,
        title=_pick(value, _TITLE_KEYS),
        author=_pick(value, _AUTHOR_KEYS),
        encoding=decoded.encoding,
        metadata=metadata,
    )


def _load(text: str, limits: ParseLimits) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        if "depth" in str(error) or "recursion" in str(error).lower():
            raise too_deep(limits.max_depth) from error
        return _load_leniently(text, limits)


def _load_leniently(text: str, limits: ParseLimits) -> Any:
    """What orjson refuses and others write: NaN, Infinity, lone surrogates."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise too_deep(limits.max_depth) from error
    except ValueError as error:
        raise broken("JSON", error) from error


def _pick(value: Any, keys: tuple[str, ...]) -> str | None:
    if not isinstance(value, dict):
        return None
    for key in keys:
        found = value.get(key)
        if isinstance(found, str) and found.strip() and not _MACHINE.fullmatch(found.strip()):
            return found
    return None


def humanise(key: str) -> str:
    """`release_notesURL` → `release notes URL`."""
    return one_line(_WORD_BREAK.sub(" ", key))


def _walk(builder: TextBuilder, root: Any) -> None:
    stack: list[tuple[str, Any, int]] = [("", root, 0)]
    while stack:
        key, value, depth = stack.pop()
        if depth > builder.limits.max_depth:
            raise too_deep(builder.limits.max_depth)
        if isinstance(value, dict):
            if key:
                builder.heading(humanise(key), min(depth, 6))
            # Plain values first: what follows a heading belongs to it, up to the next heading.
            children = sorted(value.items(), key=lambda item: isinstance(item[1], (dict, list)))
            stack.extend((str(name), child, depth + 1) for name, child in reversed(children))
        elif isinstance(value, list):
            _list(builder, key, value, depth, stack)
        else:
            _scalar(builder, key, value)


def _list(builder: TextBuilder, key: str, values: list[Any], depth: int, stack: list[tuple[str, Any, int]]) -> None:
    columns = _columns(values)
    if columns:
        if key:
            builder.heading(humanise(key), min(max(depth, 1), 6))
        builder.table(map(humanise, columns), ([_shown(row.get(name)) for name in columns] for row in values))
        for row in values:
            for name in columns:
                _note_link(builder, row.get(name))
    elif not any(isinstance(value, (dict, list)) for value in values):
        for value in values:
            _note_link(builder, value)
        shown = [text for text in map(_shown, values) if text]
        separator = "\n" if any(len(text) > 60 for text in shown) else ", "  # noqa: PLR2004 - sentences, not words
        if shown:
            label = f"{humanise(key)}: " if key else ""
            builder.block(label + separator.join(shown), tight=True)
    else:
        stack.extend(
            (key if position == 0 else "", value, depth + 1) for position, value in reversed([*enumerate(values)])
        )


def _columns(values: list[Any]) -> list[str]:
    """The common columns of a list of flat objects, or none."""
    if len(values) < _TABLE_ROWS or not all(isinstance(value, dict) for value in values):
        return []
    columns = list(dict.fromkeys(name for value in values[:50] for name in value))
    flat = not any(isinstance(cell, (dict, list)) for value in values for cell in value.values())
    return columns if flat and 0 < len(columns) <= _TABLE_COLUMNS else []


def _scalar(builder: TextBuilder, key: str, value: Any) -> None:
    _note_link(builder, value)
    if text := _shown(value):
        builder.block(f"{humanise(key)}: {text}" if key else text, tight=len(text) < 200)  # noqa: PLR2004 - a paragraph


def _note_link(builder: TextBuilder, value: Any) -> None:
    if isinstance(value, str) and value.startswith(("http://", "https://", "mailto:")):
        builder.link(value)


def _shown(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case str():
            text = value.strip()
            return "" if _MACHINE.fullmatch(text) else text
        case _:
            return str(value)[:100]
