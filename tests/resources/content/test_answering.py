from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from resources.content.answering import NOTHING, Claim, checked, extract
from resources.content.model import SearchHit

if TYPE_CHECKING:
    from resources.ai.embedder import Embedder

TEA = (
    "# Tea\n\nGreen tea wants water of eighty degrees. Black tea  wants\nboiling water!\n\n"
    "An invoice that was charged twice is refunded within five days."
)


def passage(text: str = TEA, start: int = 100) -> SearchHit:
    return SearchHit(
        document_id="doc",
        document_title="Doc",
        ordinal=3,
        text=text,
        section="Tea",
        start=start,
        end=start + len(text),
        score=1,
    )


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    from resources.ai.minilm import MiniLmEmbedder

    return MiniLmEmbedder()


@pytest.mark.parametrize(
    ("question", "begins"),
    [
        ("How hot should water for green tea be?", "Green tea wants water"),
        ("When do I get my money back if I paid two times?", "An invoice that was charged twice"),
    ],
)
def test_the_sentence_that_answers_is_taken_word_for_word(embedder: Embedder, question: str, begins: str) -> None:
    answer = extract(question, [passage()], embedder)
    assert answer.found
    assert answer.sentences[0].text.startswith(begins)
    assert answer.answer.startswith(begins)
    assert "[1]" in answer.answer


def test_every_sentence_cites_where_it_stands_to_the_character(embedder: Embedder) -> None:
    answer = extract("Which water for black and green tea?", [passage()], embedder)
    assert len(answer.sentences) == 2
    for sentence in answer.sentences:
        (cited,) = sentence.citations
        assert TEA[cited.start - 100 : cited.end - 100] == cited.quote
        assert " ".join(cited.quote.split()) == sentence.text


@pytest.mark.parametrize("question", ["Who was the first person on the moon?", "?", "What is the capital of France?"])
def test_what_nothing_supports_is_not_answered(embedder: Embedder, question: str) -> None:
    answer = extract(question, [passage()], embedder)
    assert (answer.found, answer.answer, answer.sentences) == (False, NOTHING, ())


def test_without_passages_nothing_is_said(embedder: Embedder) -> None:
    assert not extract("How hot?", [], embedder).found


def test_a_sentence_that_two_passages_share_is_said_once(embedder: Embedder) -> None:
    answer = extract("How hot should water for green tea be?", [passage(), passage(start=500)], embedder)
    assert len({sentence.text for sentence in answer.sentences}) == len(answer.sentences)


def test_a_claim_of_a_model_stands_when_its_quote_does() -> None:
    claim = Claim(text="Boil it for black tea.", passage=1, quote="black tea wants boiling water")
    answer = checked([claim], [passage()])
    assert answer.answer == "Boil it for black tea. [1]"
    (cited,) = answer.sentences[0].citations
    assert cited.quote == "Black tea  wants\nboiling water" == TEA[cited.start - 100 : cited.end - 100]


@pytest.mark.parametrize(
    "claim",
    [
        Claim(text="Green tea wants ice.", passage=1, quote="green tea wants ice water"),
        Claim(text="No such passage.", passage=2, quote="Green tea wants water"),
        Claim(text="Too little to be a quote.", passage=1, quote="tea"),
    ],
    ids=["invented", "elsewhere", "too short"],
)
def test_a_claim_without_support_is_left_out_and_counted(claim: Claim) -> None:
    answer = checked([claim], [passage()])
    assert (answer.found, answer.answer, answer.dropped) == (False, NOTHING, 1)
