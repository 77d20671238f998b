"""The analysis by rule is better than a plain one, on documents that a reader has labelled."""

from __future__ import annotations

import pytest

from tests.benchmarks.content_quality import by_baseline, by_rule, labelled, scores

NOT_BELOW = {
    "concepts_f1": 0.42,
    "entities_f1": 0.85,
    "language_right": 1.0,
    "sentiment_right": 0.9,
    "summary_recall": 0.72,
    "difficulty_order": 0.95,
    "bloom_right": 0.5,
}


@pytest.fixture(scope="module")
def found() -> tuple[dict[str, float], dict[str, float]]:
    documents = labelled()
    return scores(documents, by_rule), scores(documents, by_baseline)


@pytest.mark.parametrize("name", NOT_BELOW)
def test_rules_are_better_than_what_anybody_could_write(
    found: tuple[dict[str, float], dict[str, float]], name: str
) -> None:
    rules, baseline = found
    assert rules[name] > baseline[name]
    assert rules[name] >= NOT_BELOW[name]
