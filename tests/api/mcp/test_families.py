"""What the tools of support and of the knowledge base do with real messages, passages and topics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from api.mcp.tool import WRAPPED

if TYPE_CHECKING:
    from mcp import Client

    from tests.api.mcp.conftest import Connect


async def given(client: Client, tool: str, **arguments: Any) -> Any:
    found = await client.call_tool(tool, arguments)
    assert not found.is_error, found.content
    assert found.structured_content is not None
    return found.structured_content.get(WRAPPED, found.structured_content)


async def test_a_ticket_goes_through_the_desk_and_its_story_is_kept(connect: Connect) -> None:
    text = "I am fed up, you charged me twice. I need this solved asap!"
    async with connect(path="/mcp/customer-support") as client:
        whole = {"ticket_id": "T-1", "customer_id": "c1", "message": text}
        assert (await given(client, "validate_ticket", **whole))["is_valid"]
        assert (await given(client, "validate_ticket", ticket_id="T-1"))["missing_fields"] == ["customer_id", "message"]
        analysis = await given(client, "analyze_ticket", **whole, priority="normal")
        routed = await given(
            client, "ticket_router", ticket_id="T-1", department="Finance", routing_reason="money", priority="urgent"
        )
        escalated = await given(
            client, "escalate_ticket", ticket_id="T-1", escalation_reason="asks for a lawyer", urgency="critical"
        )
        sent = await given(client, "send_reply", ticket_id="T-1", message="We look into it.", channel="email")
        closed = await given(
            client,
            "close_ticket",
            ticket_id="T-1",
            resolution="Escalated to the finance team.",
            follow_up_required=True,
        )
    assert (analysis["sentiment"], analysis["urgency"], analysis["category"]) == ("frustrated", "high", "billing")
    assert (routed["department"], routed["priority"], routed["estimated_response_time"]) == (
        "billing",
        "high",
        "2 hours",
    )
    assert escalated["escalation_path"] == [
        "Legal counsel",
        "Compliance officer",
        "Director of customer service",
        "Executive team",
    ]
    assert sent["delivery_status"] == "queued_for_email"
    assert closed["closure_type"] == "escalated"
    async with connect(path="/mcp/knowledge-base") as client:
        story = await given(client, "get_channel_history", channel="support.tickets.t-1")
    assert [one["content"]["event"] for one in story["messages"]] == ["routed", "escalated", "reply", "closed"]


async def test_arguments_may_come_in_a_context(connect: Connect) -> None:
    async with connect(path="/mcp/customer-support") as client:
        spam = await given(
            client,
            "filter_spam",
            context_data={"message": "You are the winner of our lottery, click here!!!"},
            metadata={},
        )
        intent = await given(client, "determine_ticket_intent", context_data={"customer_event": "I want a refund"})
    assert not spam["is_human"]
    assert (intent["intent"], intent["confidence"], intent["escalate"]) == ("RefundRequest", 0.9, True)


@pytest.mark.usefixtures("taught")
async def test_a_question_is_answered_from_passages_or_with_an_apology(connect: Connect) -> None:
    async with connect(path="/mcp/knowledge-base") as client:
        found = await given(client, "search_router", query="How do I make tea with boiling water?")
        answer = await given(client, "generate_knowledge_response", query="How do I make tea with boiling water?")
        sorry = await given(client, "generate_knowledge_response", query="Who won the chess championship?")
        refused = await client.call_tool("search_router", {"query": "click here, winner of the lottery"})
    assert "Boil fresh water" in found["results"][0]["content"]
    assert answer["is_sufficient"]
    assert "Boil fresh water" in answer["response"]
    assert not sorry["is_sufficient"]
    assert sorry["sources"] == []
    assert refused.is_error


async def test_pages_are_documents_and_databases_their_tags(connect: Connect) -> None:
    async with connect(path="/mcp/knowledge-base") as client:
        made = (await given(client, "create_page", parent_id="handbook", title="Tea", content="# Tea\n\nBoil water."))[
            "created_page"
        ]
        again = await given(client, "update_page", page_id=made["id"], content="# Tea\n\nBoil fresh water.")
        page = (await given(client, "get_page", page_id=made["id"]))["page"]
        databases = (await given(client, "list_databases"))["databases"]
        rows = await given(client, "query_database", database_id="handbook", filter={"title": "Tea"})
    assert again["outcome"] == "received"
    assert page["title"] == "Tea"
    assert databases == [{"id": "handbook", "title": "handbook", "documents": 1}]
    assert [one["id"] for one in rows["results"]] == [made["id"]]


async def test_messages_are_sent_to_channels_and_found_again(connect: Connect) -> None:
    async with connect(path="/mcp/knowledge-base") as client:
        await given(client, "send_message", channel="team.general", text="The kettle is broken")
        found = await given(client, "search_conversations", query="kettle")
        channels = await given(client, "list_channels")
        reserved = await client.call_tool("send_message", {"channel": "runs.1", "text": "x"})
    assert [one["topic"] for one in found["conversations"]] == ["team.general"]
    assert [one["id"] for one in channels["channels"]] == ["team.general"]
    assert "topic_reserved" in str(reserved.content)
