"""One pass over a document: the sentences and words that all analysers look at.

Program code, addresses, version numbers, file names and identifiers are taken out first: they are not prose, and would fill
the list of concepts with `foo_bar`. Offsets stay those of the document's text.
"""

from __future__ import annotations

import functools
import itertools
import re
from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from resources.content.analysers.words import STOP_WORDS
from resources.content.model import MediaType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resources.content.model import ParsedDocument

MAX_CHARS = 200_000
"""The analysers read this much of the beginning of a document: enough to know what it is about, and bounded."""

_NOISE = re.compile(
    r"(?:https?://|www\.|mailto:|file:)\S+"  # addresses
    r"|[\w.+-]+@[\w-]+\.[\w.-]+"  # mail
    r"|(?<!\w)[~.]?(?:/[\w.+-]+){2,}/?"  # paths
    r"|\bv?\d+(?:[.:]\d+)+[\w+-]*\*?"  # versions, times
    r"|\w*_\w[\w.]*(?:\(\))?"  # identifiers with underscores
    r"|\b\w+(?:\.\w+)+\(\)?|\b\w+\(\)"  # calls
    r"|\b[a-zA-Z]\w*(?:\.[a-z]\w*){1,}\b"  # dotted names, file names
    r"|(?<!\w)--?[a-zA-Z][\w-]+"  # options
    r"|\b[0-9a-f]{7,40}\b"  # hashes
    r"|:[a-z_]{3,20}:|#\d+|@[\w-]+"  # emoji codes, issue numbers, handles
)
_WORD = re.compile(r"[^\W\d_](?:[\w]|['’](?=\w)|[-+](?=[^\W_]))*(?:\+\+|#(?!\w))?")
_ENDING = r"[.!?…]+[\"'”’)\]]*(?=\s+[\"“'(\[]?[^\Wa-z_]|\s*\Z)|[。！？]+|\n\s*\n|\n(?=\s*(?:[-*•]|\d+[.)])\s)"
_SENTENCE_END = re.compile(_ENDING)
_SENTENCE_OR_LINE_END = re.compile(_ENDING + r"|\n")
_ENDS = tuple(".!?…。！？\"')”")
_SHORTEST_SENTENCE = 3
_SHORTEST_TELLING = 2
_SHORTEST_PLURAL = 4
_ABBREVIATION = re.compile(r"\b(?:e\.g|i\.e|vs|cf|Mr|Mrs|Ms|Dr|Prof|St|Fig|approx|incl|resp|[A-Z])\.\Z")
_MARGINAL = re.compile(
    r"(?:change ?-?log|changes|release ?notes|release (?:information|history)|releases?$|history"
    r"|what['’]?s (?:new|changed)|licen[cs]|contribut"
    r"|sponsor|credits|acknowledge|authors?$|thanks|support(?:ing)? (?:us|the)|code of conduct|table of contents|contents?$"
    r"|contact|citation|citing|copyright|maintainers|security (?:policy|contact|report)|reporting|disclaimer|badges|donat|backers"
    r"|new contributors|bug ?fix|fixe?[ds]|deprecat|security contact|packaging$|links$)",
    re.IGNORECASE,
)
_RELEASE = re.compile(r"\s*(?:version|release)?\s*v?\d+\.\d+", re.IGNORECASE)
_MOSTLY = 0.9
_SYLLABLES = re.compile(r"[aeiouyà-öø-ÿ]+")


class Word(NamedTuple):
    """A word of prose (a tuple: there are many, and frozen dataclasses are slow to make).

    `opens` = first of its sentence; `joined` = only a space stands between it and the word before; `telling` = it carries
    meaning: not grammar, and longer than two letters.
    """

    text: str
    lower: str
    start: int
    opens: bool
    joined: bool
    telling: bool


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence, with the range of its words in `Reading.words`. `prose` = it ends like one, and is no heading."""

    text: str
    start: int
    first: int
    last: int
    prose: bool


@dataclass(frozen=True, slots=True)
class Reading:
    """The document as sentences and words."""

    document: ParsedDocument
    sentences: tuple[Sentence, ...]
    words: tuple[Word, ...]
    headings: frozenset[int]
    """Indexes of the words that stand in a heading."""
    margins: frozenset[int]
    """Indexes of the words in sections that are not about the subject: change logs, licences, credits."""


def read(document: ParsedDocument) -> Reading:
    """Split the document's prose. In text that is wrapped at a margin, the end of a line ends nothing."""
    prose = _blank(document.text[:MAX_CHARS], document.code)
    prose = _NOISE.sub(_zeros, prose)
    wrapped = document.media_type in {MediaType.TEXT, MediaType.PDF}
    titles = {
        section.start: section.start + len(section.title)
        for section in document.sections
        if document.text.startswith(section.title, section.start)
    }
    words: list[Word] = []
    sentences: list[Sentence] = []
    headings: set[int] = set()
    for start, end in _spans(prose, document.text, _SENTENCE_END if wrapped else _SENTENCE_OR_LINE_END, titles):
        first = len(words)
        previous = -1
        for match in _WORD.finditer(prose, start, end):
            joined = previous >= 0 and match.start() - previous == 1 and prose[previous] in " \n-"
            text = match[0].replace("’", "'")
            lower = text.lower()
            telling = len(lower) > _SHORTEST_TELLING and lower not in STOP_WORDS
            words.append(Word(text, lower, match.start(), previous < 0, joined, telling))
            previous = match.end()
        if len(words) == first:
            continue
        is_heading = titles.get(start) == end
        if is_heading:
            headings.update(range(first, len(words)))
        text = document.text[start:end].strip()
        is_prose = not is_heading and len(words) - first >= _SHORTEST_SENTENCE and text[-1:] in _ENDS
        sentences.append(Sentence(text, start, first, len(words), is_prose))
    return Reading(document, tuple(sentences), tuple(words), frozenset(headings), _margins(document, words))


def _margins(document: ParsedDocument, words: Sequence[Word]) -> frozenset[int]:
    """Words of marginal sections; none when the whole document is marginal, such as a change log in its own file."""
    ranges = [
        (section.start, section.end)
        for section in document.sections
        if _MARGINAL.match(section.title.strip(" #*:-0123456789.")) or _RELEASE.match(section.title)
    ]
    starts = [word.start for word in words]
    found: set[int] = set()
    for start, end in ranges:
        found.update(range(bisect_left(starts, start), bisect_left(starts, end)))
    return frozenset(found) if len(found) < _MOSTLY * len(words) else frozenset()


def _zeros(match: re.Match[str]) -> str:
    return "\x00" * len(match[0])


def _blank(text: str, code: tuple[tuple[int, int], ...]) -> str:
    """`text` with code replaced by as many zero bytes."""
    if not code:
        return text
    parts: list[str] = []
    position = 0
    for start, end in code:
        if start < position or start >= len(text):
            continue
        parts.append(text[position:start])
        parts.append("\x00" * (min(end, len(text)) - start))
        position = min(end, len(text))
    parts.append(text[position:])
    return "".join(parts)


def _spans(prose: str, text: str, end_pattern: re.Pattern[str], titles: dict[int, int]) -> list[tuple[int, int]]:
    """Ranges of sentences, without outer space. Each heading is one of its own."""
    cuts = {0, len(prose)}
    for start, end in titles.items():
        if end <= len(prose):
            cuts.update((start, end))
    for match in end_pattern.finditer(prose):
        if match[0][0] != "." or not _ABBREVIATION.search(text[max(0, match.start() - 8) : match.start() + 1]):
            cuts.add(match.end())
    spans: list[tuple[int, int]] = []
    edges = sorted(cuts)
    for start, end in itertools.pairwise(edges):
        piece = prose[start:end]
        stripped = piece.strip()
        if stripped:
            start += len(piece) - len(piece.lstrip())  # noqa: PLW2901
            spans.append((start, start + len(stripped)))
    return spans


@functools.lru_cache(maxsize=20_000)
def syllables(word: str) -> int:
    """Syllables of an English word, by groups of vowels; the silent e is left out."""
    count = len(_SYLLABLES.findall(word))
    if (word.endswith("e") and not word.endswith(("le", "ee")) and count > 1) or (
        word.endswith(("ed", "es"))
        and count > 1
        and not word.endswith(("ted", "ded", "ses", "zes", "ches", "shes", "ges", "ces"))
    ):
        count -= 1
    return max(count, 1)


@functools.lru_cache(maxsize=20_000)
def singular(word: str) -> str:
    """The singular of an English noun in lower case, by its ending; other words are left as they are."""
    if len(word) < _SHORTEST_PLURAL or word.endswith(("ss", "us", "is", "ous", "ics", "ness")) or word in _NO_PLURAL:
        return word
    if word.endswith("ies") and len(word) > _SHORTEST_PLURAL:
        return word[:-3] + "y"
    if word.endswith(("sses", "ches", "shes", "xes")):
        return word[:-2]
    return word.removesuffix("s")


_NO_PLURAL = frozenset(
    [
        "https",
        "kubernetes",
        "redis",
        "postgres",
        "pandas",
        "keras",
        "jenkins",
        "nodejs",
        "news",
        "series",
        "species",
        "windows",
        "macos",
        "linux",
        "aws",
        "css",
        "dns",
        "tls",
        "https",
        "always",
        "bias",
        "alias",
        "canvas",
        "atlas",
        "gas",
        "lens",
        "status",
        "analysis",
        "pytest",
        "django",
        "kombu",
        "axios",
        "celery",
        "requests",
        "docutils",
        "attrs",
        "databricks",
        "sass",
        "less",
        "has",
        "pass",
        "class",
        "process",
        "access",
        "address",
        "success",
        "business",
        "express",
        "press",
    ]
)
