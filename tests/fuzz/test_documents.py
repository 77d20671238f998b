"""A small run of the fuzzer, and that it finds what there is to find."""

from __future__ import annotations

from collections import Counter

import pytest

from resources.content.model import MediaType
from tests.fuzz.__main__ import batch


@pytest.mark.parametrize("kind", list(MediaType))
def test_a_parser_reads_or_refuses_what_hypothesis_makes_up(kind: MediaType) -> None:
    outcomes: Counter[tuple[str, str]] = Counter()
    assert batch(kind, outcomes, seed=7, count=12) is None
    assert outcomes.total() >= 12


def test_what_breaks_the_rules_is_found_and_handed_out() -> None:
    def breaks(kind: MediaType, content: bytes) -> str:
        assert content.count(b"{") < 2, kind
        return "read"

    found = batch(MediaType.JSON, Counter(), seed=7, count=60, check=breaks)
    assert found is not None
    content, error = found
    assert isinstance(error, AssertionError)
    assert content.count(b"{") >= 2
