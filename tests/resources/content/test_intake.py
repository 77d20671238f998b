from __future__ import annotations

import random
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

import pytest

from resources.content.intake import DocumentIntake
from resources.content.model import DocumentStatus, MediaType, document_id, sha256_of
from resources.content.parsers import ParseLimits
from resources.content.postgres import PostgresDocumentStore
from resources.content.spool import Spooled
from resources.errors import (
    ConflictError,
    InvalidInputError,
    LimitExceededError,
    PlatformError,
    UnavailableError,
)
from resources.events.postgres import PostgresEventStore
from resources.telemetry.correlation import correlated
from tests.fixtures.office import make_epub
from tests.fixtures.pdf import make_pdf
from tests.resources.content.doubles import TENANT, World, source

if TYPE_CHECKING:
    from resources.database.postgres import Database

CONTENT = b"# Guide\n\nSome words."


@pytest.fixture
def world() -> World:
    return World()


def test_a_document_is_kept_and_announced(world: World) -> None:
    given = source(title="The guide", subject="guides", requires=("python",), tags=("docs",))
    with correlated("correlation-1234"):
        receipt = world.intake.receive(given, CONTENT, tenant=TENANT)
    assert receipt.outcome == "received"
    assert world.documents.get(receipt.document.id, tenant=TENANT) == receipt.document
    assert world.documents.get_blob(receipt.document.sha256, tenant=TENANT) == CONTENT
    (event,) = world.events_of(receipt.document.id)
    assert event.type == "document.received"
    assert event.position == receipt.position
    assert event.metadata.correlation_id == "correlation-1234"
    assert event.data == {
        "document_id": document_id(given.uri, tenant=TENANT),
        "sha256": sha256_of(CONTENT),
        "uri": given.uri,
        "name": "guide.md",
        "media_type": "text/markdown",
        "size_bytes": len(CONTENT),
        "title": "The guide",
        "subject": "guides",
        "requires": ["python"],
        "tags": ["docs"],
    }


def test_the_same_bytes_again_change_nothing(world: World) -> None:
    first = world.intake.receive(source(), CONTENT, tenant=TENANT)
    again = world.intake.receive(source(), CONTENT, tenant=TENANT)
    assert (again.outcome, again.position) == ("unchanged", None)
    assert again.document == first.document
    assert world.all_events() == ["document.received"]


def test_new_bytes_are_a_new_revision_of_the_same_document(world: World) -> None:
    first = world.intake.receive(source(), CONTENT, tenant=TENANT)
    second = world.intake.receive(source(), CONTENT + b" More.", tenant=TENANT)
    assert second.document.id == first.document.id
    assert second.document.sha256 != first.document.sha256
    assert [event.version for event in world.events_of(first.document.id)] == [1, 2]


def test_going_back_to_former_bytes_is_announced_too(world: World) -> None:
    for content in (CONTENT, CONTENT + b" More.", CONTENT):
        assert world.intake.receive(source(), content, tenant=TENANT).outcome == "received"
    assert world.all_events() == ["document.received"] * 3


def test_the_same_bytes_under_another_uri_are_refused_with_the_name_of_the_first(world: World) -> None:
    first = world.intake.receive(source("one.md"), CONTENT, tenant=TENANT)
    with pytest.raises(ConflictError) as caught:
        world.intake.receive(source("two.md"), CONTENT, tenant=TENANT)
    assert caught.value.code == "duplicate_document"
    assert caught.value.details["document_id"] == first.document.id
    assert world.all_events() == ["document.received", "document.rejected"]


def test_tenants_may_have_the_same_bytes(world: World) -> None:
    mine = world.intake.receive(source(), CONTENT, tenant=TENANT)
    theirs = world.intake.receive(source(), CONTENT, tenant="another")
    assert theirs.outcome == "received"
    assert theirs.document.id != mine.document.id


def test_a_rejected_document_can_be_sent_again(world: World) -> None:
    first = world.intake.receive(source(), CONTENT, tenant=TENANT)
    world.documents.set_status(first.document.id, DocumentStatus.REJECTED, tenant=TENANT, now=world.now)
    assert world.intake.receive(source(), CONTENT, tenant=TENANT).outcome == "received"
    assert world.documents.get(first.document.id, tenant=TENANT).status is DocumentStatus.RECEIVED


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("a.md", b"  \n", "document_empty"),
        ("a.md", random.Random(1).randbytes(2000), "document_binary"),
        ("a.zip", b"PK\x03\x04" + b"x" * 100, "UNSUPPORTED_FORMAT"),
        ("a.txt", make_pdf([["Words"]]), "content_type_mismatch"),
        ("a.pdf", make_pdf([["Words"]], encrypted=True), "document_encrypted"),
        ("a.txt", b"x" * 5001, "CONTENT_TOO_LARGE"),
    ],
)
def test_a_refusal_is_raised_and_recorded(world: World, name: str, content: bytes, code: str) -> None:
    intake = DocumentIntake(world.documents, world.events, limits=ParseLimits(max_bytes=5000), clock=world.clock)
    with pytest.raises((InvalidInputError, LimitExceededError)) as caught:
        intake.receive(source(name), content, tenant=TENANT)
    assert caught.value.code == code
    (event,) = world.events_of(document_id(source(name).uri, tenant=TENANT))
    assert event.type == "document.rejected"
    assert event.data["code"] == code
    assert event.data["sha256"] == sha256_of(content)
    assert event.data["reason"] == caught.value.message
    assert list(world.documents.list(tenant=TENANT)) == []


def test_a_pdf_that_only_talks_of_encryption_is_taken(world: World) -> None:
    content = make_pdf([["The /Encrypt key of the trailer"]])
    assert b"/Encrypt" in content
    assert world.intake.receive(source("a.pdf"), content, tenant=TENANT).document.media_type is MediaType.PDF


LINES = ("Größe und Länge. " * 60).encode() + b"\n"
LARGE = 6 * 1024 * 1024


@pytest.mark.parametrize(
    ("name", "content", "media_type"),
    [
        ("a.txt", LINES * (LARGE // len(LINES)), MediaType.TEXT),
        ("one-line.txt", "é".encode() * (LARGE // 2) + b"x", MediaType.TEXT),
        ("shifted.txt", b"x" + "漢".encode() * (LARGE // 3), MediaType.TEXT),
        ("wide.txt", ("Größe. " * (LARGE // 14)).encode("utf-16"), MediaType.TEXT),
        ("late.txt", b" " * LARGE + b"words at last", MediaType.TEXT),
        ("page", b"<!doctype html><p>" + b"word " * (LARGE // 5), MediaType.HTML),
        ("paper", make_pdf([["Words"]]).replace(b"%%EOF", b"%" + b"x" * LARGE + b"\n%%EOF"), MediaType.PDF),
        ("book", make_epub("<p>Words</p>")[:-22] + bytes(LARGE) + make_epub("<p>Words</p>")[-22:], MediaType.EPUB),
    ],
    ids=["lines", "one line", "wide characters", "UTF-16", "blank at first", "HTML", "PDF", "EPUB"],
)
def test_a_large_document_is_known_by_how_it_begins_and_ends(
    world: World, name: str, content: bytes, media_type: MediaType
) -> None:
    intake = DocumentIntake(world.documents, world.events, limits=ParseLimits(max_bytes=2 * LARGE))
    with TemporaryFile() as file:
        file.write(content)
        receipt = intake.receive(source(name), Spooled.measured(file), tenant=TENANT)
    assert receipt.document.media_type is media_type
    assert receipt.document.sha256 == sha256_of(content)
    assert receipt.document.size_bytes == len(content)


def test_a_large_document_that_is_no_text_is_refused(world: World) -> None:
    intake = DocumentIntake(world.documents, world.events, limits=ParseLimits(max_bytes=2 * LARGE))
    with pytest.raises(InvalidInputError) as caught:
        intake.receive(source("a.txt"), random.Random(1).randbytes(LARGE), tenant=TENANT)
    assert caught.value.code == "document_binary"


def test_a_file_is_kept_without_being_held_in_memory(database: Database, tenant: str) -> None:
    size = 48 * 1024 * 1024
    intake = DocumentIntake(
        PostgresDocumentStore(database), PostgresEventStore(database), limits=ParseLimits(max_bytes=size)
    )
    piece = (LINES * 1100)[: 1024 * 1024 - 1] + b"\n"
    with TemporaryFile() as file:
        for _ in range(size // len(piece)):
            file.write(piece)
        before = _memory("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # the peak is counted anew
        document = intake.receive(source("large.txt"), Spooled.measured(file), tenant=tenant).document
        grown = _memory("VmHWM") - before
    assert document.size_bytes == size
    assert grown < size // 3
    assert sha256_of(intake._documents.get_blob(document.sha256, tenant=tenant)) == document.sha256


def _memory(name: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


def test_a_refused_revision_leaves_the_good_one_alone(world: World) -> None:
    first = world.intake.receive(source(), CONTENT, tenant=TENANT)
    with pytest.raises(InvalidInputError):
        world.intake.receive(source(), b" ", tenant=TENANT)
    assert world.documents.get(first.document.id, tenant=TENANT) == first.document


def test_when_the_event_cannot_be_stored_the_document_is_not_acknowledged(world: World) -> None:
    world.events.failures = 1
    with pytest.raises(UnavailableError):
        world.intake.receive(source(), CONTENT, tenant=TENANT)
    assert world.all_events() == []
    retried = world.intake.receive(source(), CONTENT, tenant=TENANT)
    assert retried.outcome == "received"
    assert retried.position is not None
    assert world.all_events() == ["document.received"]


def test_a_refusal_counts_even_when_it_cannot_be_recorded(world: World) -> None:
    world.events.failures = 1
    with pytest.raises(PlatformError) as caught:
        world.intake.receive(source(), b"", tenant=TENANT)
    assert caught.value.code == "document_empty"


def test_what_was_acknowledged_is_in_the_database(database: Database, tenant: str) -> None:
    documents, events = PostgresDocumentStore(database), PostgresEventStore(database)
    receipt = DocumentIntake(documents, events).receive(source(), CONTENT, tenant=tenant)
    assert documents.get(receipt.document.id, tenant=tenant) == receipt.document
    (event,) = events.read_all(tenant=tenant)
    assert (event.position, event.type) == (receipt.position, "document.received")
    assert DocumentIntake(documents, events).receive(source(), CONTENT, tenant=tenant).outcome == "unchanged"
