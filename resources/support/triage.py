"""What is to be done with a ticket, by rule: urgency, teams, times, paths of escalation. Pure."""

from __future__ import annotations

import re
from typing import Final

URGENT: Final = {"critical": ("urgent", "emergency", "outage"), "high": ("asap", "immediately"), "medium": ("soon",)}

_MOODS: Final = {
    "frustrated": ("frustrated", "annoyed", "fed up", "ridiculous", "again and again", "still not", "unacceptable"),
    "confused": ("confused", "don't understand", "do not understand", "unclear", "how do i", "not sure how"),
    "negative": ("terrible", "awful", "horrible", "worst", "bad", "disappointed", "hate", "angry"),
    "positive": ("great", "excellent", "love", "thank", "wonderful", "perfect", "happy", "amazing"),
}
DEPARTMENTS: Final = {
    "billing": ("billing", "finance", "accounting", "payments", "invoices", "refund", "refunds"),
    "technical": ("technical", "tech", "support", "engineering", "it"),
    "sales": ("sales", "business", "account management"),
}
PRIORITIES: Final = {
    "high": ("high", "urgent", "critical"),
    "low": ("low", "minor"),
}
RESPONSE: Final = {
    "billing": {"high": "2 hours", "normal": "4 hours", "low": "1 day"},
    "technical": {"high": "4 hours", "normal": "1 day", "low": "2 days"},
    "sales": {"high": "1 hour", "normal": "2 hours", "low": "4 hours"},
    "general": {"high": "2 hours", "normal": "4 hours", "low": "8 hours"},
}
SKILLS: Final = {
    "billing": ("billing systems", "payment processing", "refund policy"),
    "technical": ("troubleshooting", "product knowledge", "log analysis"),
    "sales": ("product knowledge", "pricing", "negotiation"),
    "general": ("communication", "product basics"),
}
ESCALATION: Final = {
    "legal": (("legal", "lawyer", "lawsuit", "court", "gdpr"), ("Legal counsel", "Compliance officer")),
    "technical": (("technical", "outage", "bug", "data loss", "security"), ("Senior engineer", "Engineering manager")),
    "billing": (("billing", "invoice", "charge", "payment"), ("Billing specialist", "Finance manager")),
    "refund": (("refund", "money back", "chargeback"), ("Refund specialist", "Finance manager")),
}
REACTION: Final = {"critical": "30 minutes", "high": "2 hours", "medium": "8 hours", "low": "1 day"}

_SENTENCE = re.compile(r"[^.!?\n]+[.!?]?")


def urgency(text: str) -> str:
    """critical, high, medium or low, by the words that tell."""
    return _told_by(URGENT, text) or "low"


def mood(text: str) -> tuple[str, int] | None:
    """The mood that words tell, and how many do; None when none does. The worse mood wins a draw."""
    lowered = text.lower()
    hits = {name: sum(word in lowered for word in words) for name, words in _MOODS.items()}
    best = max(hits, key=lambda name: hits[name])
    return (best, hits[best]) if hits[best] else None


def complexity(text: str) -> str:
    """By length: complex above 100 words, moderate above 50."""
    words = len(text.split())
    return "complex" if words > 100 else "moderate" if words > 50 else "simple"  # noqa: PLR2004


def key_issues(text: str, *, most: int = 3) -> list[str]:
    """The sentences that tell what is wrong, else the first one."""
    telling = (
        "not",
        "n't",
        "error",
        "fail",
        "problem",
        "issue",
        "wrong",
        "broken",
        "crash",
        "charge",
        "refund",
        "cancel",
    )
    sentences = [found.strip() for found in _SENTENCE.findall(text) if found.strip()]
    issues = [one for one in sentences if any(word in one.lower() for word in telling)]
    return [one[:200] for one in (issues or sentences[:1])[:most]]


def department(name: str) -> str:
    """The department that is meant; `general` for one that nobody knows."""
    wanted = name.strip().lower()
    return next((known for known, names in DEPARTMENTS.items() if wanted in names), "general")


def priority(name: str | None) -> str:
    """high, normal or low."""
    wanted = (name or "normal").strip().lower()
    return next((known for known, names in PRIORITIES.items() if wanted in names), "normal")


def escalation_path(reason: str, level: str) -> list[str]:
    """Who is asked, one after the other."""
    lowered = reason.lower()
    found = next((path for words, path in ESCALATION.values() if any(word in lowered for word in words)), None)
    path = [*(found or ("Senior agent", "Support manager"))]
    if level in {"high", "critical"}:
        path.append("Director of customer service")
    if level == "critical":
        path.append("Executive team")
    return path


def closure(resolution: str) -> str:
    """resolved, escalated, no_response, duplicate or cancelled, by the words of the resolution."""
    lowered = resolution.lower()
    if "escalat" in lowered:
        return "escalated"
    if "no response" in lowered or "not respond" in lowered or "did not answer" in lowered:
        return "no_response"
    if "duplicate" in lowered:
        return "duplicate"
    return "cancelled" if "cancel" in lowered or "withdrawn" in lowered else "resolved"


def follow_up_days(kind: str, satisfaction: int | None) -> int:
    """When to look again."""
    if kind == "escalated":
        return 1
    if kind == "no_response":
        return 3
    return 2 if satisfaction is not None and satisfaction < 3 else 7  # noqa: PLR2004


def _told_by(table: dict[str, tuple[str, ...]], text: str) -> str | None:
    lowered = text.lower()
    return next((name for name, words in table.items() if any(word in lowered for word in words)), None)
