"""Classifiers of short texts: by their meaning (nearest examples, MiniLM) and, for spam, by marks that spammers leave as well.

A message is compared with a handful of examples of each label; the mean of the two nearest ones is the label's score, and a
softmax over the scores tells how sure that is. What it says was checked on messages that are not among the examples
(`tests/resources/support`).
"""

from __future__ import annotations

import math
import re
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from resources.support.examples import CATEGORIES, HUMAN, INTENTS, SENTIMENTS, SPAM

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from resources.ai.embedder import Embedder

_SHARPNESS: Final = 12.0
_NEAREST: Final = 2

_LINK = re.compile(r"https?://|www\.", re.IGNORECASE)
_MONEY = re.compile(r"[$€£]\s?\d|\d\s?(?:dollars|euros|usd|eur)\b|\bmillions?\b", re.IGNORECASE)
_PHRASES: Final = (
    "viagra", "lottery", "winner", "congratulations", "click here", "free money", "casino", "no credit check", "act now",
    "limited time", "guaranteed", "100% free", "earn money", "work from home", "bitcoin giveaway", "prize", "risk free",
    "no experience needed", "wire transfer", "bank details",
)  # fmt: skip
QUERY_SPAM: Final = ("viagra", "lottery", "winner", "congratulations", "click here", "free money")
"""Words that make a question to the knowledge base spam."""


@dataclass(frozen=True, slots=True)
class Label:
    """What a text is, how sure that is (0 to 1), and the other labels' shares."""

    name: str
    confidence: float
    shares: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class SpamVerdict:
    """Whether a person wrote it who means it. `reasons` say what told."""

    is_human: bool
    confidence: float
    reasons: tuple[str, ...]


class MessageClassifier:
    """Safe to share between threads. The examples are embedded when they are needed for the first time."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._lock = threading.Lock()
        self._embedded: dict[str, tuple[NDArray[np.float32], NDArray[np.int64], tuple[str, ...]]] = {}

    def intent(self, text: str) -> Label:
        """RefundRequest, BillingInvoice, ProductQuestion or GeneralQuestion."""
        return self._nearest("intent", INTENTS, text)

    def category(self, text: str) -> Label:
        """What it is about."""
        return self._nearest("category", CATEGORIES, text)

    def sentiment(self, text: str) -> Label:
        """The mood of who wrote it."""
        return self._nearest("sentiment", SENTIMENTS, text)

    def spam(self, text: str, *, reputation: float | None = None) -> SpamVerdict:
        """Whether the text is spam. `reputation` of the sender: 0 = known for spam, 1 = known to be good, None = unknown."""
        shares = self._nearest("spam", {"spam": SPAM, "human": HUMAN}, text).shares
        weights = [(4.0 * (shares["spam"] - shares["human"]), f"{shares['spam']:.0%} like spam in meaning")]
        lowered = text.lower()
        if found := [phrase for phrase in _PHRASES if phrase in lowered]:
            weights.append((0.9 * min(len(found), 3), f"says {', '.join(map(repr, found[:3]))}"))
        if (links := len(_LINK.findall(text))) > 1:
            weights.append((0.5 * min(links, 4), f"has {links} links"))
        if money := len(_MONEY.findall(text)):
            weights.append((0.4 * min(money, 2), "offers or asks for sums of money"))
        letters = [letter for letter in text if letter.isalpha()]
        if len(letters) > 20 and sum(map(str.isupper, letters)) > 0.6 * len(letters):  # noqa: PLR2004  # shouting
            weights.append((0.8, "is written in capitals"))
        if "!!!" in text:
            weights.append((0.6, "shouts"))
        if reputation is not None:
            weights.append((3.0 * (0.5 - reputation), f"comes from a sender of reputation {reputation:.2f}"))
        score = 1 / (1 + math.exp(-(sum(weight for weight, _ in weights) - 0.6)))
        is_human = score < 0.5  # noqa: PLR2004  # as likely as not
        told = [reason for weight, reason in weights if (weight < 0) == is_human or weights[0][1] == reason]
        return SpamVerdict(is_human, round(max(score, 1 - score), 3), tuple(told))

    def _nearest(self, kind: str, examples: Mapping[str, Sequence[str]], text: str) -> Label:
        vectors, owners, names = self._examples(kind, examples)
        similar = vectors @ self._embedder.embed([text])[0]
        scores = np.array([np.sort(similar[owners == number])[-_NEAREST:].mean() for number in range(len(names))])
        powers = np.exp(_SHARPNESS * (scores - scores.max()))
        shares = powers / powers.sum()
        best = int(shares.argmax())
        told = {name: round(float(share), 3) for name, share in zip(names, shares, strict=True)}
        return Label(names[best], told[names[best]], told)

    def _examples(
        self, kind: str, examples: Mapping[str, Sequence[str]]
    ) -> tuple[NDArray[np.float32], NDArray[np.int64], tuple[str, ...]]:
        with self._lock:
            if kind not in self._embedded:
                texts = [text for listed in examples.values() for text in listed]
                owners = [number for number, listed in enumerate(examples.values()) for _ in listed]
                self._embedded[kind] = (self._embedder.embed(texts), np.array(owners), tuple(examples))
            return self._embedded[kind]
