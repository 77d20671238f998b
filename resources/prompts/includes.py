"""Partials, put in where they are named when a prompt is published: what is stored is flat, and stays what it was."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from resources.errors import InvalidInputError, Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    # id, version or None for the newest → the version and its own text, not yet flat
    Lookup = Callable[[str, int | None], tuple[int, str]]

MAX_DEPTH = 10
MAX_CHARS = 1_000_000

_INCLUDE = re.compile(r"\{\{~?>\s*(?P<id>[a-z][a-z0-9_.-]*)(?:@(?P<version>\d{1,9}))?\s*~?\}\}")
_ANY_PARTIAL = re.compile(r"\{\{\{?~?#?>")


def flatten(text: str, lookup: Lookup, *, within: tuple[str, ...] = ()) -> tuple[str, dict[str, int]]:
    """The text with everything that it includes, and the versions that were taken.

    Raises InvalidInputError for a circle, more than MAX_DEPTH levels or MAX_CHARS characters, and partials with arguments;
    NotFoundError (from `lookup`) for what does not exist.
    """
    taken: dict[str, int] = {}
    parts: list[str] = []
    size, end = 0, 0
    for found in _INCLUDE.finditer(text):
        wanted = found["id"]
        if wanted in within:
            circle = " → ".join([*within[within.index(wanted) :], wanted])
            raise _refused("circular_include", wanted, f"The prompts include each other: {circle}.")
        if len(within) >= MAX_DEPTH:
            raise _refused("include_depth", wanted, f"Includes are nested more than {MAX_DEPTH} deep.")
        version, inner = lookup(wanted, int(found["version"]) if found["version"] else None)
        flat, below = flatten(inner, lookup, within=(*within, wanted))
        for name, number in {**below, wanted: version}.items():
            if taken.setdefault(name, number) != number:
                reason = f"Two versions of {name!r} would be included: {taken[name]} and {number}."
                raise _refused("include_versions", name, reason)
        parts += [text[end : found.start()], flat]
        size += len(flat)
        if size > MAX_CHARS:
            raise _refused(
                "prompt_too_large", wanted, f"With its includes the prompt exceeds {MAX_CHARS:,} characters."
            )
        end = found.end()
    parts.append(text[end:])
    rest = _ANY_PARTIAL.search("".join(parts))
    if rest is not None:
        raise _refused("partial_form", rest.group(), "Partials are written {{> id}} or {{> id@3}}, without arguments.")
    return "".join(parts), taken


def _refused(code: str, what: str, message: str) -> InvalidInputError:
    return InvalidInputError(message, code=code, problems=(Problem("content", message, f"look at {what!r}"),))
