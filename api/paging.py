"""Lists that are handed out page by page, by the place of the last item of the page before: what comes and goes moves nothing.

The next page is named in a `Link` header (RFC 8288), so that what was answered as an array still is one.
"""

from __future__ import annotations

import base64
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import orjson
from fastapi import Depends, Query, Request, Response

from resources.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import TypeVar

    Item = TypeVar("Item")
    Place = tuple[str | int, ...]

_LONGEST = 2000
_FURTHER = 4

Cursor = Annotated[
    str | None,
    Query(max_length=_LONGEST, description='What the `Link` header of the page before says, with `rel="next"`'),
]


@dataclass(slots=True)
class Page:
    """One page of a list; `next_cursor` is told when there is more."""

    request: Request
    response: Response
    limit: int
    cursor: str | None
    next_cursor: str | None = None

    def of(
        self, items: Iterable[Item], key: Callable[[Item], tuple[Any, ...]], *, newest: bool = False
    ) -> Sequence[Item]:
        """The items of the page. `key` is no two items' alike; they come in its order, or with `newest` against it.

        Raises InvalidInputError (`cursor_invalid`).
        """
        rest = self._behind(items, key, newest=newest)
        shown = rest[: self.limit]
        if len(rest) > self.limit:
            self.more(_told(_place(key(shown[-1]))))
        return shown

    def of_newest(
        self, read: Callable[[int], Sequence[Item]], key: Callable[[Item], tuple[Any, ...]]
    ) -> Sequence[Item]:
        """As `of`, for what is read from the newest on: `read` gives so many at most."""
        wanted = self.limit + 1
        while True:
            found = read(wanted)
            if len(found) < wanted or len(self._behind(found, key, newest=True)) > self.limit:
                return self.of(found, key, newest=True)
            wanted *= _FURTHER

    def more(self, cursor: str | None) -> None:
        """Say where the next page begins; None = there is none."""
        self.next_cursor = cursor
        if cursor is not None:
            following = self.request.url.include_query_params(limit=self.limit, cursor=cursor)
            self.response.headers["Link"] = f'<{following.path}?{following.query}>; rel="next"'

    def _behind(self, items: Iterable[Item], key: Callable[[Item], tuple[Any, ...]], *, newest: bool) -> list[Item]:
        ordered = sorted(items, key=lambda item: _place(key(item)), reverse=newest)
        if self.cursor is None:
            return ordered
        last = _read(self.cursor)
        try:
            if newest:
                return [item for item in ordered if _place(key(item)) < last]
            return [item for item in ordered if _place(key(item)) > last]
        except TypeError as error:
            raise _invalid() from error


def _place(key: tuple[Any, ...]) -> Place:
    return tuple(map(_plain, key))


def _plain(value: Any) -> str | int:
    match value:
        case datetime():
            return value.astimezone(UTC).isoformat(timespec="microseconds")
        case UUID():
            return str(value)
        case None:
            return ""
        case int():
            return int(value)
    return str(value)


def _told(place: Place) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(place)).decode().rstrip("=")


def _read(cursor: str) -> Place:
    try:
        place = orjson.loads(base64.urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4)))
    except ValueError as error:
        raise _invalid() from error
    if not isinstance(place, list) or not all(isinstance(each, str | int) for each in place):
        raise _invalid()
    return tuple(place)


def _invalid() -> InvalidInputError:
    return InvalidInputError("The cursor is not one of this list's.", code="cursor_invalid")


async def _page(
    request: Request,
    response: Response,
    limit: Annotated[int, Query(ge=1, le=200, description="Items at most")] = 50,
    cursor: Cursor = None,
) -> Page:
    return Page(request, response, limit, cursor)


async def _long_page(
    request: Request,
    response: Response,
    limit: Annotated[int, Query(ge=1, le=1000, description="Items at most")] = 100,
    cursor: Cursor = None,
) -> Page:
    return Page(request, response, limit, cursor)


def whole() -> Page:
    """All of a list, for callers that are no requests."""
    return Page(Request({"type": "http"}), Response(), sys.maxsize, None)


PageDep = Annotated[Page, Depends(_page)]
LongPageDep = Annotated[Page, Depends(_long_page)]
"""For lists whose callers were promised longer pages."""
