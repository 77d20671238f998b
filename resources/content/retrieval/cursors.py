"""Cursors of searches: where the next page begins, and of which search it is a page."""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import TYPE_CHECKING

import orjson

from resources.errors import InvalidInputError

if TYPE_CHECKING:
    from resources.content.retrieval.model import Filters, Mode


def fingerprint(text: str, mode: Mode, filters: Filters, *, rerank: bool) -> str:
    """The same for the pages of one search alone."""
    parts = orjson.dumps([text, mode.value, filters.model_dump(mode="json"), rerank])
    return hashlib.sha256(parts).hexdigest()[:12]


def cursor_to(offset: int, search: str) -> str:
    """A cursor to the page of the search (its fingerprint) that begins there."""
    return base64.urlsafe_b64encode(f"{offset}.{search}".encode()).decode().rstrip("=")


def offset_of(cursor: str, search: str) -> int:
    """Where the page begins. Raises InvalidInputError for a cursor of another search."""
    try:
        offset, _, owner = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode().partition(".")
        if owner == search:
            return int(offset)
    except (ValueError, binascii.Error):
        pass
    raise InvalidInputError(
        "The cursor is not one of this search. Ask without it for the first page.", code="cursor_invalid"
    )
