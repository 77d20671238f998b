"""Customer support: every tool of a support desk, over the classifiers, the knowledge base and the messages of the platform.

Nothing is made up: a reply that is sent becomes a message on the ticket's topic (`support.tickets.<id>`), where a person, a
workflow or a mailer takes it from; so does whatever else is done to a ticket. Arguments may come flat or in `context_data`.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from api.mcp.call import Call
from api.mcp.tool import Tools
from resources.realtime.model import NewMessage, new_message_id
from resources.support import triage

_READ, _SCOPE = "read:support", "execute:support"
_PASSAGE = 0.35
"""Similarity from which on a passage of the knowledge base is worth telling a customer."""

_DECIDED_BY_PEOPLE = "RefundRequest"
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")
_TONES = {
    "RefundRequest": (
        "empathetic",
        "We are sorry that things did not work out, and have noted your request for a refund.",
    ),
    "BillingInvoice": ("professional", "Thank you for telling us about your bill; we are looking into it."),
    "ProductQuestion": ("helpful", "Thank you for your question about the product."),
    "GeneralQuestion": ("friendly", "Thank you for your message."),
}
_STEPS = {
    "RefundRequest": ["acknowledge the request", "check the order", "refund within 5 working days if it is due"],
    "BillingInvoice": ["acknowledge the question", "check the account", "send a corrected bill if one is due"],
    "ProductQuestion": ["answer from the documentation", "offer further help"],
    "GeneralQuestion": ["answer or forward", "offer further help"],
}
_ACTIONS = {
    "billing": ["check the account's last payments"],
    "technical": ["ask for version and steps", "look for a known problem"],
    "refund_request": ["check the order", "apply the refund policy"],
    "product_inquiry": ["answer from the documentation"],
    "complaint": ["apologise", "let a senior agent answer"],
    "compliment": ["say thank you", "pass it on"],
    "general_inquiry": ["answer or forward"],
}

TicketId = Annotated[str, Field(min_length=1, max_length=100, description="Number of the ticket")]
CustomerId = Annotated[str, Field(max_length=200, description="Who the customer is")]
Message = Annotated[str, Field(max_length=20_000, description="What the customer wrote")]
Priority = Annotated[str | None, Field(max_length=50, description="high, normal or low, in the caller's words")]
Level = Literal["low", "medium", "high", "critical"]


class ValidatedOut(BaseModel):
    is_valid: bool
    missing_fields: list[str]
    validation_message: str


class SpamOut(BaseModel):
    is_human: bool
    confidence: float
    reasoning: str


class AnalysisOut(BaseModel):
    ticket_id: str
    sentiment: str
    urgency: str
    category: str
    complexity: str
    key_issues: list[str]
    suggested_actions: list[str]
    category_confidence: float


class IntentOut(BaseModel):
    intent: str
    confidence: float
    reasoning: str
    escalate: bool = Field(description="A person should decide")


class RoutedOut(BaseModel):
    ticket_id: str
    department: str
    priority: str
    assigned_agent: str
    estimated_response_time: str
    required_skills: list[str]
    routing_reason: str


class ResponseOut(BaseModel):
    response: str
    tone: str
    key_points: list[str]
    sources: list[str] = Field(description="Documents that the answer draws on")
    generated_at: datetime


class SentOut(BaseModel):
    message_id: str
    status: Literal["sent"] = "sent"
    delivery_status: str = Field(description="published, or what the channel's own sender is asked to do")
    topic: str
    sent_at: datetime


class EscalatedOut(BaseModel):
    ticket_id: str
    escalation_id: str
    escalation_path: list[str]
    assigned_supervisor: str
    expected_response_time: str
    urgency: str
    follow_up_required: bool


class ClosedOut(BaseModel):
    ticket_id: str
    status: Literal["closed"] = "closed"
    closure_type: str
    tags: list[str]
    follow_up_date: datetime | None
    knowledge_base_update: bool
    closed_at: datetime


class InvoiceOut(BaseModel):
    invoice_id: str
    status: str
    action_taken: str
    resolution: str
    requires_follow_up: bool
    notes: list[str]


class SentimentOut(BaseModel):
    sentiment_analysis: dict[str, Any]


class CategoryOut(BaseModel):
    issue_categorization: dict[str, Any]


def build() -> Tools:
    """The tools of the support desk."""
    tools = Tools(in_context=True)
    _understanding(tools)
    _working(tools)
    return tools


def _understanding(tools: Tools) -> None:
    @tools.tool(_READ, title="Validate a ticket", read_only=True)
    def validate_ticket(
        call: Call, ticket_id: str = "", customer_id: str = "", message: Message = "", priority: Priority = None
    ) -> ValidatedOut:
        """Whether a ticket says enough to be worked on, and what is missing."""
        del call, priority
        given = {"ticket_id": ticket_id, "customer_id": customer_id, "message": message}
        missing = [name for name, value in given.items() if not value.strip()]
        told = f"missing: {', '.join(missing)}" if missing else "the ticket is complete"
        return ValidatedOut(is_valid=not missing, missing_fields=missing, validation_message=told)

    @tools.tool(_READ, title="Filter spam", read_only=True)
    def filter_spam(
        call: Call,
        message: Annotated[str, Field(min_length=1, max_length=20_000)],
        sender_reputation: Annotated[
            float | None, Field(ge=0, le=1, description="0 = known for spam, 1 = known to be good")
        ] = None,
    ) -> SpamOut:
        """Whether a person wrote the message and means it, by what it says, what marks it has, and who sent it."""
        found = call.services.classifier.spam(message, reputation=sender_reputation)
        return SpamOut(is_human=found.is_human, confidence=found.confidence, reasoning="; ".join(found.reasons))

    @tools.tool(_READ, title="Analyse a ticket", read_only=True)
    def analyze_ticket(
        call: Call, ticket_id: TicketId, customer_id: CustomerId, message: Message, priority: Priority
    ) -> AnalysisOut:
        """Mood, urgency, category and complexity of a ticket, what it is about, and what to do."""
        del customer_id
        category = call.services.classifier.category(message)
        level = triage.urgency(message)
        if level == "low" and triage.priority(priority) == "high":
            level = "high"
        actions = [*_ACTIONS[category.name], *(["answer within the hour"] if level in {"high", "critical"} else [])]
        return AnalysisOut(
            ticket_id=ticket_id,
            sentiment=_sentiment(call, message)[0],
            urgency=level,
            category=category.name,
            complexity=triage.complexity(message),
            key_issues=triage.key_issues(message),
            suggested_actions=actions,
            category_confidence=category.confidence,
        )

    @tools.tool(_READ, title="Intent of a ticket", read_only=True)
    def determine_ticket_intent(
        call: Call, customer_event: Annotated[str, Field(min_length=1, max_length=20_000)]
    ) -> IntentOut:
        """What the customer wants: RefundRequest, BillingInvoice, ProductQuestion or GeneralQuestion."""
        for intent, words, confidence in (
            ("RefundRequest", ("refund",), 0.9),
            ("BillingInvoice", ("billing", "invoice", "payment"), 0.85),
            ("ProductQuestion", ("how to", "feature", "technical"), 0.8),
        ):
            if said := [word for word in words if word in customer_event.lower()]:
                told = f"it says {said[0]!r}"
                return IntentOut(
                    intent=intent, confidence=confidence, reasoning=told, escalate=intent == _DECIDED_BY_PEOPLE
                )
        found = call.services.classifier.intent(customer_event)
        told = "closest in meaning to the examples of " + found.name
        return IntentOut(
            intent=found.name,
            confidence=max(found.confidence, 0.0),
            reasoning=told,
            escalate=found.name == _DECIDED_BY_PEOPLE,
        )

    @tools.tool(_READ, title="Mood of a message", read_only=True)
    def analyze_sentiment(
        call: Call,
        message: Annotated[str, Field(min_length=1, max_length=20_000)],
        language: Annotated[str, Field(max_length=10, description="The classifier knows English best")] = "en",
    ) -> SentimentOut:
        """The mood of a message, and how sure that is."""
        name, confidence = _sentiment(call, message)
        return SentimentOut(sentiment_analysis={"sentiment": name, "confidence": confidence, "language": language})

    @tools.tool(_READ, title="Category of an issue", read_only=True)
    def categorize_issue(call: Call, message: Annotated[str, Field(min_length=1, max_length=20_000)]) -> CategoryOut:
        """billing, technical, account or general, with the score of each category that was weighed."""
        found = call.services.classifier.category(message)
        names = {"billing": "billing", "refund_request": "billing", "technical": "technical"}
        primary = (
            "account"
            if "account" in message.lower() and found.name == "technical"
            else names.get(found.name, "general")
        )
        told = {"primary_category": primary, "confidence": found.confidence, "category_scores": dict(found.shares)}
        return CategoryOut(issue_categorization=told)


def _working(tools: Tools) -> None:
    @tools.tool(_SCOPE, title="Route a ticket")
    def ticket_router(
        call: Call,
        ticket_id: TicketId,
        department: Annotated[str, Field(max_length=100, description="In the caller's words")],
        routing_reason: Annotated[str, Field(min_length=1, max_length=2000)],
        priority: Priority = None,
        agent_id: Annotated[str | None, Field(max_length=100, description="Unset = the department's queue")] = None,
    ) -> RoutedOut:
        """Hand a ticket to a department, and say when it will be answered and by whom."""
        team, level = triage.department(department), triage.priority(priority)
        routed = RoutedOut(
            ticket_id=ticket_id,
            department=team,
            priority=level,
            assigned_agent=agent_id or f"{team}-queue",
            estimated_response_time=triage.RESPONSE[team][level],
            required_skills=list(triage.SKILLS[team]),
            routing_reason=routing_reason,
        )
        _noted(call, ticket_id, "routed", routed.model_dump(mode="json"))
        return routed

    @tools.tool(_READ, title="Draft a response", read_only=True)
    def generate_customer_response(
        call: Call,
        customer_event: Annotated[str, Field(min_length=1, max_length=20_000)],
        intent: Annotated[str, Field(max_length=100, description="Of determine_ticket_intent")],
        reasoning: Annotated[str, Field(max_length=2000)],
    ) -> ResponseOut:
        """A draft for the customer: the form is that of the intent, the substance what the knowledge base says about it."""
        tone, opening = _TONES.get(intent, _TONES["GeneralQuestion"])
        hits = call.services.search.search(customer_event[:1000], tenant=call.tenant, limit=3)
        close = [hit for hit in hits if hit.score >= _PASSAGE]
        parts = [opening]
        if close:
            parts.append("This may answer it already:\n\n" + close[0].text.strip()[:800])
        parts.append("A colleague will get back to you if anything is left open.")
        return ResponseOut(
            response="\n\n".join(parts),
            tone=tone,
            key_points=[*_STEPS.get(intent, _STEPS["GeneralQuestion"]), *([reasoning] if reasoning else [])],
            sources=list(dict.fromkeys(hit.document_id for hit in close)),
            generated_at=datetime.now(UTC),
        )

    @tools.tool(_SCOPE, title="Send a reply", open_world=True)
    def send_reply(
        call: Call,
        ticket_id: TicketId,
        message: Annotated[str, Field(min_length=1, max_length=5000)],
        channel: Literal["email", "chat", "phone", "sms"],
        priority: Priority = None,
    ) -> SentOut:
        """Publish a reply on the ticket's topic. Chats show it at once; what sends mail or calls takes it from there."""
        told = {"message": message, "channel": channel, "priority": triage.priority(priority)}
        sent = _noted(call, ticket_id, "reply", told)
        status = {"chat": "published", "phone": "callback_scheduled"}.get(channel, f"queued_for_{channel}")
        return SentOut(
            message_id=str(sent.message_id), delivery_status=status, topic=sent.topic, sent_at=sent.created_at
        )

    @tools.tool(_SCOPE, title="Escalate a ticket")
    def escalate_ticket(
        call: Call,
        ticket_id: TicketId,
        escalation_reason: Annotated[str, Field(min_length=10, max_length=2000)],
        target_team: Annotated[str | None, Field(max_length=100)] = None,
        urgency: Level = "medium",
    ) -> EscalatedOut:
        """Hand a ticket to those who decide more, by its reason and how urgent it is."""
        return _escalated(call, ticket_id, escalation_reason, target_team, urgency)

    @tools.tool(_SCOPE, title="Escalate to a person")
    def escalate_to_human(
        call: Call,
        ticket_id: TicketId,
        reason: Annotated[str, Field(min_length=1, max_length=2000)],
        urgency: Level = "medium",
        department: Annotated[str, Field(max_length=100)] = "general",
    ) -> EscalatedOut:
        """Ask a person to take over."""
        return _escalated(call, ticket_id, reason, triage.department(department), urgency)

    @tools.tool(_SCOPE, title="Close a ticket", idempotent=True)
    def close_ticket(
        call: Call,
        ticket_id: TicketId,
        resolution: Annotated[str, Field(min_length=10, max_length=5000)],
        customer_satisfaction: Annotated[int | None, Field(ge=1, le=5)] = None,
        follow_up_required: bool = False,
    ) -> ClosedOut:
        """Take a note of how a ticket ended, and when to look at it again."""
        now, kind = datetime.now(UTC), triage.closure(resolution)
        tags = [kind, *(["unhappy"] if customer_satisfaction is not None and customer_satisfaction < 3 else [])]  # noqa: PLR2004
        days = triage.follow_up_days(kind, customer_satisfaction)
        closed = ClosedOut(
            ticket_id=ticket_id,
            closure_type=kind,
            tags=tags,
            follow_up_date=now + timedelta(days=days) if follow_up_required or kind != "resolved" else None,
            knowledge_base_update=kind == "resolved" and len(resolution) > 50,  # noqa: PLR2004  # long enough to teach something
            closed_at=now,
        )
        _noted(call, ticket_id, "closed", {**closed.model_dump(mode="json"), "resolution": resolution})
        return closed

    @tools.tool(_SCOPE, title="Process an invoice")
    def process_invoice(
        call: Call,
        invoice_id: Annotated[str, Field(min_length=1, max_length=100)],
        customer_id: CustomerId,
        request_type: Literal["payment", "dispute", "inquiry", "correction"],
        amount: Annotated[float | None, Field(ge=0)] = None,
    ) -> InvoiceOut:
        """Hand a request about an invoice to billing: it is put on the invoice's topic. No money is moved here."""
        status, action, resolution, follow_up = {
            "payment": ("pending", "payment_requested", "Billing will confirm the payment.", True),
            "dispute": ("under_review", "dispute_opened", "The dispute will be reviewed within 5 working days.", True),
            "inquiry": ("information_requested", "inquiry_forwarded", "Billing will answer the question.", False),
            "correction": ("pending_correction", "correction_requested", "A corrected invoice will be sent.", True),
        }[request_type]
        notes = [f"customer {customer_id}", *([f"amount {amount:.2f}"] if amount is not None else [])]
        found = InvoiceOut(
            invoice_id=invoice_id,
            status=status,
            action_taken=action,
            resolution=resolution,
            requires_follow_up=follow_up,
            notes=notes,
        )
        _noted(call, invoice_id, action, found.model_dump(mode="json"), area="invoices")
        return found


def _sentiment(call: Call, message: str) -> tuple[str, float]:
    """By the words that tell, else by meaning."""
    if (told := triage.mood(message)) is not None:
        name, hits = told
        return name, round(min(0.9, 0.6 + 0.1 * hits), 2)
    found = call.services.classifier.sentiment(message)
    return found.name, found.confidence


def _escalated(call: Call, ticket_id: str, reason: str, team: str | None, level: Level) -> EscalatedOut:
    path = triage.escalation_path(f"{reason} {team or ''}", level)
    now = datetime.now(UTC)
    identity = f"ESC-{now:%Y%m%d}-{new_message_id().int % 10_000:04d}"
    found = EscalatedOut(
        ticket_id=ticket_id,
        escalation_id=identity,
        escalation_path=path,
        assigned_supervisor=path[0],
        expected_response_time=triage.REACTION[level],
        urgency=level,
        follow_up_required=level in {"high", "critical"},
    )
    _noted(call, ticket_id, "escalated", {**found.model_dump(mode="json"), "reason": reason})
    return found


def _noted(call: Call, identity: str, what: str, facts: dict[str, Any], *, area: str = "tickets") -> Any:
    """Whatever is done to a ticket is a message on its topic."""
    topic = f"support.{area}.{_UNSAFE.sub('-', identity).strip('-').lower() or 'unnamed'}"
    message = NewMessage(
        topic=topic,
        sender=call.principal.username,
        message_id=new_message_id(),
        content={"event": what, "id": identity, **facts},
        headers={"event": what},
    )
    return call.services.publisher.publish(message, tenant=call.tenant)
