"""Connections, after Relay's specification. Pages stay right while things come and go: a cursor names a place, not a number."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Annotated, Final, Generic, TypeVar

import strawberry

from resources.errors import InvalidInputError

T = TypeVar("T")

MAX_PAGE: Final = 100
_LONGEST_CURSOR: Final = 1000

First = Annotated[int, strawberry.argument(description=f"How many, 1 to {MAX_PAGE}")]
After = Annotated[str | None, strawberry.argument(description="The cursor that the page begins behind")]


@strawberry.federation.type(shareable=True)
class PageInfo:
    """Where a page stands. `endCursor` leads to the next one; there is no way back."""

    has_next_page: bool
    end_cursor: str | None
    has_previous_page: bool
    start_cursor: str | None


@strawberry.type
class Edge(Generic[T]):
    """One thing and its place in the list."""

    cursor: str
    node: T


@strawberry.type
class Connection(Generic[T]):
    """A page of things. `totalCount` is null where nobody counts them."""

    edges: list[Edge[T]]
    page_info: PageInfo
    total_count: int | None = None

    @strawberry.field
    def nodes(self) -> list[T]:
        """The things without their places."""
        return [edge.node for edge in self.edges]


def checked(first: int) -> int:
    """The length of a page. Raises InvalidInputError."""
    if not 1 <= first <= MAX_PAGE:
        raise InvalidInputError(f"A page holds 1 to {MAX_PAGE} things, not {first}.", code="page_size")
    return first


def encode(kind: str, place: str) -> str:
    """A cursor; `kind` names the list that it is for."""
    return base64.urlsafe_b64encode(f"{kind}:{place}".encode()).decode().rstrip("=")


def decode(kind: str, cursor: str | None) -> str | None:
    """The place that a cursor names. Raises InvalidInputError for one of another list."""
    if cursor is None:
        return None
    try:
        text = base64.b64decode(
            cursor[:_LONGEST_CURSOR] + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True
        ).decode()
    except (binascii.Error, ValueError):
        text = ""
    known, colon, place = text.partition(":")
    if not colon or known != kind or "\x00" in place:
        raise InvalidInputError(f"The cursor {cursor[:50]!r} is not one of this list's.", code="cursor_invalid")
    return place


def page(
    kind: str, found: Sequence[T], place: Callable[[T], str], *, first: int, after: str | None, total: int | None = None
) -> Connection[T]:
    """The page that begins with what was found; one more than `first` says that there is a next page."""
    edges = [Edge(cursor=encode(kind, place(one)), node=one) for one in found[:first]]
    return Connection(
        edges=edges,
        page_info=PageInfo(
            has_next_page=len(found) > first,
            end_cursor=edges[-1].cursor if edges else None,
            has_previous_page=after is not None,
            start_cursor=edges[0].cursor if edges else None,
        ),
        total_count=total,
    )


def slice_of(
    kind: str, listed: Sequence[T], place: Callable[[T], str], *, first: int, after: str | None
) -> Connection[T]:
    """A page of a list that is known as a whole. A cursor of something that has gone begins anew."""
    start = 0
    behind = decode(kind, after)
    if behind is not None:
        start = next((number + 1 for number, one in enumerate(listed) if place(one) == behind), 0)
    return page(kind, listed[start : start + first + 1], place, first=first, after=after, total=len(listed))
