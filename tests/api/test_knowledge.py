from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.contracts.graph.given import saved_path

if TYPE_CHECKING:
    import httpx

    from api.dependencies import Services

SEARCH, PATH, PATHS = "/api/v1/search", "/api/v1/learning-path", "/api/v1/learning-paths"


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


@pytest.mark.usefixtures("taught")
def test_a_path_is_planned_anew_from_what_the_user_has_learned(http: httpx.Client) -> None:
    said = {"status": "in_progress", "percent": 50, "minutes": 10}
    assert http.put("/api/v1/progress/Fire", json=said).json()["percent"] == 50
    first = http.post(PATH, json={"target_concept": "tea"}).json()
    assert [step["concept"]["id"] for step in first["steps"]] == ["fire", "water", "tea"]
    assert http.put("/api/v1/progress/Fire", json={"status": "mastered"}).json()["minutes_spent"] == 10
    rest = http.post(PATH, json={"target_concept": "tea"}).json()
    assert [step["concept"]["id"] for step in rest["steps"]] == ["water", "tea"]
    assert rest["minutes"] < first["minutes"]
    whole = http.post(PATH, json={"target": "tea", "use_progress": False}).json()
    assert len(whole["steps"]) == 3
    assert [one["concept"] for one in http.get("/api/v1/progress").json()] == ["fire"]
    assert http.delete("/api/v1/progress/fire").status_code == 204
    assert http.delete("/api/v1/progress/fire").status_code == 404


@pytest.mark.usefixtures("taught")
def test_wishes_that_cannot_be_kept_are_told(http: httpx.Client) -> None:
    path = http.post(PATH, json={"target": "tea", "wishes": {"max_steps": 2}}).json()
    assert [step["concept"]["id"] for step in path["steps"]] == ["fire", "water"]
    assert not path["complete"]
    assert path["left_out"] == [{"concept": "tea", "reason": "would be more than 2 steps"}]
    assert http.post(PATH, json={"target": "tea", "wishes": {"style": "wild"}}).status_code == 422
    named = {
        "target_concept": "tea",
        "learning_style": "depth",
        "constraints": {"maxLength": 2, "includeOptional": True},
    }
    assert http.post(PATH, json=named).json() == path
    assert http.post(PATH, json=named | {"constraints": {"maxLength": 0}}).status_code == 422


@pytest.mark.usefixtures("taught")
def test_the_short_paths_of_concepts_answer_too(http: httpx.Client) -> None:
    assert http.get("/api/v1/concept/water").json()["concept"]["name"] == "Water"
    near = {one["concept"]["id"] for one in http.get("/api/v1/related/water").json()}
    assert {"fire", "tea"} <= near
    assert http.put("/api/v1/progress/nothing", json={"status": "mastered"}).status_code == 404


@pytest.mark.usefixtures("taught")
def test_a_search_along_the_graph_tells_what_led_there(http: httpx.Client) -> None:
    answer = http.get(SEARCH, params={"q": "What does one need for tea?", "mode": "graph"}).json()
    led = [hit for hit in answer["hits"] if hit["place_by_graph"] is not None]
    assert led
    assert "Tea" in led[0]["through"]
    assert answer["next_cursor"] is None
    assert http.get(SEARCH, params={"q": "tea", "mode": "graph", "cursor": "x"}).status_code == 400


@pytest.mark.usefixtures("taught")
def test_a_path_is_kept_shown_and_dropped_by_who_made_it(http: httpx.Client) -> None:
    kept = http.post(PATHS, json={"name": "Drinks", "target": "tea", "audience": "guests"})
    assert kept.status_code == 201
    path = kept.json()
    assert [(step["order"], step["concept"]) for step in path["concepts"]] == [(1, "fire"), (2, "water"), (3, "tea")]
    assert (path["custom"], path["outcomes"][0], len(path["difficulties"])) == (True, "know Tea", 3)
    assert http.get(f"{PATHS}/{path['id']}").json() == path
    assert [one["name"] for one in http.get(PATHS, params={"over": "Water"}).json()] == ["Drinks"]
    assert http.get(PATHS, params={"over": "coffee"}).json() == []
    assert http.delete(f"{PATHS}/{path['id']}").status_code == 204
    assert http.delete(f"{PATHS}/{path['id']}").status_code == 404
    assert http.post(PATHS, json={"name": "Nowhere", "target": "nothing"}).status_code == 404


def test_a_path_of_somebody_else_is_not_dropped(http: httpx.Client, services: Services, tenant: str) -> None:
    services.graph.put_path(saved_path("platforms", "tea"), tenant=tenant)
    refused = http.delete(f"{PATHS}/platforms")
    assert (refused.status_code, refused.json()["code"]) == (403, "path_not_yours")


@pytest.mark.usefixtures("taught")
def test_the_graph_knows_who_has_learned_what(http: httpx.Client) -> None:
    learners = "/api/v1/graph/concepts/Fire/learners"
    assert http.get(learners).json() == {}
    http.put("/api/v1/progress/Fire", json={"status": "mastered"})
    assert http.get(learners).json() == {"mastered": 1}
    http.delete("/api/v1/progress/fire")
    assert http.get(learners).json() == {}


@pytest.mark.usefixtures("taught")
def test_what_to_read_is_told_with_its_address_and_passages(http: httpx.Client) -> None:
    (told,) = http.get("/api/v1/graph/concepts/Tea/resources").json()
    assert (told["title"], told["url"], told["passages"]) == ("Notes", "upload:notes.md", [[9, 58]])
    step = http.get(PATH, params={"to": "Tea"}).json()["steps"][-1]
    assert step["resources"] == [told]
    assert step["documents"] == [told["document_id"]]
