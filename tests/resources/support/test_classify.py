"""On messages that are not among the examples."""

from __future__ import annotations

import pytest

from resources.ai.minilm import MiniLmEmbedder
from resources.support.classify import MessageClassifier

SPAM = (
    "CONGRATULATIONS!!! You were selected as the winner of a $1,000,000 lottery. Click here: http://win.example",
    "Make $5000 weekly working from home, 100% free to join, act now",
    "We can get your site to the first page of Google, guaranteed. Reply for our price list.",
    "Lose 20 pounds in one week with this miracle pill, order at http://a.example or http://b.example",
    "Your mailbox is full, confirm your password within 24 hours or it will be closed: http://mail.example",
    "Invest in our crypto fund and triple your money in three days",
)
HUMAN = (
    "Hello, my parcel was supposed to be here on Monday but tracking shows nothing. Can you check?",
    "The CSV export misses the last column since your update on Friday.",
    "I'd like to move from the monthly to the yearly plan. What happens with what I paid already?",
    "WHY DOES NOBODY ANSWER MY EMAILS? MY ACCOUNT HAS BEEN LOCKED FOR TWO DAYS",
    "You charged my card $49 although I cancelled in March. Please return it.",
    "How can I invite a colleague to my workspace?",
    "Your colleague Anna was very kind, please thank her from me.",
)


@pytest.fixture(scope="module")
def classifier() -> MessageClassifier:
    return MessageClassifier(MiniLmEmbedder())


@pytest.mark.parametrize("text", SPAM)
def test_spam_is_filtered(classifier: MessageClassifier, text: str) -> None:
    assert not classifier.spam(text).is_human


@pytest.mark.parametrize("text", HUMAN)
def test_what_people_write_gets_through(classifier: MessageClassifier, text: str) -> None:
    assert classifier.spam(text).is_human


def test_the_reputation_of_the_sender_counts(classifier: MessageClassifier) -> None:
    text = "Special offer for our partners this week"
    trusted, notorious = classifier.spam(text, reputation=1.0), classifier.spam(text, reputation=0.0)
    assert trusted.is_human
    assert not notorious.is_human


@pytest.mark.parametrize(
    ("text", "intent"),
    [
        ("The shoes do not fit, I would like my money back", "RefundRequest"),
        ("The VAT number on the bill of May is wrong", "BillingInvoice"),
        ("Is it possible to schedule a report every Monday?", "ProductQuestion"),
        ("Where are your headquarters?", "GeneralQuestion"),
    ],
)
def test_the_intent_is_told_by_meaning(classifier: MessageClassifier, text: str, intent: str) -> None:
    assert classifier.intent(text).name == intent


@pytest.mark.parametrize(
    ("text", "category"),
    [
        ("The screen stays black after I sign in", "technical"),
        ("You took the payment two times from my bank account", "billing"),
        ("Fantastic work, you made my day", "compliment"),
    ],
)
def test_the_category_is_told_by_meaning(classifier: MessageClassifier, text: str, category: str) -> None:
    found = classifier.category(text)
    assert found.name == category
    assert sum(found.shares.values()) == pytest.approx(1, abs=0.01)
