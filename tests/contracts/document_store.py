"""What every document store promises. Subclass it and give a `store`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

import pytest

from resources.content.analysers import analyse
from resources.content.model import (
    Document,
    DocumentSource,
    DocumentStatus,
    Link,
    MediaType,
    ParsedDocument,
    Section,
    Table,
    document_id,
    sha256_of,
)
from resources.content.spool import Spooled
from resources.errors import NotFoundError

if TYPE_CHECKING:
    from resources.content.store import DocumentStore

NOW = datetime(2026, 11, 1, 12, 30, 15, 250_000, tzinfo=UTC)


def make_document(tenant: str, name: str = "guide.md", **changes: Any) -> Document:
    uri = changes.pop("uri", f"file:///docs/{name}")
    content = changes.pop("content", name.encode())
    values: dict[str, Any] = {
        "id": document_id(uri, tenant=tenant),
        "tenant": tenant,
        "source": DocumentSource(uri=uri, name=name, requires=("python", "http"), tags=("docs",), subject="guides"),
        "media_type": MediaType.MARKDOWN,
        "sha256": sha256_of(content),
        "size_bytes": len(content),
        "status": DocumentStatus.RECEIVED,
        "received_at": NOW,
        "updated_at": NOW,
    }
    return Document(**{**values, **changes})


PARSED = ParsedDocument(
    media_type=MediaType.MARKDOWN,
    text="Títle 🎉\n\nشيء من النص and 漢字. Words make sentences. Sentences make documents.",
    title="Títle 🎉",
    author="Ada",
    encoding="utf-8",
    sections=(Section(title="Títle 🎉", level=1, start=0, end=70),),
    links=(Link(kind="external", url="https://example.org/?a=b&c='d'", text="x"),),
    tables=(Table(header=("a",), rows=(("1",), ("2",))),),
    code=((10, 14),),
    metadata={"nested": {"list": [1, 2.5, None, True, "x"]}},
)


class DocumentStoreContract:
    @pytest.fixture
    def store(self) -> DocumentStore:
        raise NotImplementedError

    def test_a_document_that_is_removed_takes_its_text_along_and_may_come_again(
        self, store: DocumentStore, tenant: str
    ) -> None:
        for one in (tenant, f"{tenant}-other"):
            store.save(make_document(one))
        document = make_document(tenant)
        store.save_parsed(document.id, document.sha256, PARSED, tenant=tenant)
        assert store.remove(document.id, tenant=tenant)
        assert not store.remove(document.id, tenant=tenant)
        for asked in (store.get, store.get_parsed):
            with pytest.raises(NotFoundError):
                asked(document.id, tenant=tenant)
        assert store.counts(tenant=f"{tenant}-other") == {"received": 1}
        store.save(document)
        with pytest.raises(NotFoundError):
            store.get_parsed(document.id, tenant=tenant)

    def test_bytes_come_back_as_they_were(self, store: DocumentStore, tenant: str) -> None:
        content = bytes(range(256)) * 40 + tenant.encode()
        sha256 = store.put_blob(content, tenant=tenant)
        assert sha256 == sha256_of(content)
        assert store.get_blob(sha256, tenant=tenant) == content

    def test_bytes_in_a_file_come_back_as_they_were(self, store: DocumentStore, tenant: str) -> None:
        content = (bytes(range(256)) * 5000 + tenant.encode()) * 2
        for _ in range(2):
            with TemporaryFile() as file:
                file.write(content)
                assert store.put_blob(Spooled.measured(file), tenant=tenant) == sha256_of(content)
        assert store.get_blob(sha256_of(content), tenant=tenant) == content
        assert b"".join(store.blob_pieces(sha256_of(content), tenant=tenant)) == content

    def test_the_same_bytes_can_be_stored_again(self, store: DocumentStore, tenant: str) -> None:
        content = tenant.encode()
        assert store.put_blob(content, tenant=tenant) == store.put_blob(content, tenant=tenant)

    def test_bytes_that_nobody_names_are_swept_and_others_stay(self, store: DocumentStore, tenant: str) -> None:
        former, shared = f"{tenant} first".encode(), f"{tenant} second".encode()
        document = make_document(tenant).model_copy(update={"sha256": store.put_blob(former, tenant=tenant)})
        store.save(document)
        store.save(document.model_copy(update={"sha256": store.put_blob(shared, tenant=tenant)}))  # a new revision
        other = make_document(f"{tenant}-other").model_copy(update={"sha256": sha256_of(shared)})
        store.put_blob(shared, tenant=other.tenant)
        store.save(other)
        store.remove(document.id, tenant=tenant)
        assert store.get_blob(sha256_of(shared), tenant=other.tenant) == shared

        store.sweep()
        assert (
            store.get_blob(sha256_of(former), tenant=tenant) == former
        )  # stored just now: its document may be on the way
        assert store.sweep(unused=timedelta(0)) >= 1
        assert store.get_blob(sha256_of(shared), tenant=other.tenant) == shared
        with pytest.raises(NotFoundError):
            store.get_blob(sha256_of(former), tenant=tenant)

    def test_unknown_bytes_are_not_found(self, store: DocumentStore, tenant: str) -> None:
        with pytest.raises(NotFoundError):
            store.get_blob("0" * 64, tenant=tenant)
        with pytest.raises(NotFoundError):
            next(iter(store.blob_pieces("0" * 64, tenant=tenant)))

    def test_an_entry_comes_back_as_it_was(self, store: DocumentStore, tenant: str) -> None:
        document = make_document(tenant, title="A 'quoted' title", language="en", chunk_count=3, concept_count=0)
        store.save(document)
        assert store.get(document.id, tenant=tenant) == document

    def test_saving_again_replaces_the_entry(self, store: DocumentStore, tenant: str) -> None:
        store.save(make_document(tenant, title="old", chunk_count=7))
        revised = make_document(tenant, content=b"new bytes", updated_at=NOW + timedelta(days=1))
        store.save(revised)
        assert store.get(revised.id, tenant=tenant) == revised

    def test_a_tenant_does_not_see_anothers_documents(self, store: DocumentStore, tenant: str) -> None:
        document = make_document(f"{tenant}-other")
        store.save(document)
        with pytest.raises(NotFoundError):
            store.get(document.id, tenant=tenant)
        assert list(store.list(tenant=tenant)) == []
        assert store.counts(tenant=tenant) == {}
        assert store.find_by_content(document.sha256, tenant=tenant) is None
        with pytest.raises(NotFoundError):
            store.set_status(document.id, DocumentStatus.READY, tenant=tenant, now=NOW)

    def test_the_owner_of_a_document_is_told(self, store: DocumentStore, tenant: str) -> None:
        document = make_document(tenant)
        store.save(document)
        assert store.owner(document.id) == tenant
        with pytest.raises(NotFoundError):
            store.owner(f"{document.id}-not")

    def test_a_document_is_found_by_its_bytes(self, store: DocumentStore, tenant: str) -> None:
        document = make_document(tenant)
        store.save(document)
        assert store.find_by_content(document.sha256, tenant=tenant) == document

    def test_a_rejected_document_is_not_found_by_its_bytes(self, store: DocumentStore, tenant: str) -> None:
        document = make_document(tenant, status=DocumentStatus.REJECTED)
        store.save(document)
        assert store.find_by_content(document.sha256, tenant=tenant) is None

    def test_paging_shows_every_document_once(self, store: DocumentStore, tenant: str) -> None:
        documents = [make_document(tenant, f"page-{number}.md") for number in range(7)]
        for document in documents:
            store.save(document)
        seen: list[str] = []
        while page := store.list(tenant=tenant, after=seen[-1] if seen else None, limit=3):
            seen += [document.id for document in page]
        assert seen == sorted(document.id for document in documents)

    def test_the_list_can_show_one_status(self, store: DocumentStore, tenant: str) -> None:
        ready, received = make_document(tenant, "a.md", status=DocumentStatus.READY), make_document(tenant, "b.md")
        store.save(ready)
        store.save(received)
        assert list(store.list(tenant=tenant, status=DocumentStatus.READY)) == [ready]

    def test_documents_are_counted_by_status(self, store: DocumentStore, tenant: str) -> None:
        for number in range(3):
            status = DocumentStatus.READY if number else DocumentStatus.REJECTED
            store.save(make_document(tenant, f"{number}.md", status=status))
        assert store.counts(tenant=tenant) == {"ready": 2, "rejected": 1}

    def test_a_new_status_leaves_unknown_values_alone(self, store: DocumentStore, tenant: str) -> None:
        document = make_document(tenant, title="Guide", language="en")
        store.save(document)
        later = NOW + timedelta(minutes=1)
        store.set_status(document.id, DocumentStatus.EMBEDDED, tenant=tenant, now=later, chunk_count=4)
        expected = document.model_copy(
            update={"status": DocumentStatus.EMBEDDED, "updated_at": later, "chunk_count": 4}
        )
        assert store.get(document.id, tenant=tenant) == expected

    def test_what_is_rejected_can_be_left_so(self, store: DocumentStore, tenant: str) -> None:
        document = make_document(tenant)
        store.save(document)
        store.set_status(document.id, DocumentStatus.REJECTED, tenant=tenant, now=NOW, rejection_code="bad")
        store.set_status(document.id, DocumentStatus.EMBEDDED, tenant=tenant, now=NOW, unless_rejected=True)
        found = store.get(document.id, tenant=tenant)
        assert (found.status, found.rejection_code) == (DocumentStatus.REJECTED, "bad")
        with pytest.raises(NotFoundError):
            store.set_status("nothing", DocumentStatus.EMBEDDED, tenant=tenant, now=NOW, unless_rejected=True)

    def test_a_rejection_is_forgotten_when_the_document_moves_on(self, store: DocumentStore, tenant: str) -> None:
        document = make_document(tenant)
        store.save(document)
        store.set_status(
            document.id,
            DocumentStatus.REJECTED,
            tenant=tenant,
            now=NOW,
            rejection_code="PARSE_ERROR",
            rejection_reason="It is broken.",
        )
        assert store.get(document.id, tenant=tenant).rejection_code == "PARSE_ERROR"
        store.set_status(document.id, DocumentStatus.PARSED, tenant=tenant, now=NOW)
        after = store.get(document.id, tenant=tenant)
        assert (after.rejection_code, after.rejection_reason) == (None, None)

    def test_parsed_text_comes_back_as_it_was(self, store: DocumentStore, tenant: str) -> None:
        document = make_document(tenant)
        store.save(document)
        store.save_parsed(document.id, document.sha256, PARSED, tenant=tenant)
        assert store.get_parsed(document.id, tenant=tenant) == (document.sha256, PARSED)

    def test_the_parsed_text_of_a_new_revision_replaces_the_old(self, store: DocumentStore, tenant: str) -> None:
        document = make_document(tenant)
        store.save(document)
        store.save_parsed(document.id, document.sha256, PARSED, tenant=tenant)
        revised = PARSED.model_copy(update={"title": "New"})
        store.save_parsed(document.id, "ab" * 32, revised, tenant=tenant)
        assert store.get_parsed(document.id, tenant=tenant) == ("ab" * 32, revised)

    def test_an_analysis_comes_back_as_it_was(self, store: DocumentStore, tenant: str) -> None:
        document = make_document(tenant)
        store.save(document)
        analysis = analyse(PARSED)
        store.save_analysis(document.id, document.sha256, analysis, tenant=tenant)
        assert store.get_analysis(document.id, tenant=tenant) == (document.sha256, analysis)

    def test_results_that_are_not_there_yet_are_not_found(self, store: DocumentStore, tenant: str) -> None:
        document = make_document(tenant)
        store.save(document)
        with pytest.raises(NotFoundError):
            store.get_parsed(document.id, tenant=tenant)
        with pytest.raises(NotFoundError):
            store.get_analysis(document.id, tenant=tenant)

    def test_results_of_an_unknown_document_are_refused(self, store: DocumentStore, tenant: str) -> None:
        with pytest.raises(NotFoundError):
            store.save_parsed("no-such", "ab" * 32, PARSED, tenant=tenant)
        with pytest.raises(NotFoundError):
            store.save_analysis("no-such", "ab" * 32, analyse(PARSED), tenant=tenant)
