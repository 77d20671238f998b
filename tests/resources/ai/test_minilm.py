from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from resources.ai import minilm
from resources.ai.minilm import BATCH_TOKENS, MAX_BATCH, MAX_TOKENS, MiniLmEmbedder
from resources.errors import UnavailableError
from tests.contracts.embedder import EmbedderContract

if TYPE_CHECKING:
    from resources.ai.embedder import Embedder

_EMBEDDER = MiniLmEmbedder()


def _embed_in_child(text: str) -> list[float]:
    return [float(value) for value in _EMBEDDER.embed([text])[0]]


class TestMiniLm(EmbedderContract):
    @pytest.fixture
    def embedder(self) -> Embedder:
        return _EMBEDDER

    def test_meanings_count_not_words(self, embedder: Embedder) -> None:
        question, answer, unrelated = embedder.embed(
            ["How do I fix a flat tyre?", "Repairing a puncture on your bicycle wheel", "How do I fix a stew?"]
        )
        assert question @ answer > question @ unrelated

    def test_vectors_are_the_pinned_ones(self, embedder: Embedder) -> None:
        vector = embedder.embed(["A cat sat on the mat."])[0]
        np.testing.assert_allclose(vector[:4], [0.116846, -0.022890, -0.035028, 0.053322], atol=1e-3)

    def test_text_beyond_the_window_is_cut_off(self, embedder: Embedder) -> None:
        short, long = embedder.embed(["word " * MAX_TOKENS, "word " * MAX_TOKENS + "and something else entirely"])
        np.testing.assert_allclose(short, long, atol=1e-6)

    def test_threads_share_one_embedder(self) -> None:
        embedder = MiniLmEmbedder()
        with ThreadPoolExecutor(4) as pool:
            first, *others = pool.map(lambda _: embedder.embed(["shared"]), range(4))
        for other in others:
            np.testing.assert_array_equal(first, other)

    @pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
    def test_a_forked_child_embeds_with_a_model_of_its_own(self, embedder: Embedder) -> None:
        expected = embedder.embed(["fork"])[0]
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
            vector = pool.submit(_embed_in_child, "fork").result(timeout=60)
        np.testing.assert_allclose(vector, expected, atol=1e-6)


def test_a_model_with_another_digest_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minilm, "MODEL_SHA256", "0" * 64)
    monkeypatch.setattr(minilm, "_verified_assets", minilm._verified_assets.__wrapped__)
    with pytest.raises(UnavailableError, match="not the pinned 0000") as caught:
        MiniLmEmbedder().embed(["text"])
    assert caught.value.code == "embedder_corrupt"


@pytest.mark.parametrize("lengths", [[], [256] * 5, [3] * 100, [256, 3, 200, 10, 10, 90]])
def test_batches_hold_every_row_once_within_their_budget(lengths: list[int]) -> None:
    batches: list[Any] = list(minilm._batches(lengths))
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) * max(lengths[row] for row in batch) <= BATCH_TOKENS
        assert len(batch) <= MAX_BATCH
