from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from resources.content.model import DocumentSource, DocumentStatus, sha256_of

if TYPE_CHECKING:
    import httpx

    from api.dependencies import Services

DOCUMENTS = "/api/v1/documents"
TEXT = b"# Guide\n\nHow to make tea: boil water, add leaves, wait.\n"


def upload(http: httpx.Client, content: bytes = TEXT, name: str = "guide.md", **query: Any) -> httpx.Response:
    return http.post(DOCUMENTS, params={"name": name, **query}, content=content)


def test_a_form_upload_is_kept_and_announced(http: httpx.Client, services: Services, tenant: str) -> None:
    answer = http.post(
        DOCUMENTS,
        files={"file": ("docs/guide.md", TEXT, "text/markdown")},
        data={"title": "Tea", "subject": "tea", "requires": ["water", "fire"], "tags": ["kitchen"]},
        headers={"X-Correlation-ID": "upload-0001"},
    )
    assert answer.status_code == 202
    document = answer.json()["document"]
    assert answer.json()["outcome"] == "received"
    assert document["source"]["name"] == "guide.md"
    assert document["source"]["requires"] == ["water", "fire"]
    assert document["source"]["tags"] == ["kitchen"]
    assert document["title"] == "Tea"
    assert services.documents.get_blob(document["sha256"], tenant=tenant) == TEXT
    [event] = services.events.read_all(tenant=tenant)
    assert event.type == "document.received"
    assert event.position == answer.json()["position"]
    assert event.data["document_id"] == document["id"]
    assert event.metadata.correlation_id == "upload-0001"


def test_the_location_leads_to_the_document(http: httpx.Client) -> None:
    answer = upload(http)
    assert http.get(answer.headers["location"]).json() == answer.json()["document"]


def test_a_raw_body_is_taken_with_its_name(http: httpx.Client) -> None:
    document = upload(http, uri="https://example.com/tea", tags=["a", "b"]).json()["document"]
    assert document["source"]["uri"] == "https://example.com/tea"
    assert document["source"]["tags"] == ["a", "b"]
    assert document["media_type"] == "text/markdown"
    assert document["sha256"] == sha256_of(TEXT)


def test_without_a_uri_the_name_is_the_identity(http: httpx.Client) -> None:
    first = upload(http).json()["document"]
    second = upload(http, TEXT + b"More.").json()["document"]
    assert first["source"]["uri"] == "upload:guide.md"
    assert first["id"] == second["id"]
    assert first["sha256"] != second["sha256"]


def test_the_same_bytes_again_change_nothing(http: httpx.Client, services: Services, tenant: str) -> None:
    first, second = upload(http), upload(http)
    assert second.status_code == 202
    assert second.json()["outcome"] == "unchanged"
    assert second.json()["document"]["id"] == first.json()["document"]["id"]
    assert len(services.events.read_all(tenant=tenant)) == 1


REFUSED = [
    (b"", "empty.md", 400, "document_empty"),
    (b"\x00\x01\x02\xff" * 500, "garbage.txt", 400, "document_binary"),
    (b"\x89PNG\r\n\x1a\n" + b"\x00" * 100, "picture.png", 400, None),
    (b"%PDF-1.7\n" + b"\x00" * 50, "wrong.json", 400, None),
]


@pytest.mark.parametrize(("content", "name", "status", "code"), REFUSED, ids=[name for _, name, _, _ in REFUSED])
def test_a_bad_document_is_refused_with_a_code_and_put_on_record(
    http: httpx.Client, services: Services, tenant: str, content: bytes, name: str, status: int, code: str | None
) -> None:
    answer = upload(http, content, name)
    assert answer.status_code == status
    problem = answer.json()
    assert problem["code"] == (code or problem["code"])
    assert problem["detail"]
    [event] = services.events.read_all(tenant=tenant)
    assert event.type == "document.rejected"
    assert event.data["code"] == problem["code"]


def test_a_bad_document_does_its_neighbours_no_harm(http: httpx.Client) -> None:
    answers = [upload(http, content, name).status_code for content, name, _, _ in REFUSED]
    assert upload(http).status_code == 202
    assert set(answers) == {400}


def test_the_same_bytes_under_another_name_are_a_conflict_that_names_the_twin(http: httpx.Client) -> None:
    first = upload(http).json()["document"]
    answer = upload(http, name="copy.md")
    assert answer.status_code == 409
    assert answer.json()["code"] == "duplicate_document"
    assert answer.json()["document_id"] == first["id"]


def test_a_document_over_the_limit_is_refused(http: httpx.Client) -> None:
    answer = upload(http, b"word " * (2 * 1024 * 1024 + 1))
    assert answer.status_code == 413
    assert answer.json()["code"] == "CONTENT_TOO_LARGE"


def test_a_body_far_over_the_limit_is_refused_unread(http: httpx.Client) -> None:
    answer = http.post(DOCUMENTS, params={"name": "a.md"}, content=(b"x" * 2**20 for _ in range(64)))
    assert answer.status_code == 413
    assert answer.json()["code"] == "CONTENT_TOO_LARGE"
    assert http.get(DOCUMENTS).json()["documents"] == []


def test_a_form_without_a_file_is_refused(http: httpx.Client) -> None:
    answer = http.post(DOCUMENTS, files={"other": ("a.md", TEXT)})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["path"] == "file"


def test_a_broken_form_is_refused(http: httpx.Client) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = http.post(DOCUMENTS, content=b"--y\r\nnonsense", headers=headers)
    assert answer.status_code in {400, 422}
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_raw_body_without_a_name_is_refused(http: httpx.Client) -> None:
    answer = http.post(DOCUMENTS, content=TEXT)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["path"] == "name"


@pytest.mark.parametrize("query", [{"uri": "x" * 3000}, {"title": "x" * 501}, {"tags": ["t"] * 51}])
def test_statements_that_are_too_long_are_refused(http: httpx.Client, query: dict[str, Any]) -> None:
    assert upload(http, **query).status_code == 422


def test_an_unknown_document_is_not_found(http: httpx.Client) -> None:
    answer = http.get(f"{DOCUMENTS}/no-such-document")
    assert answer.status_code == 404
    assert "no-such-document" in answer.json()["detail"]


def test_documents_are_listed_page_by_page(http: httpx.Client) -> None:
    ids = {
        upload(http, b"# Number %d\n\nText." % number, f"n{number}.md").json()["document"]["id"] for number in range(5)
    }
    seen: list[str] = []
    after: str | None = None
    pages = 0
    while pages == 0 or after is not None:
        page = http.get(DOCUMENTS, params={"limit": 2} | ({"after": after} if after else {})).json()
        seen += [document["id"] for document in page["documents"]]
        after = page["next_after"]
        pages += 1
    assert seen == sorted(ids)
    assert pages == 3


def test_documents_can_be_chosen_by_status(http: httpx.Client) -> None:
    upload(http)
    assert http.get(DOCUMENTS, params={"status": DocumentStatus.READY}).json()["documents"] == []
    assert len(http.get(DOCUMENTS, params={"status": "received"}).json()["documents"]) == 1
    assert http.get(DOCUMENTS, params={"status": "nonsense"}).status_code == 422


def test_one_tenant_never_sees_anothers_documents(http: httpx.Client, services: Services) -> None:
    source = DocumentSource(uri="upload:theirs.md", name="theirs.md")
    theirs = services.intake.receive(source, TEXT, tenant="t-somebody-else").document
    assert http.get(f"{DOCUMENTS}/{theirs.id}").status_code == 404
    assert http.get(DOCUMENTS).json()["documents"] == []


def test_a_document_larger_than_what_is_held_in_memory_comes_in_whole(
    http: httpx.Client, services: Services, tenant: str
) -> None:
    content = b"How to make tea: boil water, add leaves, wait.\n" * 30_000
    as_body = upload(http, content, "body.txt")
    as_file = http.post(DOCUMENTS, files={"file": ("file.txt", content + b"Drink.\n", "text/plain")})
    for answer, sent in ((as_body, content), (as_file, content + b"Drink.\n")):
        assert answer.status_code == 202
        assert answer.json()["document"]["size_bytes"] == len(sent)
        assert services.documents.get_blob(answer.json()["document"]["sha256"], tenant=tenant) == sent
