"""What every chunk index promises. Subclass it and give an `index`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from resources.content.model import Chunk, sha256_of
from resources.errors import InvalidInputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from resources.content.store import ChunkIndex

MODEL = "test-model@1"
DIMENSIONS = 384


def make_chunks(*texts: str) -> list[Chunk]:
    chunks, position = [], 0
    for ordinal, text in enumerate(texts):
        sha256 = sha256_of(text.encode())
        end = position + len(text)
        chunks.append(Chunk(ordinal=ordinal, text=text, start=position, end=end, section="S", sha256=sha256))
        position = end
    return chunks


def unit(*seeds: int, dimensions: int = DIMENSIONS) -> NDArray[np.float32]:
    """Random rows of unit length, the same for the same seeds."""
    rows = [np.random.default_rng(seed).standard_normal(dimensions) for seed in seeds]
    return np.array([row / np.linalg.norm(row) for row in rows], dtype=np.float32).reshape(len(seeds), dimensions)


class ChunkIndexContract:
    @pytest.fixture
    def index(self) -> ChunkIndex:
        raise NotImplementedError

    def fill(self, index: ChunkIndex, tenant: str, document: str, *seeds: int, model: str = MODEL) -> list[Chunk]:
        chunks = make_chunks(*(f"passage {seed} of {document}" for seed in seeds))
        index.replace(document, chunks, unit(*seeds), model_id=model, title=document.title(), tenant=tenant)
        return chunks

    def test_chunks_come_back_in_order(self, index: ChunkIndex, tenant: str) -> None:
        chunks = self.fill(index, tenant, "doc", 1, 2, 3)
        assert list(index.chunks_of("doc", tenant=tenant)) == chunks

    def test_chunks_can_be_asked_for_by_model(self, index: ChunkIndex, tenant: str) -> None:
        chunks = self.fill(index, tenant, "doc", 1)
        assert list(index.chunks_of("doc", tenant=tenant, model_id=MODEL)) == chunks
        assert list(index.chunks_of("doc", tenant=tenant, model_id="other")) == []

    def test_replacing_leaves_only_the_new_chunks(self, index: ChunkIndex, tenant: str) -> None:
        self.fill(index, tenant, "doc", 1, 2, 3)
        chunks = self.fill(index, tenant, "doc", 4)
        assert list(index.chunks_of("doc", tenant=tenant)) == chunks
        assert index.count(tenant=tenant) == 1

    def test_replacing_with_nothing_removes_the_document(self, index: ChunkIndex, tenant: str) -> None:
        self.fill(index, tenant, "doc", 1)
        index.replace("doc", [], unit(), model_id=MODEL, title=None, tenant=tenant)
        assert index.count(tenant=tenant) == 0

    def test_removing_says_how_many_there_were(self, index: ChunkIndex, tenant: str) -> None:
        self.fill(index, tenant, "doc", 1, 2)
        self.fill(index, tenant, "neighbour", 3)
        assert index.remove("doc", tenant=tenant) == 2
        assert index.remove("doc", tenant=tenant) == 0
        assert index.count(tenant=tenant) == 1

    def test_the_nearest_chunk_comes_first_with_its_cosine(self, index: ChunkIndex, tenant: str) -> None:
        self.fill(index, tenant, "doc", 1, 2, 3)
        hits = index.search(unit(2)[0], model_id=MODEL, tenant=tenant, limit=3)
        assert hits[0].ordinal == 1
        assert hits[0].score == pytest.approx(1.0, abs=1e-5)
        assert hits[1].score == pytest.approx(max(float(unit(2)[0] @ unit(n)[0]) for n in (1, 3)), abs=1e-5)
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)

    def test_a_hit_says_where_it_stands(self, index: ChunkIndex, tenant: str) -> None:
        chunks = self.fill(index, tenant, "doc", 1, 2)
        hit = index.search(unit(2)[0], model_id=MODEL, tenant=tenant, limit=1)[0]
        assert (hit.document_id, hit.document_title, hit.section) == ("doc", "Doc", "S")
        assert (hit.text, hit.start, hit.end) == (chunks[1].text, chunks[1].start, chunks[1].end)

    def test_the_limit_holds(self, index: ChunkIndex, tenant: str) -> None:
        self.fill(index, tenant, "doc", *range(30))
        assert len(index.search(unit(1)[0], model_id=MODEL, tenant=tenant, limit=7)) == 7

    def test_a_small_tenant_finds_its_own_among_anothers_many(self, index: ChunkIndex, tenant: str) -> None:
        crowd = f"{tenant}-crowd"
        target = unit(1)[0]
        near = np.array([target + 0.01 * unit(n)[0] for n in range(2, 302)], dtype=np.float32)
        near /= np.linalg.norm(near, axis=1, keepdims=True)
        chunks = make_chunks(*(f"crowd {n}" for n in range(300)))
        index.replace("crowd", chunks, near, model_id=MODEL, title=None, tenant=crowd)
        self.fill(index, tenant, "mine", 500, 501, 502)
        hits = index.search(target, model_id=MODEL, tenant=tenant, limit=5)
        assert sorted(hit.ordinal for hit in hits) == [0, 1, 2]
        assert {hit.document_id for hit in hits} == {"mine"}

    def test_tenants_do_not_share_chunks(self, index: ChunkIndex, tenant: str) -> None:
        chunks = self.fill(index, f"{tenant}-other", "doc", 1)
        assert index.count(tenant=tenant) == 0
        assert list(index.chunks_of("doc", tenant=tenant)) == []
        assert index.remove("doc", tenant=tenant) == 0
        assert index.known_vectors([chunks[0].sha256], model_id=MODEL, tenant=tenant) == {}
        assert list(index.search(unit(1)[0], model_id=MODEL, tenant=tenant)) == []

    def test_known_vectors_are_given_by_hash(self, index: ChunkIndex, tenant: str) -> None:
        chunks = self.fill(index, tenant, "doc", 1, 2)
        known = index.known_vectors([chunks[1].sha256, "0" * 64], model_id=MODEL, tenant=tenant)
        assert list(known) == [chunks[1].sha256]
        np.testing.assert_allclose(known[chunks[1].sha256], unit(2)[0], atol=1e-6)
        assert known[chunks[1].sha256].dtype == np.float32

    def test_known_vectors_are_of_one_model(self, index: ChunkIndex, tenant: str) -> None:
        chunks = self.fill(index, tenant, "doc", 1)
        assert index.known_vectors([chunks[0].sha256], model_id="other", tenant=tenant) == {}

    def test_models_never_mix_in_a_search(self, index: ChunkIndex, tenant: str) -> None:
        self.fill(index, tenant, "old", 1, model="old-model")
        self.fill(index, tenant, "new", 2)
        assert [hit.document_id for hit in index.search(unit(1)[0], model_id=MODEL, tenant=tenant)] == ["new"]

    def test_a_model_has_one_dimension(self, index: ChunkIndex, tenant: str) -> None:
        self.fill(index, tenant, "doc", 1)
        with pytest.raises(InvalidInputError) as caught:
            index.replace("other", make_chunks("x"), unit(1, dimensions=8), model_id=MODEL, title=None, tenant=tenant)
        assert caught.value.code == "embedding_model_mixed"
        with pytest.raises(InvalidInputError):
            index.search(unit(1, dimensions=8)[0], model_id=MODEL, tenant=tenant)
        assert index.count(tenant=tenant) == 1

    def test_a_model_may_have_another_dimension_than_its_neighbour(self, index: ChunkIndex, tenant: str) -> None:
        self.fill(index, tenant, "doc", 1)
        index.replace("small", make_chunks("x"), unit(5, dimensions=8), model_id="small", title=None, tenant=tenant)
        hits = index.search(unit(5, dimensions=8)[0], model_id="small", tenant=tenant)
        assert [hit.document_id for hit in hits] == ["small"]

    def test_shapes_that_do_not_fit_are_refused(self, index: ChunkIndex, tenant: str) -> None:
        with pytest.raises(InvalidInputError):
            index.replace("doc", make_chunks("a", "b"), unit(1), model_id=MODEL, title=None, tenant=tenant)
        broken = unit(1)
        broken[0, 0] = np.nan
        with pytest.raises(InvalidInputError):
            index.replace("doc", make_chunks("a"), broken, model_id=MODEL, title=None, tenant=tenant)
        assert index.count(tenant=tenant) == 0

    def test_a_refused_replacement_leaves_what_was_there(self, index: ChunkIndex, tenant: str) -> None:
        chunks = self.fill(index, tenant, "doc", 1, 2)
        with pytest.raises(InvalidInputError):
            index.replace("doc", make_chunks("x"), unit(1, dimensions=8), model_id=MODEL, title=None, tenant=tenant)
        assert list(index.chunks_of("doc", tenant=tenant)) == chunks

    def test_text_in_any_script_is_kept(self, index: ChunkIndex, tenant: str) -> None:
        chunks = make_chunks("漢字\tかな", "שלום\\n", "👩‍👩‍👧 'quoted' \"too\"")
        index.replace("doc", chunks, unit(1, 2, 3), model_id=MODEL, title="\\N", tenant=tenant)
        assert list(index.chunks_of("doc", tenant=tenant)) == chunks
