"""Checks of vectors that every chunk index makes: right shape, finite, one dimension a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from resources.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from resources.content.model import Chunk

_CODE = "vector_shape"


def check_rows(chunks: Sequence[Chunk], vectors: NDArray[np.float32]) -> int:
    """The dimensions of the rows. Raises InvalidInputError unless there is one finite row for each chunk."""
    if vectors.ndim != 2 or vectors.shape[0] != len(chunks):  # noqa: PLR2004 - a matrix
        raise InvalidInputError(f"{len(chunks)} chunks came with vectors of the shape {vectors.shape}.", code=_CODE)
    if [chunk.ordinal for chunk in chunks] != list(range(len(chunks))):
        raise InvalidInputError("The chunks are not numbered 0, 1, 2 and so on.", code=_CODE)
    if vectors.size and not np.isfinite(vectors).all():
        raise InvalidInputError("The vectors hold values that are not finite.", code=_CODE)
    return int(vectors.shape[1])


def check_vector(vector: NDArray[np.float32]) -> int:
    """The dimensions of one vector. Raises InvalidInputError when it is not finite or not a vector."""
    if vector.ndim != 1 or not vector.size or not np.isfinite(vector).all():
        raise InvalidInputError(f"The query is no finite vector, but of the shape {vector.shape}.", code=_CODE)
    return int(vector.shape[0])


def check_same_dimensions(model_id: str, *, known: int, given: int) -> None:
    """Raise InvalidInputError when a model is said to have two dimensions: then two models share one name."""
    if known != given:
        raise InvalidInputError(
            f"Vectors of {model_id!r} have {known} dimensions here, not {given}. Give the other model its own id.",
            code="embedding_model_mixed",
            known=known,
            given=given,
        )
