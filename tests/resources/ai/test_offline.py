from __future__ import annotations

import pytest

from resources.ai.offline import ExtractiveWriter
from resources.errors import InvalidInputError

PASSAGES = (
    "NumPy gives Python fast arrays. Arrays hold numbers of one type. The weather was fine on the day it was named.",
    "Pandas builds on arrays of NumPy. A data frame is a table with named columns.\n\nIt was first released in 2008.",
)


def test_every_sentence_is_quoted_word_for_word() -> None:
    generated = ExtractiveWriter(sentences=2).generate("Summarise.", passages=PASSAGES)
    plain = " ".join(" ".join(PASSAGES).split())
    for sentence in generated.text.split(". "):
        assert sentence.rstrip(".") in plain


def test_the_text_is_labelled_as_not_written_by_a_model() -> None:
    generated = ExtractiveWriter().generate("Summarise.", passages=PASSAGES)
    assert generated.simulated
    assert generated.model == "offline/extractive-v1"
    assert generated.notice == "rule-based, not an AI model"


def test_sentences_about_the_prompt_come_first() -> None:
    generated = ExtractiveWriter(sentences=1).generate("What is a data frame with columns?", passages=PASSAGES)
    assert generated.text == "A data frame is a table with named columns."
    assert generated.passages_used == (1,)


def test_a_sentence_in_two_passages_is_quoted_once() -> None:
    generated = ExtractiveWriter(sentences=3).generate("Summarise.", passages=["One thing.", "One thing."])
    assert generated.text == "One thing."


def test_the_order_is_that_of_the_passages() -> None:
    generated = ExtractiveWriter(sentences=10).generate("data frame", passages=PASSAGES)
    assert generated.text.startswith("NumPy gives Python fast arrays.")


@pytest.mark.parametrize("passages", [(), ("",), (" \n ", "\t")])
def test_nothing_to_write_from_is_refused(passages: tuple[str, ...]) -> None:
    with pytest.raises(InvalidInputError) as caught:
        ExtractiveWriter().generate("Summarise.", passages=passages)
    assert caught.value.code == "passages_empty"


def test_the_longest_text_is_summarised_in_no_time() -> None:
    generated = ExtractiveWriter().generate("word", passages=["word " * 200_000 + ". " + "Another sentence. " * 5_000])
    assert generated.text
