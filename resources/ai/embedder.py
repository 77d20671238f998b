"""The port of embedding models: text to vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray


class Embedder(Protocol):
    """Turns texts into vectors whose cosine tells how close their meanings are.

    `model_id` names the model and its version; vectors of different ids must never be compared.
    """

    @property
    def model_id(self) -> str: ...

    @property
    def dimensions(self) -> int: ...

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Float32 rows of unit length, shape (len(texts), dimensions), in the order of `texts`.

        A text longer than the model's window is cut off there. The result does not depend on what shares the batch.
        """
