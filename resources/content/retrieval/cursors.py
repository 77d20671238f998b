"""Cursors of searches: where the next page begins, and of which search it is a page."""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from resources.errors import InvalidInputError

if TYPE_CHECKING:
    from resources.content.retrieval.model import Filters, Mode


@dataclass(frozen=True, slots=True)
class Pages:
    """The pages of one search alone."""

    search: str

    @classmethod
    def of(cls, text: str, mode: Mode, filters: Filters, *, rerank: bool) -> Pages:
        parts = orjson.dumps([text, mode.value, filters.model_dump(mode="json"), rerank])
        return cls(hashlib.sha256(parts).hexdigest()[:12])

    def cursor(self, offset: int) -> str:
        """To the page that begins there."""
        return base64.urlsafe_b64encode(f"{offset}.{self.search}".encode()).decode().rstrip("=")

    def offset(self, cursor: str | None) -> int:
        """Where the page begins; the first one has no cursor. Raises InvalidInputError for a cursor of another search."""
        if cursor is None:
            return 0
        try:
            offset, _, owner = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode().partition(".")
            if owner == self.search:
                return int(offset)
        except (ValueError, binascii.Error):
            pass
        raise InvalidInputError(
            "The cursor is not one of this search. Ask without it for the first page.", code="cursor_invalid"
        )
