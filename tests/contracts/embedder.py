"""What every embedder promises. Subclass it and give an `embedder`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from resources.ai.embedder import Embedder

TEXTS = [
    "A cat sat on the mat.",
    "Dagster runs assets and keeps their lineage.",
    "",
    "短い文",
    "word " * 2000,
    "A cat sat on the mat.",
]


class EmbedderContract:
    @pytest.fixture
    def embedder(self) -> Embedder:
        raise NotImplementedError

    def test_rows_are_float32_in_the_order_of_the_texts(self, embedder: Embedder) -> None:
        vectors = embedder.embed(TEXTS)
        assert vectors.shape == (len(TEXTS), embedder.dimensions)
        assert vectors.dtype == np.float32
        np.testing.assert_array_equal(vectors[0], vectors[5])

    def test_rows_have_unit_length(self, embedder: Embedder) -> None:
        np.testing.assert_allclose(np.linalg.norm(embedder.embed(TEXTS), axis=1), 1.0, atol=1e-5)

    def test_no_texts_give_no_rows(self, embedder: Embedder) -> None:
        assert embedder.embed([]).shape == (0, embedder.dimensions)

    def test_a_text_does_not_depend_on_its_batch(self, embedder: Embedder) -> None:
        alone = np.vstack([embedder.embed([text]) for text in TEXTS])
        np.testing.assert_allclose(embedder.embed(TEXTS), alone, atol=1e-5)

    def test_the_same_text_gives_the_same_vector(self, embedder: Embedder) -> None:
        np.testing.assert_array_equal(embedder.embed(TEXTS), embedder.embed(TEXTS))

    def test_texts_that_share_words_are_closer(self, embedder: Embedder) -> None:
        base, near, far = embedder.embed(
            ["the graph database stores edges", "edges of the graph database", "bread needs flour and water"]
        )
        assert base @ near > base @ far

    def test_the_model_is_named(self, embedder: Embedder) -> None:
        assert embedder.model_id
