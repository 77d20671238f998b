from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from api.cli.app import app
from api.client import ApiClient
from api.schemas import SearchOut
from resources.content.retrieval.model import Filters, Mode

if TYPE_CHECKING:
    import httpx

V1 = "/api/v1"
SEARCH = f"{V1}/search"

pytestmark = pytest.mark.usefixtures("taught")


def test_words_and_meaning_together_find_what_each_alone_does(http: httpx.Client) -> None:
    answers = {
        mode: http.get(SEARCH, params={"q": "relational tables", "mode": mode}).json()["hits"]
        for mode in ("words", "meaning", "hybrid")
    }
    assert [hit["place_by_words"] for hit in answers["words"]] == [1]
    assert len(answers["meaning"]) == len(answers["hybrid"]) == 3
    first = answers["hybrid"][0]
    assert first["score"] == pytest.approx(1.0)
    assert (first["place_by_words"], first["place_by_meaning"]) == (1, 1)


def test_a_hit_is_highlighted_and_can_be_cited(http: httpx.Client) -> None:
    hit = http.get(SEARCH, params={"q": "boiling water"}).json()["hits"][0]
    words = [hit["text"][start - hit["start"] : end - hit["start"]] for start, end in hit["highlights"]]
    assert words == ["Boil", "water"]
    assert hit["citation"] == f"{hit['document_id']}:{hit['start']}-{hit['end']}"


def test_filters_and_facets(http: httpx.Client) -> None:
    found = http.post(
        SEARCH, json={"query": "water", "filters": {"tags": ["drinks"], "types": ["text/markdown"]}}
    ).json()
    assert found["total"] == 3
    assert found["facets"] == {"type": {"text/markdown": 3}, "tags": {"drinks": 3}}
    assert http.get(SEARCH, params={"q": "water", "tag": ["drinks", "food"]}).json()["total"] == 0
    assert http.get(SEARCH, params={"q": "water", "min_quality": 0.5}).json()["hits"] == []


def test_the_next_page_is_asked_for_with_the_cursor(http: httpx.Client) -> None:
    first = http.get(SEARCH, params={"q": "water", "limit": 2}).json()
    second = http.get(SEARCH, params={"q": "water", "limit": 2, "cursor": first["next_cursor"]}).json()
    assert [len(first["hits"]), len(second["hits"])] == [2, 1]
    assert second["next_cursor"] is None
    assert {hit["ordinal"] for hit in first["hits"] + second["hits"]} == {0, 1, 2}


@pytest.mark.parametrize(
    "body",
    [
        {"query": "x", "filters": {"colour": "red"}},
        {"query": "x", "filters": {"types": ["text/unknown"]}},
        {"query": "x", "filters": {"tags": ["\0"]}},
        {"query": "x", "mode": "magic"},
        {"query": " "},
    ],
)
def test_what_makes_no_sense_is_refused(http: httpx.Client, body: dict[str, object]) -> None:
    answer = http.post(SEARCH, json=body)
    assert answer.status_code == 422
    assert answer.json()["code"]


def test_a_cursor_of_nothing_is_refused(http: httpx.Client) -> None:
    answer = http.post(SEARCH, json={"query": "x", "cursor": "nonsense"})
    assert (answer.status_code, answer.json()["code"]) == (400, "cursor_invalid")


def test_documents_about_the_same_need_a_document(http: httpx.Client) -> None:
    assert http.get(f"{V1}/documents/nothing/similar").status_code == 404
    known = http.get(SEARCH, params={"q": "water"}).json()["hits"][0]["document_id"]
    assert http.get(f"{V1}/documents/{known}/similar").json() == {"document_id": known, "documents": []}


def test_the_state_of_the_index_is_told(http: httpx.Client) -> None:
    state = http.get(f"{SEARCH}/state").json()
    assert (state["documents"], state["chunks"], state["others"], state["outdated"]) == (1, 3, [], [])


def test_the_client_searches_with_and_without_filters(api_url: str) -> None:
    with ApiClient(api_url) as client:
        plain = client.search("water", mode=Mode.WORDS)
        narrowed = client.search("water", mode=Mode.WORDS, filters=Filters(tags=("drinks",)))
        assert client.index_state().chunks == 3
        assert client.similar(plain.hits[0].document_id).documents == []
    assert [hit.citation for hit in plain.hits] == [hit.citation for hit in narrowed.hits] != []


def test_the_page_of_search_does_what_it_shows() -> None:
    page = (Path(__file__).parents[2] / "docs" / "content.md").read_text()
    search = page.partition("## Search")[2].partition("\n## ")[0]
    (block,) = re.findall(r"```python\n(.*?)```", search, re.DOTALL)
    exec(compile(block, "docs/content.md", "exec"), {})


def test_the_command_line_shows_passages_with_their_citations(api_url: str) -> None:
    shown = CliRunner().invoke(
        app, ["--api-url", api_url, "search", "boiling water", "--tag", "drinks", "--json"], catch_exceptions=False
    )
    assert shown.exit_code == 0
    assert SearchOut.model_validate_json(shown.stdout).hits[0].text.startswith("Boil fresh water")
    table = CliRunner().invoke(app, ["--api-url", api_url, "search", "boiling water", "--limit", "1"])
    assert "3 passages in all" in table.stderr
    assert "--cursor" in table.stderr
    refused = CliRunner().invoke(app, ["--api-url", api_url, "search", "water", "--difficulty", "hardest"])
    assert refused.exit_code == 2


def test_the_command_line_says_when_nothing_has_to_be_embedded_anew(api_url: str) -> None:
    shown = CliRunner().invoke(app, ["--api-url", api_url, "documents", "reembed"], catch_exceptions=False)
    assert shown.exit_code == 0
    assert "all 1 documents" in shown.stderr
