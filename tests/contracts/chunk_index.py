"""What every chunk index promises. Subclass it and give an `index`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pytest

from resources.content.model import Chunk, MediaType, sha256_of
from resources.content.retrieval.model import POOL, Facts, Filters, Found, Wanted
from resources.errors import ConflictError, InvalidInputError

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

    # --- by words, by meaning, or both ------------------------------------------------------------------------------

    def write(self, index: ChunkIndex, tenant: str, document: str, *texts: str, facts: Facts | None = None) -> None:
        """Passages whose vectors are those of their numbers: the first is nearest to `unit(0)`, and so on."""
        index.replace(
            document, make_chunks(*texts), unit(*range(len(texts))), model_id=MODEL, title=document, tenant=tenant
        )
        if facts is not None:
            index.describe(document, facts, tenant=tenant)

    def ask(
        self, index: ChunkIndex, tenant: str, text: str | None = None, near: int | None = None, **more: object
    ) -> Found:
        vector = None if near is None else unit(near)[0]
        return index.find(Wanted(text=text, vector=vector, model_id=MODEL, **more), tenant=tenant)  # type: ignore[arg-type]

    def test_words_are_found_in_their_other_forms(self, index: ChunkIndex, tenant: str) -> None:
        self.write(index, tenant, "doc", "Kettles boil water.", "A boat on the river.", "Nothing of the kind.")
        hits = self.ask(index, tenant, "boiling kettle").hits
        assert [(hit.ordinal, hit.place_by_words, hit.place_by_meaning, hit.score) for hit in hits] == [
            (0, 1, None, 1.0)
        ]

    def test_a_passage_with_the_rarer_word_comes_first(self, index: ChunkIndex, tenant: str) -> None:
        common = [f"The gardens of town number {number} are wide." for number in range(8)]
        self.write(index, tenant, "doc", *common, "Orchids grow in wide gardens.", "Gardens, gardens, gardens.")
        hits = self.ask(index, tenant, "gardens with orchids").hits
        assert hits[0].ordinal == 8
        assert len(hits) == 10

    def test_a_title_counts_as_words_of_its_passages(self, index: ChunkIndex, tenant: str) -> None:
        self.write(index, tenant, "Lighthouses", "They stand at the sea.")
        self.write(index, tenant, "Mills", "They stand in the wind.")
        assert [hit.document_id for hit in self.ask(index, tenant, "lighthouse").hits] == ["Lighthouses"]

    def test_a_question_without_words_finds_nothing_by_words(self, index: ChunkIndex, tenant: str) -> None:
        self.write(index, tenant, "doc", "Kettles boil water.")
        for text in ("the of and", "?!", "' \\ : & | ! <-> *"):
            assert self.ask(index, tenant, text).hits == ()

    def test_what_is_first_in_both_lists_comes_first_with_the_full_score(self, index: ChunkIndex, tenant: str) -> None:
        self.write(index, tenant, "doc", "A kettle boils.", "A kettle, a kettle and tea.", "A boat.", "A river.")
        hits = self.ask(index, tenant, "kettle with tea", near=1).hits
        assert hits[0].ordinal == 1
        assert hits[0].score == pytest.approx(1.0)
        assert (hits[0].place_by_words, hits[0].place_by_meaning) == (1, 1)
        assert hits[0].similarity == pytest.approx(1.0, abs=1e-3)
        assert len(hits) == 4
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)

    def test_what_only_one_list_knows_is_found_too(self, index: ChunkIndex, tenant: str) -> None:
        self.write(index, tenant, "old", "An orchid.")
        index.replace("new", make_chunks("A rose."), unit(7), model_id="new-model", title=None, tenant=tenant)
        hits = self.ask(index, tenant, "rose", near=0).hits
        assert {(hit.document_id, hit.similarity is None) for hit in hits} == {("old", False), ("new", True)}

    def test_pages_follow_each_other_without_gap_or_repetition(self, index: ChunkIndex, tenant: str) -> None:
        self.write(index, tenant, "doc", *(f"Passage {number} about kettles." for number in range(25)))
        whole = self.ask(index, tenant, "kettles", near=3, limit=100)
        pages = [self.ask(index, tenant, "kettles", near=3, limit=10, offset=offset) for offset in (0, 10, 20, 30)]
        assert [len(page.hits) for page in pages] == [10, 10, 5, 0]
        assert [hit.ordinal for page in pages for hit in page.hits] == [hit.ordinal for hit in whole.hits]
        assert [page.total for page in pages] == [25, 25, 25, 0]

    def test_there_are_no_more_than_the_pools_hold(self, index: ChunkIndex, tenant: str) -> None:
        self.write(index, tenant, "doc", *(f"Passage {number} about kettles." for number in range(POOL + 20)))
        assert self.ask(index, tenant, "kettles").total == POOL

    FACTS = (
        Facts(media_type="text/html", language="en", difficulty="beginner", quality=0.9, tags=("tea", "home")),
        Facts(media_type="text/html", language="de", difficulty="expert", quality=0.4, tags=("tea",)),
        Facts(media_type="text/plain", received_at=datetime(2026, 5, 1, tzinfo=UTC)),
    )

    @pytest.mark.parametrize(
        ("filters", "expected"),
        [
            (Filters(types=(MediaType.HTML,)), "ab"),
            (Filters(types=(MediaType.HTML, MediaType.TEXT)), "abc"),
            (Filters(languages=("de",)), "b"),
            (Filters(difficulties=("beginner", "expert")), "ab"),
            (Filters(tags=("tea",)), "ab"),
            (Filters(tags=("tea", "home")), "a"),
            (Filters(min_quality=0.9), "a"),
            (Filters(since=datetime(2026, 5, 1, tzinfo=UTC)), "c"),
            (Filters(until=datetime(2026, 5, 1, tzinfo=UTC)), ""),
            (Filters(documents=("a", "x")), "a"),
            (Filters(without=("a",)), "bc"),
            (Filters(tags=("tea",), min_quality=0.1, languages=("de",)), "b"),
            (Filters(), "abc"),
        ],
    )
    @pytest.mark.parametrize(("text", "near"), [("kettle", None), (None, 0), ("kettle", 0)])
    def test_a_filter_holds_for_each_way_of_searching(
        self, index: ChunkIndex, tenant: str, filters: Filters, expected: str, text: str | None, near: int | None
    ) -> None:
        for name, facts in zip("abc", self.FACTS, strict=True):
            self.write(index, tenant, name, f"The kettle of {name}.", facts=facts)
        assert sorted(hit.document_id for hit in self.ask(index, tenant, text, near, filters=filters).hits) == list(
            expected
        )

    def test_hits_and_facets_tell_what_is_known_of_the_documents(self, index: ChunkIndex, tenant: str) -> None:
        for name, facts in zip("abc", self.FACTS, strict=True):
            self.write(index, tenant, name, f"The kettle of {name}.", "Another kettle.", facts=facts)
        found = self.ask(index, tenant, "kettle", limit=1)
        assert found.hits[0].facts == self.FACTS[0]
        assert found.facets == {
            "type": {"text/html": 4, "text/plain": 2},
            "language": {"en": 2, "de": 2},
            "difficulty": {"beginner": 2, "expert": 2},
            "tags": {"tea": 4, "home": 2},
        }

    def test_what_a_document_is_known_for_outlives_a_revision_and_goes_with_it(
        self, index: ChunkIndex, tenant: str
    ) -> None:
        self.write(index, tenant, "a", "A kettle.", facts=self.FACTS[0])
        self.write(index, tenant, "a", "A kettle.", "Another one.")
        assert self.ask(index, tenant, "kettle", filters=Filters(tags=("tea",))).total == 1
        index.remove("a", tenant=tenant)
        self.write(index, tenant, "a", "A kettle.")
        assert self.ask(index, tenant, "kettle", filters=Filters(tags=("tea",))).total == 0

    def test_nothing_of_another_tenant_is_found(self, index: ChunkIndex, tenant: str) -> None:
        self.write(index, f"{tenant}-other", "doc", "A kettle.", facts=self.FACTS[0])
        self.write(index, tenant, "mine", "A boat.")
        for text, near in (("kettle", None), (None, 0), ("kettle", 0)):
            found = self.ask(index, tenant, text, near)
            assert {hit.document_id for hit in found.hits} <= {"mine"}
            assert found.facets == {}
        assert index.centre("doc", model_id=MODEL, tenant=tenant) is None
        assert list(index.models(tenant=f"{tenant}-third")) == []

    def test_a_text_that_a_document_repeats_is_found_once_where_it_stands_first(
        self, index: ChunkIndex, tenant: str
    ) -> None:
        chunks = make_chunks("A kettle.", "A boat.", "A kettle.")
        index.replace("doc", chunks, unit(1, 2, 1), model_id=MODEL, title=None, tenant=tenant)
        assert list(index.chunks_of("doc", tenant=tenant)) == chunks
        assert [hit.ordinal for hit in self.ask(index, tenant, "kettle", near=1).hits] == [0, 1]

    def test_passages_that_move_are_found_where_they_stand_now(self, index: ChunkIndex, tenant: str) -> None:
        self.write(index, tenant, "doc", "A kettle.", "A boat.")
        chunks = make_chunks("Something new before it.", "A kettle.")
        index.replace("doc", chunks, unit(5, 0), model_id=MODEL, title="doc", tenant=tenant)
        (hit,) = self.ask(index, tenant, "kettle").hits
        assert (hit.ordinal, hit.start, hit.end) == (1, chunks[1].start, chunks[1].end)
        assert self.ask(index, tenant, "boat").hits == ()

    def test_a_new_title_is_shown_and_searched(self, index: ChunkIndex, tenant: str) -> None:
        chunks = make_chunks("They stand at the sea.")
        for title in ("Mills", "Lighthouses"):
            index.replace("doc", chunks, unit(1), model_id=MODEL, title=title, tenant=tenant)
        assert [hit.document_title for hit in self.ask(index, tenant, "lighthouse").hits] == ["Lighthouses"]
        assert self.ask(index, tenant, "mill").hits == ()

    def test_vectors_of_another_model_alone_are_refused_with_its_name(self, index: ChunkIndex, tenant: str) -> None:
        self.fill(index, tenant, "doc", 1, model="old-model")
        with pytest.raises(ConflictError, match="old-model") as caught:
            self.ask(index, tenant, near=1)
        assert caught.value.code == "embedding_model_changed"
        assert len(self.ask(index, tenant, "passage").hits) == 1

    def test_the_models_in_use_are_told_and_what_is_left_to_do(self, index: ChunkIndex, tenant: str) -> None:
        self.fill(index, tenant, "one", 1, 2, model="old-model")
        self.fill(index, tenant, "two", 3, model="old-model")
        self.fill(index, tenant, "two", 3)
        assert [(share.model_id, share.documents, share.chunks) for share in index.models(tenant=tenant)] == [
            ("old-model", 1, 2),
            (MODEL, 1, 1),
        ]
        assert list(index.outdated(model_id=MODEL, tenant=tenant)) == ["one"]
        assert list(index.outdated(model_id="third", tenant=tenant, limit=1)) == ["one"]

    def test_the_centre_of_a_document_lies_between_its_passages(self, index: ChunkIndex, tenant: str) -> None:
        self.fill(index, tenant, "doc", 1, 2)
        centre = index.centre("doc", model_id=MODEL, tenant=tenant)
        assert centre is not None
        mean = unit(1, 2).mean(axis=0)
        np.testing.assert_allclose(centre, mean / np.linalg.norm(mean), atol=1e-5)
        assert index.centre("doc", model_id="other", tenant=tenant) is None
        assert index.centre("nothing", model_id=MODEL, tenant=tenant) is None
