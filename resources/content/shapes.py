"""What every chunk index checks and gives alike: vectors of the right shape, one dimension a model, models that never mix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from resources.content.model import SearchHit
from resources.errors import ConflictError, InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from resources.content.model import Chunk
    from resources.content.retrieval.model import FoundChunk

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


def check_model(model_id: str, *, other: str | None) -> None:
    """Raise ConflictError when all that there is has vectors of another model: none of them can be compared."""
    if other is not None:
        raise ConflictError(
            f"The passages have vectors of the model {other!r}, the question has one of {model_id!r}: these cannot be compared. "
            "Embed the documents anew (`aiw documents reembed`), or search by words.",
            code="embedding_model_changed",
            model=model_id,
            indexed=other,
        )


def nearest_hit(found: FoundChunk) -> SearchHit:
    """The passage as one found by meaning alone, with the cosine as its score."""
    fields = {name: getattr(found, name) for name in SearchHit.model_fields}
    return SearchHit(**{**fields, "score": found.similarity})
