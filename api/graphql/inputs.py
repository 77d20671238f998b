"""What callers send, made into models of the domain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from api import problems

if TYPE_CHECKING:
    from collections.abc import Mapping

M = TypeVar("M", bound=BaseModel)


def validated(model: type[M], values: Mapping[str, Any]) -> M:
    """The model. Raises InvalidInputError with everything that is wrong."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise problems.validation_error(error.errors()) from error
