from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.content.analysers import analyse
from resources.content.analysers.lexicon import singular, syllables
from resources.content.analysers.reading import read
from resources.content.model import Analysis, MediaType, ParsedDocument
from resources.content.parse import parse_document

ARTICLE = """# Event sourcing

Event sourcing keeps every change of an application as a sequence of events. The event store is the source of truth.
An event store appends events and never changes them. Therefore a query model can be rebuilt at any time from the event store.

## Query models

A query model answers queries. Each query model follows the event store with a checkpoint. PostgreSQL is a good home for
a query model, and PostgreSQL can notify listeners. See https://example.org/event_sourcing/v1.2.3 for `store.append(event)`.

```python
def append_event(event_store, some_identifier): return event_store.append(some_identifier)
```

## Changelog

- 1.2.3: fixed the flux capacitor. The flux capacitor works. The flux capacitor is blue.

## License

Flux capacitor license. Flux capacitor license.
"""

FRENCH = (
    "Le chat est assis sur le tapis et il regarde la pluie tomber. Les enfants jouent dans le jardin avec leur chien."
)


def analysis_of(text: str, name: str = "a.md") -> Analysis:
    return analyse(parse_document(text.encode(), name=name))


def names(analysis: Analysis) -> list[str]:
    return [concept.text for concept in analysis.concepts]


def test_concepts_are_the_noun_phrases_that_the_document_is_about() -> None:
    concepts = names(analysis_of(ARTICLE))
    assert {"event store", "query model", "event sourcing", "PostgreSQL"} <= {
        name.replace("Event", "event") for name in concepts
    }
    assert concepts.index("event store") < 4


def test_concepts_hold_no_code_addresses_or_versions() -> None:
    for name in names(analysis_of(ARTICLE)):
        assert not any(mark in name for mark in ("_", "/", "(", "http", ".", "1"))


def test_what_a_change_log_and_a_licence_say_is_no_concept() -> None:
    assert not any("flux" in name.lower() for name in names(analysis_of(ARTICLE)))


def test_forms_of_one_concept_count_together() -> None:
    analysis = analysis_of(
        "The message broker is up. Message brokers are many. A message broker may fail. Message Brokers win."
    )
    (concept,) = [item for item in analysis.concepts if "broker" in item.text]
    assert (concept.text, concept.count) == ("message broker", 4)


def test_names_keep_their_spelling() -> None:
    text = "We store it in PostgreSQL. Then PostgreSQL answers, and PostgreSQL is quick. The HTTP cache and the HTTP cache."
    assert {"PostgreSQL", "HTTP cache"} <= set(names(analysis_of(text)))


def test_a_short_document_has_concepts_too() -> None:
    assert names(analysis_of("A PostgreSQL database adapter for the Python programming language."))


def test_keywords_are_at_most_fifteen_and_the_first_has_score_one() -> None:
    keywords = analysis_of(ARTICLE).keywords
    assert 5 <= len(keywords) <= 15
    assert keywords[0].score == 1
    assert [item.score for item in keywords] == sorted((item.score for item in keywords), reverse=True)


def test_the_summary_is_made_of_sentences_of_the_document() -> None:
    analysis = analysis_of(ARTICLE)
    assert len(analysis.summary) <= 500
    assert analysis.summary.startswith("Event sourcing keeps every change")
    assert "append_event" not in analysis.summary


def test_a_long_sentence_is_cut_at_a_word() -> None:
    summary = analysis_of("word " * 400).summary
    assert len(summary) <= 500
    assert summary.endswith("word…")


@pytest.mark.parametrize(
    ("text", "language"), [(ARTICLE, "en"), (FRENCH, "fr"), ("これは日本語の文章です。" * 5, "ja"), ("1 2 3", "und")]
)
def test_the_language_is_told(text: str, language: str) -> None:
    analysis = analysis_of(text)
    assert analysis.language == language
    assert (analysis.language_confidence > 0.9) is (language != "und")


def test_readability_is_the_formula_of_flesch() -> None:
    # 6 words and 6 syllables a sentence: 206.835 - 1.015 * 6 - 84.6 * 1
    assert analysis_of("The cat sat on the mat. The dog sat on the log.").readability == pytest.approx(116.15, abs=0.01)


def test_without_a_sentence_there_is_no_readability() -> None:
    assert analysis_of("# Only\n\n# Headings\n\n# Here").readability is None


def test_hard_words_are_harder_than_easy_words() -> None:
    easy = analysis_of("The cat sat on the mat. The dog ran to the cat. They had fun. " * 5)
    hard = analysis_of(
        "Asynchronous serialization of polymorphic representations necessitates sophisticated synchronization, whereas "
        "transactional consistency presupposes deterministic linearizability across geographically distributed replicas. "
        * 5
    )
    assert easy.difficulty_level == "beginner"
    assert hard.difficulty_level in {"advanced", "expert"}
    assert hard.readability is not None
    assert easy.readability is not None
    assert hard.readability < 0 < easy.readability
    assert easy.reading_seconds < hard.reading_seconds * 3


def test_a_whole_article_has_more_quality_than_a_stub() -> None:
    assert analysis_of(ARTICLE * 4).quality > analysis_of("todo: lorem ipsum, maybe").quality


def test_reading_time_follows_the_words() -> None:
    analysis = analysis_of("The cat sat on the mat. " * 75)
    assert analysis.words == 450
    assert analysis.reading_seconds == round(450 / (225 * (1 - 0.5 * analysis.difficulty)) * 60)


def entities_of(text: str) -> dict[str, tuple[str, int]]:
    return {found.text: (found.kind, found.count) for found in analysis_of(text).entities if found.kind != "concept"}


def test_named_things_are_told_by_their_kind() -> None:
    found = entities_of(
        "The engine was designed by Ada Lovelace in London. Dr Turing worked at the University of Manchester. On 2024-03-01 the "
        "Apache Software Foundation paid $1,200 for it, and on March 5, 2024 another 30 euros. It runs on PostgreSQL."
    )
    assert found["Ada Lovelace"] == ("person", 1)
    assert found["London"] == ("location", 1)
    assert found["Apache Software Foundation"] == ("organization", 1)
    assert (found["2024-03-01"][0], found["March 5, 2024"][0]) == ("date", "date")
    assert (found["$1,200"][0], found["30 euros"][0]) == ("money", "money")
    assert found["PostgreSQL"][0] == "technology"


def test_a_named_thing_stands_where_it_is_said_to() -> None:
    text = "We met Grace Hopper. Then Grace Hopper left for Paris."
    for found in analysis_of(text, "a.txt").entities:
        assert found.start is not None
        assert text[found.start :].lower().startswith(found.text.lower())


def test_a_capital_at_the_opening_of_a_sentence_makes_no_name() -> None:
    assert "Water" not in entities_of("Water boils. Leaves dry. Water boils again, and leaves stay dry.")


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("This tool is excellent. It is fast, reliable and a pleasure to use. I love it.", "positive"),
        ("This tool is terrible. It is slow, unreliable and a waste of time. I hate it.", "negative"),
        ("It is not good. It is not reliable, and never helpful.", "negative"),
        ("The table has four legs. A leg is made of wood.", "neutral"),
        ("The handler raises an error when the process is killed. A dead letter is kept.", "neutral"),
    ],
)
def test_the_tone_is_told(text: str, label: str) -> None:
    sentiment = analysis_of(text).sentiment
    assert sentiment is not None
    assert sentiment.label == label


def test_without_words_that_have_a_tone_little_is_sure() -> None:
    sentiment = analysis_of("The table has four legs.").sentiment
    assert sentiment is not None
    assert (sentiment.score, sentiment.confidence) == (0, 0.3)


def test_an_objective_follows_from_how_a_concept_is_treated() -> None:
    shown = analysis_of(
        "# Message broker\n\nInstall the message broker. For example, run the message broker in a shell."
    )
    weighed = analysis_of(
        "# Message broker\n\nThe advantages of a message broker. Pros and cons of each message broker."
    )
    assert next(item.level for item in shown.objectives if "message broker" in item.text.lower()) == "apply"
    assert next(item.level for item in weighed.objectives if "message broker" in item.text.lower()) == "evaluate"


def test_what_lowers_the_quality_is_told_with_advice() -> None:
    issues = {issue.kind: issue for issue in analysis_of("todo: lorem ipsum, maybe").issues}
    assert {"completeness", "structure"} <= issues.keys()
    assert issues["completeness"].suggestion


def test_prerequisites_are_words_of_the_field_that_the_document_takes_for_granted() -> None:
    text = (
        "# Tea shop\n\n"
        + "The tea shop keeps orders in a database. A query of the database runs in a transaction. " * 3
    )
    assert {"database", "query", "transaction"} <= set(analysis_of(text).prerequisites)
    assert analysis_of("The cat sat on the mat.").prerequisites == ()


def test_rules_are_less_sure_of_short_documents() -> None:
    assert analysis_of("The cat sat.").confidence["summary"] < analysis_of(ARTICLE * 5).confidence["summary"]


def test_words_stand_where_they_say() -> None:
    document = parse_document(ARTICLE.encode(), name="a.md")
    reading = read(document)
    assert len(reading.texts) == 100
    for text, start in zip(reading.texts, reading.starts, strict=True):
        assert document.text.startswith(text, start)


def test_abbreviations_do_not_end_sentences() -> None:
    document = parse_document(b"It uses tools, e.g. Make. Dr. Who agrees. See Fig. 3 now.", name="a.txt")
    assert [sentence.text for sentence in read(document).sentences] == [
        "It uses tools, e.g. Make.",
        "Dr. Who agrees.",
        "See Fig. 3 now.",
    ]


@pytest.mark.parametrize(
    ("plural", "expected"),
    [
        ("events", "event"),
        ("queries", "query"),
        ("classes", "class"),
        ("boxes", "box"),
        ("class", "class"),
        ("kubernetes", "kubernetes"),
        ("analysis", "analysis"),
        ("status", "status"),
        ("types", "type"),
        ("bus", "bus"),
    ],
)
def test_plurals_become_singular(plural: str, expected: str) -> None:
    assert singular(plural) == expected


@pytest.mark.parametrize(
    ("word", "expected"),
    [("cat", 1), ("table", 2), ("make", 1), ("reading", 2), ("documentation", 5), ("jumped", 1), ("rhythm", 1)],
)
def test_syllables_are_counted(word: str, expected: int) -> None:
    assert syllables(word) == expected


@given(st.text(max_size=400))
@settings(max_examples=50)
def test_any_text_can_be_analysed(text: str) -> None:
    document = ParsedDocument(media_type=MediaType.TEXT, text=text)
    assert analyse(document) == analyse(document)
