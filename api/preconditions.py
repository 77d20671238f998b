"""Changes that depend on how things are: `If-Match` (RFC 9110 §13.1.1), so that nobody overwrites what they have not seen.

What can be changed so has a strong `ETag`, made of all that its representation says.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Annotated

from fastapi import Header

from resources.errors import StaleError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from fastapi import Response
    from pydantic import BaseModel

    Thing = TypeVar("Thing")
    Model = TypeVar("Model", bound=BaseModel)

IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match", max_length=1000, description="The `ETag` that the change depends on; `*` = whatever it is"
    ),
]


def as_it_is(model: Model) -> Model:
    """The representation of what is one itself."""
    return model


def tag_of(model: BaseModel) -> str:
    """The tag of a representation."""
    return f'"{hashlib.blake2b(model.model_dump_json().encode(), digest_size=12).hexdigest()}"'


def tagged(model: Model, response: Response) -> Model:
    """The representation, with its tag in the head of the answer."""
    response.headers["ETag"] = tag_of(model)
    return model


def unless_changed(
    if_match: str | None, represent: Callable[[Thing], BaseModel], *, required: bool = False
) -> Callable[[Thing | None], None] | None:
    """For the store that changes or removes a thing, to be asked within its transaction; None = there is no condition.

    Raises for a thing that is not (or no longer) as `if_match` says: StaleError (`precondition_failed`, 412). With
    `required` also when nothing was said (`precondition_required`, 428).
    """
    if if_match is None and not required:
        return None

    def check(thing: Thing | None) -> None:
        present = None if thing is None else tag_of(represent(thing))
        if if_match is None:
            message = f"This replaces what is there: say `If-Match: {present}`, or * to do it unseen."
            raise StaleError(message, etag=present, code="precondition_required")
        accepted = [present] if if_match.strip() == "*" else [each.strip() for each in if_match.split(",")]
        if present is None or present not in accepted:
            raise StaleError("It was changed by somebody else. Read it again.", etag=present)

    return check
