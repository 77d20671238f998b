"""The workflows that come with the platform, run with its own stores and without a key."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from resources.ai.directory import ProviderDirectory
from resources.ai.ledger.memory import MemoryCallBooks
from resources.ai.memo.memory import MemoryMemo
from resources.ai.model import Answer
from resources.ai.pipeline import AiCalls
from resources.ai.prices.book import PriceBook
from resources.ai.providers.scripted import ScriptedProvider
from resources.mcp.configured import configured_servers
from resources.mcp.servers import McpServers

if TYPE_CHECKING:
    from collections.abc import Mapping

    import dagster as dg

    from resources.workflows.spec import WorkflowSpec
    from tests.definitions.conftest import Run


def outputs(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    failed = {event.step_key: event.step_failure_data.error for event in result.all_events if event.is_step_failure}
    assert result.success, failed
    value: dict[str, Any] = result.output_for_node("outputs").output
    return value


def skipped(result: dg.ExecuteInProcessResult) -> set[str]:
    return {str(event.step_key) for event in result.all_events if event.is_step_skipped}


def failure(result: dg.ExecuteInProcessResult) -> str:
    """Why the first step failed, in its own words."""
    (event, *_) = (event for event in result.all_events if event.is_step_failure)
    return str(event.step_failure_data.user_failure_data.description)  # type: ignore[union-attr]  # a node fails with one


def test_each_comes_with_what_its_users_look_for(specs: Mapping[str, WorkflowSpec]) -> None:
    assert set(specs) == {
        "hello",
        "ask",
        "research_to_documentation",
        "user_query_processing",
        "ai_content_generation",
        "customer_care",
        "knowledge_base_search",
        "content_analysis",
        "content_ingest",
        "blog_pipeline",
        "meeting_time",
    }
    assert [name for name, spec in specs.items() if not spec.description or not spec.category or not spec.outputs] == []


def test_a_public_server_of_mcp_is_asked_over_its_standard_streams(run: Run, stores: dict[str, Any]) -> None:
    servers = stores["mcp"] = McpServers(configured_servers(None, {}))
    try:
        found = outputs(run("meeting_time", time="14:30", here="Asia/Tokyo", there="Asia/Kolkata"))
    finally:
        servers.close()
    assert found["text"].startswith("14:30 in Asia/Tokyo is 20")
    assert found["there"].endswith("T11:00:00+05:30")
    assert found["day"].endswith("day")


@pytest.mark.usefixtures("taught")
def test_research_is_written_up_with_its_sources_and_kept(run: Run, stores: dict[str, Any], tenant: str) -> None:
    found = outputs(run("research_to_documentation", topic="green tea"))
    assert found["source_count"] >= 1
    assert "## Sources\n\n1. Notes, characters 0 to" in found["page"]
    assert "- Green tea" in found["page"]
    assert "rule-based, not an AI model" in found["page"]
    kept = stores["documents"].get(found["document_id"], tenant=tenant)
    assert kept.source.uri == found["document_uri"] == "workflow:research_to_documentation/green-tea"


def test_research_about_what_nobody_knows_says_so(run: Run) -> None:
    result = run("research_to_documentation", topic="the far side of the moon")
    assert not result.success
    assert "Nothing is known about 'the far side of the moon'" in failure(result)
    assert {"write", "page", "keep"} <= skipped(result)


@pytest.mark.parametrize(
    ("query", "intent"),
    [
        ("How do I make green tea?", "how_to"),
        ("Why is my water too hot?", "explanation"),
        ("The kettle shows an error", "troubleshooting"),
        ("Temperature of green tea", "lookup"),
    ],
)
@pytest.mark.usefixtures("taught")
def test_a_question_is_answered_from_what_is_known(run: Run, query: str, intent: str) -> None:
    found = outputs(run("user_query_processing", query=query, response_format="brief"))
    assert found["intent"] == intent
    assert found["response"]
    assert len(found["sources"]) == 1
    assert 0 < found["confidence"] <= 1
    assert found["keywords"]


@pytest.mark.usefixtures("taught")
def test_the_question_is_noted_as_an_event(run: Run, stores: dict[str, Any], tenant: str) -> None:
    outputs(run("user_query_processing", query="How do I make green tea?"))
    noted = stores["events"].read_all(types={"system.performance_measured"}, tenant=tenant)
    assert [event.data["name"] for event in noted] == ["user_query"]


@pytest.mark.usefixtures("taught")
def test_content_is_written_section_by_section_and_reviewed(run: Run, stores: dict[str, Any], tenant: str) -> None:
    found = outputs(run("ai_content_generation", content_type="tutorial", topic="green tea"))
    assert found["outline"] == ["Before you start", "First steps", "Going further"]
    assert [found["content"].index(f"## {section}") for section in found["outline"]] == sorted(
        found["content"].index(f"## {section}") for section in found["outline"]
    )
    assert 0 <= found["quality_score"] <= 1
    assert found["word_count"] > 20
    assert stores["documents"].get(found["document_id"], tenant=tenant).source.tags == ("generated", "tutorial")


CHARGED = {"ticket_id": "7", "subject": "Refund", "body": "I was charged twice for one invoice. Please help me."}


@pytest.mark.parametrize(
    ("ticket", "route", "intent", "reply"),
    [
        (CHARGED, "answer", "billing", "refunded within five days"),
        (CHARGED | {"body": "URGENT: the login page shows an error"}, "escalate", "billing", "marked as urgent"),
        (CHARGED | {"subject": "?", "body": "Help"}, "unclear", "general", "tell us a little more"),
        (CHARGED | {"body": "Win at our casino: http://a http://b http://c http://d !!!!"}, "spam", "billing", ""),
    ],
    ids=["answered", "urgent", "unclear", "spam"],
)
@pytest.mark.usefixtures("taught")
def test_a_ticket_goes_its_way(run: Run, ticket: dict[str, str], route: str, intent: str, reply: str) -> None:
    found = outputs(run("customer_care", **ticket))
    assert (found["route"], found["intent"]) == (route, intent)
    assert reply in found["reply"]
    assert found["spam"] is (route == "spam")
    assert bool(found["reply"]) is (route != "spam")


@pytest.mark.usefixtures("taught")
def test_sources_are_searched_side_by_side(run: Run) -> None:
    found = outputs(run("knowledge_base_search", query="green tea", max_results_per_source=2))
    assert found["sources_searched"] == ["passages", "concepts"]
    assert found["total_results"] == len(found["aggregated_results"]) == 3
    scores = [item["score"] for item in found["aggregated_results"]]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.usefixtures("taught")
def test_only_the_sources_that_are_named_are_searched(run: Run) -> None:
    result = run("knowledge_base_search", query="green tea", sources=["concepts"])
    assert {item["source"] for item in outputs(result)["aggregated_results"]} == {"concepts"}
    assert "passages" in skipped(result)


def test_an_unknown_source_is_refused(run: Run) -> None:
    result = run("knowledge_base_search", query="green tea", sources=["wiki"])
    assert "None of wiki is a source" in failure(result)


def test_a_text_is_understood_and_handed_to_the_main_job(run: Run, stores: dict[str, Any], tenant: str) -> None:
    text = "# Kettles\n\nA kettle boils water for tea quickly. Kettles are made of steel or glass."
    found = outputs(run("content_ingest", text=text, name="kettles.md", tags=["kitchen"]))
    assert (found["outcome"], found["language"]) == ("received", "en")
    assert "kettle" in {keyword["text"] for keyword in found["keywords"]}
    (received,) = stores["events"].read_all(types={"document.received"}, tenant=tenant)
    assert received.data["document_id"] == found["document_id"]
    assert outputs(run("content_ingest", text=text, name="kettles.md"))["outcome"] == "unchanged"


def test_a_text_of_a_few_words_is_refused(run: Run) -> None:
    assert "five are the least" in failure(run("content_ingest", text="Too short.", name="short.md"))


@pytest.mark.parametrize(("least", "status"), [(0.0, "keep"), (1.0, "revise")])
@pytest.mark.usefixtures("taught")
def test_a_post_is_kept_or_revised_by_its_quality(run: Run, least: float, status: str) -> None:
    found = outputs(run("blog_pipeline", topic="green tea", min_quality=least))
    assert found["status"] == status
    assert found["research_document"] != found["post_document"]
    assert found["content"].startswith("# Green Tea")


@pytest.mark.usefixtures("taught")
def test_a_question_is_answered_word_for_word_with_where_it_stands(run: Run) -> None:
    found = outputs(run("ask", question="How hot should water for green tea be?"))
    assert found["found"]
    assert found["answer"].startswith("Green tea wants water of eighty degrees. [1]")
    (cited,) = found["sentences"][0]["citations"]
    assert (cited["quote"], cited["document_title"]) == ("Green tea wants water of eighty degrees.", "Notes")
    assert cited["end"] - cited["start"] == len(cited["quote"])
    assert found["simulated"]
    assert "not an AI model" in found["notice"]


@pytest.mark.usefixtures("taught")
def test_what_the_documents_do_not_say_is_not_answered(run: Run) -> None:
    found = outputs(run("ask", question="Who was the first person on the moon?"))
    assert (found["found"], found["sentences"]) == (False, [])
    assert found["answer"] == "Nothing in the documents answers this."


@pytest.mark.usefixtures("taught")
def test_a_model_answers_from_the_passages_and_what_it_invents_is_left_out(run: Run, stores: dict[str, Any]) -> None:
    said = {
        "sentences": [
            {"text": "Eighty degrees.", "passage": 1, "quote": "green tea wants water of eighty degrees"},
            {"text": "With a little milk.", "passage": 1, "quote": "milk is added to it"},
        ]
    }
    model = ScriptedProvider(
        [Answer(text=json.dumps(said), finish="stop", usage=None, provider="scripted", model="any")]
    )
    memo = MemoryMemo()
    stores["ai"] = AiCalls(
        providers=ProviderDirectory(chat={"scripted": model}),
        books=MemoryCallBooks(memo=memo),
        memo=memo,
        prices=PriceBook(),
    )
    found = outputs(run("ask", question="How hot is water for green tea?", provider="scripted", model="any"))
    assert (found["answer"], found["dropped"]) == ("Eighty degrees. [1]", 1)
    assert found["sentences"][0]["citations"][0]["quote"] == "Green tea wants water of eighty degrees"
    assert "[1] " in model.requests[0].messages[-1].text
