"""How good an analysis is: measured on labelled documents, the same way for rules, for a model, and for a plain baseline.

`tests/data/content_labels.yaml` holds the documents. The baseline is the most frequent words as concepts, every run of capitals
as an entity, the first sentence as the summary, always neutral, always English, harder = longer sentences. The model's mode is
measured where AIW_BENCH_CONTENT names a configured model (`provider/model`); parts that it did not give are by rule, and
counted (`by_rule`), as are the documents of which it gave nothing at all (`failed`).
"""

from __future__ import annotations

import os
import re
import statistics
import time
from collections import Counter
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from resources.ai.call import CallOptions
from resources.ai.model import CallContext
from resources.content.analysers import analyse
from resources.content.analysers.lexicon import singular
from resources.content.analysers.llm import analyse_with_model
from resources.content.analysers.words import STOP_WORDS
from resources.content.model import Analysis, Entity, MediaType, ParsedDocument, ScoredTerm, Sentiment
from resources.content.parse import parse_document
from resources.errors import PlatformError
from tests.benchmarks import harness

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tests.benchmarks.harness import Report

LABELS: Final = Path(__file__).parents[1] / "data" / "content_labels.yaml"
_WORD = re.compile(r"[^\W\d_][\w'-]*")
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_CAPITALS = re.compile(r"(?:[A-Z][\w&.-]*)(?: [A-Z][\w&.-]*)*")
_BASELINE_TERMS: Final = 8
_PARTS: Final = 11
_PATIENCE: Final = 600.0
"""Seconds for one document."""


def labelled() -> list[dict[str, Any]]:
    """The documents with what a reader says of them."""
    documents: list[dict[str, Any]] = yaml.safe_load(LABELS.read_text())
    return documents


def by_rule(parsed: ParsedDocument) -> Analysis:
    """The offline mode."""
    return analyse(parsed)


def by_baseline(parsed: ParsedDocument) -> Analysis:
    """What anybody could write in ten lines."""
    words = [word.lower() for word in _WORD.findall(parsed.text)]
    counts = Counter(singular(word) for word in words if word not in STOP_WORDS and len(word) > 2)
    sentences = _SENTENCE.split(" ".join(parsed.text.split()))
    length = len(words) / max(len(sentences), 1)
    return analyse(parsed).model_copy(
        update={
            "language": "en",
            "concepts": tuple(
                ScoredTerm(text=word, score=0.5, count=count) for word, count in counts.most_common(_BASELINE_TERMS)
            ),
            "entities": tuple(
                Entity(kind="organization", text=name, count=1, confidence=0.5)
                for name in dict.fromkeys(_CAPITALS.findall(parsed.text))
            ),
            "summary": sentences[0],
            "sentiment": Sentiment(label="neutral", score=0, confidence=0.5),
            "difficulty": min(1.0, length / 40),
            "objectives": (),
        }
    )


@contextmanager
def asking(provider: str, model: str) -> Iterator[Callable[[ParsedDocument], Analysis]]:
    """The model's mode, through the platform's own settings; nothing is kept but in memory."""
    from resources.ai.configured import ai_options
    from resources.ai.directory import ProviderDirectory
    from resources.ai.ledger.memory import MemoryCallBooks
    from resources.ai.pipeline import AiCalls
    from resources.ai.prices.book import PriceBook
    from resources.ai.prices.memory import MemoryPrices
    from resources.settings import Settings

    settings = Settings()
    options = ai_options(settings.ai, production=False, networks=settings.egress.networks)
    books = MemoryCallBooks()
    calls = AiCalls(
        providers=ProviderDirectory(options.providers, egress=options.egress),
        books=books,
        memo=books.memo,
        prices=PriceBook(MemoryPrices()),
    )
    caller = CallContext(tenant="benchmark")
    patient = CallOptions(timeout=_PATIENCE)
    yield lambda parsed: analyse_with_model(
        parsed, calls, provider=provider, model=model, caller=caller, options=patient
    )


def measure(report: Report, quick: bool) -> None:  # noqa: ARG001  # there is nothing to shorten
    """Rules, the baseline, and the model where one is named."""
    documents = labelled()
    report.add({f"quality_{name}": value for name, value in scores(documents, by_rule).items()})
    report.add({f"quality_{name}": value for name, value in scores(documents, by_baseline).items()}, peer="baseline")
    wanted = os.environ.get("AIW_BENCH_CONTENT", "")
    if not wanted:
        print("The quality of the model's mode is not measured: AIW_BENCH_CONTENT names no model (provider/model).")
        return
    provider, _, model = wanted.partition("/")
    lacking: list[int] = []

    def counted(parsed: ParsedDocument) -> Analysis:
        begun = time.monotonic()
        try:
            found = by_model(parsed)
        except PlatformError as error:
            print(f"  nothing from {model}: {error.message}")
            found = analyse(parsed)
            lacking.append(_PARTS)
        else:
            lacking.append(len(found.by_rule))
        print(
            f"  {model}: document {len(lacking)}, {time.monotonic() - begun:.0f} s, {lacking[-1]} parts by rule",
            flush=True,
        )
        return found

    begun = time.monotonic()
    with asking(provider, model) as by_model:
        found = scores(documents, counted)
    figures = {f"quality_{name}": value for name, value in found.items()}
    figures["quality_by_rule"] = sum(lacking) / (_PARTS * len(lacking))
    figures["quality_failed"] = lacking.count(_PARTS)
    figures["quality_seconds"] = time.monotonic() - begun
    report.add({"quality_by_rule": 1.0, "quality_failed": 0, "quality_seconds": 0.0})
    report.add(figures, peer=model[:16])


def scores(documents: Sequence[Mapping[str, Any]], analyser: Callable[[ParsedDocument], Analysis]) -> dict[str, float]:
    """Means over the documents that have the label: F1 of concepts and of entities (with kinds), shares of right languages, tones
    and levels of objectives, words of the reader's summary found again, pairs of unequal difficulty in the right order.
    """
    found = [(label, analyser(parse_document(label["text"].encode(), declared=MediaType.TEXT))) for label in documents]
    english = [(label, analysis) for label, analysis in found if "concepts" in label]
    pairs = [
        (easier, harder)
        for (one, first), (other, second) in combinations(english, 2)
        if one["difficulty"] != other["difficulty"]
        for easier, harder in [(first, second) if one["difficulty"] < other["difficulty"] else (second, first)]
    ]
    return {
        "concepts_f1": statistics.mean(
            _f1(
                {_key(text) for text in label["concepts"]},
                {_key(term.text) for term in analysis.concepts[: len(label["concepts"])]},
            )
            for label, analysis in english
        ),
        "entities_f1": statistics.mean(
            _f1(
                {(kind, text) for kind, texts in label["entities"].items() for text in texts},
                {(entity.kind, entity.text) for entity in analysis.entities if entity.kind != "concept"},
            )
            for label, analysis in english
        ),
        "language_right": statistics.mean(float(analysis.language == label["language"]) for label, analysis in found),
        "sentiment_right": statistics.mean(
            float(analysis.sentiment is not None and analysis.sentiment.label == label["sentiment"])
            for label, analysis in english
        ),
        "summary_recall": statistics.mean(_recall(label["summary"], analysis.summary) for label, analysis in english),
        "difficulty_order": statistics.mean(float(easier.difficulty < harder.difficulty) for easier, harder in pairs),
        "bloom_right": statistics.mean(
            float(any(objective.level == label["bloom"] for objective in analysis.objectives))
            for label, analysis in english
        ),
    }


def _key(text: str) -> str:
    words = text.lower().split()
    return " ".join([*words[:-1], singular(words[-1])])


def _f1(expected: set[Any], given: set[Any]) -> float:
    if not expected and not given:
        return 1.0
    right = len(expected & given)
    return 2 * right / (len(expected) + len(given))


def _recall(reference: str, text: str) -> float:
    """ROUGE-1 recall of words that carry meaning; what is longer than 60 words counts for less."""
    wanted = {singular(word.lower()) for word in _WORD.findall(reference)} - STOP_WORDS
    words = [singular(word.lower()) for word in _WORD.findall(text)]
    penalty = min(1.0, 60 / max(len(words), 1))
    return penalty * len(wanted & set(words)) / len(wanted)


if __name__ == "__main__":
    harness.run("content_quality", measure)
