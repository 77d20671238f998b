from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import httpx

SEARCH, PATH = "/api/v1/search", "/api/v1/learning-path"


@pytest.mark.usefixtures("taught")
def test_search_finds_by_meaning_not_by_words(http: httpx.Client) -> None:
    answer = http.get(SEARCH, params={"q": "how do I prepare a hot drink?"})
    assert answer.status_code == 200
    hits = answer.json()["hits"]
    assert hits[0]["text"].startswith("Boil fresh water")
    assert [hit["score"] for hit in hits] == sorted((hit["score"] for hit in hits), reverse=True)
    assert len(http.get(SEARCH, params={"q": "anything", "limit": 2}).json()["hits"]) == 2


def test_search_without_documents_finds_nothing(http: httpx.Client) -> None:
    assert http.get(SEARCH, params={"q": "anything"}).json()["hits"] == []


@pytest.mark.parametrize("query", ["", "?q=", "?q=%20%20", "?q=a&limit=0", "?q=a&limit=101", f"?q={'x' * 2001}"])
def test_a_search_that_makes_no_sense_is_refused(http: httpx.Client, query: str) -> None:
    answer = http.get(SEARCH + query)
    assert answer.status_code == 422
    assert answer.json()["errors"]


@pytest.mark.usefixtures("taught")
def test_a_learning_path_puts_every_prerequisite_first(http: httpx.Client) -> None:
    steps = http.get(PATH, params={"to": "Tea"}).json()["steps"]
    assert [step["concept"]["id"] for step in steps] == ["fire", "water", "tea"]


@pytest.mark.usefixtures("taught")
def test_what_is_known_is_left_out_of_the_path(http: httpx.Client) -> None:
    steps = http.get(PATH, params={"to": "tea", "from": "water"}).json()["steps"]
    assert [step["concept"]["id"] for step in steps] == ["tea"]


@pytest.mark.usefixtures("taught")
def test_an_unknown_concept_is_not_found_with_suggestions(http: httpx.Client) -> None:
    answer = http.get(PATH, params={"to": "coffees"})
    assert answer.status_code == 404
    assert answer.json()["code"] == "concept_not_found"
    assert answer.json()["suggestions"] == ["coffee"]


@pytest.mark.usefixtures("taught")
def test_a_concept_is_shown_with_its_neighbours(http: httpx.Client) -> None:
    view = http.get("/api/v1/concepts/Water").json()
    assert view["concept"]["name"] == "Water"
    assert view["requires"] == ["fire"]
    assert view["required_by"] == ["tea"]
    assert len(view["documents"]) == 1


def test_a_concept_that_nobody_mentions_is_not_found(http: httpx.Client) -> None:
    assert http.get("/api/v1/concepts/nothing").status_code == 404
