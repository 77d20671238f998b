"""From bytes to a parsed document: find the format, choose the parser, keep it within its limits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from resources.content.parsers import ISOLATED, VERSION, ParseLimits, read
from resources.content.parsers.base import PARSE_ERROR, TOO_LARGE
from resources.content.sandbox import parse_isolated
from resources.content.sniff import called, sniff, sniff_ends
from resources.content.spool import Spooled
from resources.errors import InvalidInputError, LimitExceededError, PlatformError

if TYPE_CHECKING:
    from collections.abc import Sized

    from resources.content.model import MediaType, ParsedDocument

_DEFAULT_LIMITS = ParseLimits()
_SMALL = 64 * 1024
"""Bytes up to which a well-behaved format is read in this process: no such document takes longer than some milliseconds."""


def parse_document(
    content: bytes | Path, *, name: str = "", declared: MediaType | None = None, limits: ParseLimits = _DEFAULT_LIMITS
) -> ParsedDocument:
    """The document in `content`, or in the file of that path, which is read elsewhere.

    `name` (for its extension) and `declared` tell the format; without, it is found out.

    A function of its arguments alone. Raises InvalidInputError (document_empty, document_binary, document_encrypted,
    document_nested_too_deep, content_type_mismatch, UNSUPPORTED_FORMAT, PARSE_ERROR) or LimitExceededError
    (CONTENT_TOO_LARGE, document_bomb, TIMEOUT).
    """
    if isinstance(content, Path):
        return _parse_file(content, name, declared, limits)
    refuse_large(content, name=name, limits=limits)
    media_type = sniff(content, name=name, declared=declared)
    if media_type in ISOLATED or len(content) > _SMALL:
        parsed = parse_isolated(media_type, content, limits=limits, name=name)
    else:
        parsed = _parse_here(media_type, content, limits, name)
    return parsed.model_copy(update={"version": VERSION})


def _parse_file(path: Path, name: str, declared: MediaType | None, limits: ParseLimits) -> ParsedDocument:
    with path.open("rb") as file:
        held = Spooled(file, path.stat().st_size, "")
        refuse_large(held, name=name, limits=limits)
        media_type = sniff_ends(*held.ends(), name=name, declared=declared)
    return parse_isolated(media_type, path, limits=limits, name=name).model_copy(update={"version": VERSION})


def refuse_large(content: Sized, *, name: str, limits: ParseLimits) -> None:
    """Raise LimitExceededError when there are more bytes than allowed."""
    if len(content) > limits.max_bytes:
        raise LimitExceededError(
            f"{called(name)} has {len(content):,} bytes; {limits.max_bytes:,} are accepted. Split it.",
            code=TOO_LARGE,
            size_bytes=len(content),
            max_bytes=limits.max_bytes,
        )


def _parse_here(media_type: MediaType, content: bytes, limits: ParseLimits, name: str) -> ParsedDocument:
    try:
        return read(media_type, content, limits=limits, name=name)
    except PlatformError:
        raise
    except Exception as error:
        raise InvalidInputError(
            f"The parser of {media_type.value} failed: {type(error).__name__}: {str(error)[:200]}", code=PARSE_ERROR
        ) from error
