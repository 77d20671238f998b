from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from resources.content.ingestion import EmbedOutcome, analyse_step, embed_step, parse_step
from resources.content.model import Document, DocumentStatus
from resources.errors import InvalidInputError, NotFoundError, PlatformError
from tests.resources.content.doubles import TENANT, CountingEmbedder, World, source

if TYPE_CHECKING:
    from resources.content.parsers import ParseLimits

CONTENT = (
    "# Guide\n\n" + "An event loop runs tasks. A task waits for events. " * 40 + "\n\n# End\n\nLast words."
).encode()


@pytest.fixture
def world() -> World:
    return World()


def receive(world: World, content: bytes = CONTENT, name: str = "guide.md") -> str:
    return world.intake.receive(source(name), content, tenant=TENANT).document.id


def parse(world: World, document_id: str, **changes: ParseLimits) -> Document:
    return parse_step(
        document_id, documents=world.documents, events=world.events, tenant=TENANT, now=world.clock(), **changes
    ).document


def embed(world: World, document_id: str, embedder: CountingEmbedder | None = None) -> EmbedOutcome:
    return embed_step(
        document_id,
        documents=world.documents,
        index=world.index,
        embedder=embedder or world.embedder,
        tenant=TENANT,
        now=world.clock(),
        target=300,
        overlap=30,
    )


def test_the_steps_move_a_document_on(world: World) -> None:
    document_id = receive(world)
    parsed = parse(world, document_id)
    assert (parsed.status, parsed.title) == (DocumentStatus.PARSED, "Guide")
    analysed = analyse_step(document_id, documents=world.documents, tenant=TENANT, now=world.clock()).document
    assert (analysed.status, analysed.language) == (DocumentStatus.ANALYSED, "en")
    assert analysed.concept_count
    outcome = embed(world, document_id)
    done = world.documents.get(document_id, tenant=TENANT)
    assert (done.status, done.chunk_count) == (DocumentStatus.EMBEDDED, outcome.chunks)
    assert outcome.embedded + outcome.reused == outcome.chunks == world.index.count(tenant=TENANT) > 3


def test_steps_that_were_done_are_not_done_again(world: World) -> None:
    document_id = receive(world)
    parse(world, document_id)
    analyse_step(document_id, documents=world.documents, tenant=TENANT, now=world.clock())
    embed(world, document_id)
    asked = len(world.embedder.seen)
    again = parse_step(document_id, documents=world.documents, events=world.events, tenant=TENANT, now=world.clock())
    assert not again.changed
    assert not analyse_step(document_id, documents=world.documents, tenant=TENANT, now=world.clock()).changed
    outcome = embed(world, document_id)
    assert (outcome.changed, outcome.embedded, outcome.reused) == (False, 0, outcome.chunks)
    assert len(world.embedder.seen) == asked
    assert world.documents.get(document_id, tenant=TENANT).status is DocumentStatus.EMBEDDED


def test_a_new_revision_embeds_only_what_is_new(world: World) -> None:
    document_id = receive(world)
    parse(world, document_id)
    embed(world, document_id)
    receive(world, CONTENT + b"\n\n# New\n\n" + b"Nothing like this was said before. " * 6)
    parse(world, document_id)
    outcome = embed(world, document_id)
    assert outcome.changed
    assert 0 < outcome.embedded < outcome.chunks / 2
    assert outcome.reused == outcome.chunks - outcome.embedded


def test_another_model_embeds_everything_anew(world: World) -> None:
    document_id = receive(world)
    parse(world, document_id)
    chunks = embed(world, document_id).chunks
    other = CountingEmbedder("counting@2")
    outcome = embed(world, document_id, other)
    assert (outcome.changed, outcome.chunks) == (True, chunks)
    assert len(other.seen) == outcome.embedded > 0


def test_equal_passages_are_embedded_once(world: World) -> None:
    content = b"\n\n".join(b"# Part\n\n" + b"The very same words. " * 14 for _ in range(5))
    document_id = receive(world, content)
    parse(world, document_id)
    outcome = embed(world, document_id)
    assert outcome.embedded == len(set(world.embedder.seen)) == len(world.embedder.seen) < outcome.chunks


def test_a_document_that_cannot_be_read_is_rejected_with_its_code(world: World) -> None:
    document_id = receive(world, b'{"a": [1, 2', "broken.json")
    with pytest.raises(InvalidInputError) as caught:
        parse(world, document_id)
    assert caught.value.code == "PARSE_ERROR"
    document = world.documents.get(document_id, tenant=TENANT)
    assert document.status is DocumentStatus.REJECTED
    assert (document.rejection_code, document.rejection_reason) == ("PARSE_ERROR", caught.value.message)
    assert [event.type for event in world.events_of(document_id)] == ["document.received", "document.rejected"]


def test_a_bad_document_does_not_touch_its_neighbour(world: World) -> None:
    good, bad = receive(world), receive(world, b"<a><b></a>", "bad.xml")
    with pytest.raises(PlatformError):
        parse(world, bad)
    assert parse(world, good).status is DocumentStatus.PARSED


def test_a_mended_document_is_no_longer_rejected(world: World) -> None:
    document_id = receive(world, b'{"a": ', "doc.json")
    with pytest.raises(InvalidInputError):
        parse(world, document_id)
    receive(world, b'{"a": "some words"}', "doc.json")
    document = parse(world, document_id)
    assert (document.status, document.rejection_code) == (DocumentStatus.PARSED, None)


def test_steps_of_an_unknown_document_say_so(world: World) -> None:
    with pytest.raises(NotFoundError):
        parse(world, "no-such")
    document_id = receive(world)
    with pytest.raises(NotFoundError):
        analyse_step(document_id, documents=world.documents, tenant=TENANT, now=world.now)
    with pytest.raises(NotFoundError):
        embed(world, document_id)
