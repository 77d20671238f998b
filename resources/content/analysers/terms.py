"""Concepts and keywords: what the document is about.

Concepts are runs of one to three words that no grammatical word, verb or punctuation interrupts (as in RAKE, Rose et al. 2010),
trimmed of words that say nothing at the edge of a phrase. They are scored by frequency, length, early appearance and capitals;
one mention is enough in a heading, elsewhere it takes several. Forms of one concept (`event`, `Events`) are counted together and
shown in the form that the document uses most.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass, field
from itertools import compress, pairwise
from typing import TYPE_CHECKING

from resources.content.analysers.lexicon import LEXICON, Flag, has_inner_capital, singular
from resources.content.analysers.words import GENERIC, TECHNICAL_ENDINGS, VAGUE
from resources.content.model import ScoredTerm

if TYPE_CHECKING:
    from resources.content.analysers.reading import Reading

MAX_CONCEPTS = 20
MAX_KEYWORDS = 15
_LONGEST_PHRASE = 3
_SINGLE_MENTIONS = 3
_PHRASE_MENTIONS = 2
_MAX_NAME = 60
_SHORT_WORD = 4
_FEW = 8
_MOST_MENTIONS = 10
_VERSION = re.compile(r"[a-z]{0,2}\d[\w.]*")
_ADJECTIVES = ("ful", "ous", "ible", "less", "tial", "ical")
_RUN = re.compile(r"[AGEFagef][agij]*")
_EDGES = "gjfGF"
_UPPER = 0xDF
"""Takes the bit from a letter of ASCII that makes it a small one."""
_LENGTHS = ((1,), (1, 2))
_SHORT_DOCUMENT = 200
_PARTS = {1: ((0, 1),), 2: ((0, 1), (1, 2), (0, 2)), 3: ((0, 1), (1, 2), (2, 3), (0, 2), (1, 3))}


@dataclass(slots=True)
class _Candidate:
    """All mentions of one concept."""

    key: tuple[str, ...]
    first: int
    count: int = 0
    in_heading: bool = False
    capitalised: int = 0
    inner: int = 0
    forms: dict[str, int] = field(default_factory=dict)


def concepts(reading: Reading) -> tuple[ScoredTerm, ...]:
    """At most 20, best first; `score` is min(1, max(.1, points / 10)).

    A document too short to repeat itself is given its phrases of two or three words, though they stand there once.
    """
    found = _candidates(reading)
    total = max(len(reading.texts), 1)
    mentions = _PHRASE_MENTIONS if total < _SHORT_DOCUMENT else _SINGLE_MENTIONS
    telling = [candidate for candidate in found.values() if _is_telling(candidate, mentions)]
    if len(telling) < _FEW:
        telling = _with_inner(telling, found, mentions)
    chosen = sorted(telling, key=lambda item: (-_points(item, total), item.first, item.key))[:MAX_CONCEPTS]
    if len(chosen) < _FEW:
        known = {candidate.key for candidate in chosen}
        single = [
            item
            for item in found.values()
            if len(item.key) > 1
            and _is_phrase(item)
            and not item.key[-1].endswith(_ADJECTIVES)
            and not any(_contains(item.key, key) for key in known)
        ]
        single.sort(key=lambda item: (-_points(item, total), item.first, item.key))
        chosen += single[: _FEW - len(chosen)]
    return tuple(
        ScoredTerm(
            text=_shown(candidate),
            score=round(min(1.0, max(0.1, _points(candidate, total) / 10)), 4),
            count=candidate.count,
        )
        for candidate in chosen
    )


def _candidates(reading: Reading) -> dict[tuple[str, ...], _Candidate]:
    """Every phrase with its mentions. The words' roles are one string, and a phrase is what a pattern finds in it."""
    roles = bytearray(reading.roles)
    for index in compress(range(len(roles)), reading.fresh):
        roles[index] &= _UPPER
    for first, last in reading.margins:
        roles[first:last] = b"x" * (last - first)
    line = roles.decode()
    found: dict[tuple[str, ...], _Candidate] = {}
    capitals = reading.marked(Flag.CAPITAL)
    for match in _RUN.finditer(line):
        start, end = match.span()
        while start < end and line[start] in _EDGES:
            start += 1
        while start < end and line[end - 1] in _EDGES:
            end -= 1
        if end - start > _LONGEST_PHRASE:
            # A long run is most likely a list without commas or a title: its words count alone.
            for position in range(start, end):
                if line[position] not in _EDGES:
                    _count(position, position + 1, reading, capitals, found)
        elif start < end:
            _count(start, end, reading, capitals, found)
    return found


def _count(start: int, end: int, reading: Reading, capitals: bytes, found: dict[tuple[str, ...], _Candidate]) -> None:
    if end - start == 1:
        key: tuple[str, ...] = (reading.singulars[start],)
        form = reading.texts[start]
    else:
        key = (*reading.lowers[start : end - 1], reading.singulars[end - 1])
        form = " ".join(reading.texts[start:end])
    candidate = found.get(key)
    if candidate is None:
        candidate = found[key] = _Candidate(key, start)
    candidate.count += 1
    if start in reading.headings:
        candidate.in_heading = True
        plain = False
    else:
        plain = start not in reading.opening
    if plain:
        candidate.inner += 1
        candidate.capitalised += capitals[start]
    candidate.forms[form] = candidate.forms.get(form, 0) + (3 if plain else 1)


def _with_inner(telling: list[_Candidate], found: dict[tuple[str, ...], _Candidate], mentions: int) -> list[_Candidate]:
    """With the phrases and words that only stand inside of others: `water` in `cooler water`, `green tea` in `green tea wants`.

    What stands in a phrase is counted together with what stands alone, but for its mentions in a longer phrase that is a concept
    itself (as the C-value of Frantzi and Ananiadou 2000 does).
    """
    inside: dict[tuple[str, ...], list[tuple[_Candidate, int, int]]] = {}
    for candidate in found.values():
        key = candidate.key
        for start, end in _PARTS[len(key)]:
            part = key[start:end] if end == len(key) else (*key[start : end - 1], singular(key[end - 1]))
            inside.setdefault(part, []).append((candidate, start, end))
    known = {candidate.key: candidate for candidate in telling}
    for key, mentioned in sorted(inside.items(), key=lambda item: -len(item[0])):
        whole = found.get(key)
        if key in known or not (_is_repeated(mentioned) or (whole is not None and whole.in_heading)):
            continue
        if any(LEXICON.entry(word).role != "a" for word in key):
            continue
        candidate = _merged(key, mentioned)
        candidate.count -= sum(
            [longer.count for longer in known.values() if len(longer.key) > len(key) and _holds(longer.key, key)]
        )
        if whole is not None:
            candidate.in_heading, candidate.inner, candidate.capitalised = (
                whole.in_heading,
                whole.inner,
                whole.capitalised,
            )
        if _is_telling(candidate, mentions):
            known[key] = candidate
    return list(known.values())


def _is_repeated(mentioned: list[tuple[_Candidate, int, int]]) -> bool:
    return len(mentioned) >= _PHRASE_MENTIONS or mentioned[0][0].count >= _PHRASE_MENTIONS


def _merged(key: tuple[str, ...], mentioned: list[tuple[_Candidate, int, int]]) -> _Candidate:
    """One candidate for what stands within others, from which word to which."""
    merged = _Candidate(key, min(candidate.first + start for candidate, start, _ in mentioned))
    for candidate, start, end in mentioned:
        merged.count += candidate.count
        for form, weight in candidate.forms.items():
            shown = " ".join(form.split(" ")[start:end])
            merged.forms[shown] = merged.forms.get(shown, 0) + weight
    return merged


def _is_telling(candidate: _Candidate, mentions: int) -> bool:
    if candidate.count < _PHRASE_MENTIONS and not candidate.in_heading:
        return False
    key = candidate.key
    if len(key) == 1:
        word = key[0]
        if len(word) > _MAX_NAME:
            return False
        if word in GENERIC or word in VAGUE:
            return False
        if len(word) < _SHORT_WORD and not _is_name(candidate) and not any(map(_is_acronym, candidate.forms)):
            return False
        if candidate.count >= mentions:
            return True
        spelled = candidate.in_heading or any(map(has_inner_capital, candidate.forms))
        return spelled and candidate.count >= _PHRASE_MENTIONS
    return _is_phrase(candidate) and candidate.count >= (1 if candidate.in_heading else _PHRASE_MENTIONS)


def _holds(key: tuple[str, ...], part: tuple[str, ...]) -> bool:
    """Whether a phrase holds another one, shorter than itself. Only the last word of a part is in the singular."""
    size = len(part)
    return any((*key[at : at + size - 1], singular(key[at + size - 1])) == part for at in range(len(key) - size + 1))


def _contains(key: tuple[str, ...], part: tuple[str, ...]) -> bool:
    """Whether a phrase is another one, or that one with a word more."""
    return key == part or part in {key[:-1], key[1:]}


def _is_phrase(candidate: _Candidate) -> bool:
    """Two or three different words, each long enough to be one, that are not mostly numbers of a version."""
    key = candidate.key
    return (
        len(set(key)) == len(key)
        and sum(map(len, key)) + len(key) - 1 <= _MAX_NAME
        and all(len(word) > 1 for word in key)
        and not any(_VERSION.fullmatch(word) for word in key)
    )


def _is_acronym(form: str) -> bool:
    return len(form) > 1 and form.isupper()


def _is_name(candidate: _Candidate) -> bool:
    """Written with a capital within sentences, more often than not."""
    return candidate.inner > 0 and candidate.capitalised * 2 > candidate.inner


def _points(candidate: _Candidate, total: int) -> float:
    """2 root(frequency) + 1.5 a word of a phrase + 2 earliness + 1 for a name + 1 in a heading.

    The root and the smaller weights keep a long document's concepts from all having the highest score.
    """
    words = len(candidate.key)
    return (
        2.0 * math.sqrt(min(candidate.count, _MOST_MENTIONS))
        + (1.5 * words if words > 1 else 0.0)
        + 2.0 * (1 - candidate.first / total)
        + _is_name(candidate)
        + candidate.in_heading
    )


def _shown(candidate: _Candidate) -> str:
    """The form used most; plain nouns in lower case and in the singular, names and acronyms as they are written."""
    form = min(candidate.forms, key=lambda text: (-candidate.forms[text], text))
    parts = form.split(" ")
    last = parts[-1]
    if last.lower() != candidate.key[-1] and last.lower().endswith("s"):
        parts[-1] = last[: len(candidate.key[-1])] if candidate.key[-1].startswith(last.lower()[:-3]) else last
        if parts[-1].lower() != candidate.key[-1]:
            parts[-1] = candidate.key[-1]
    keep = _is_name(candidate) or (candidate.inner == 0 and len(parts) == 1 and not parts[0].istitle())
    return " ".join(part if keep or has_inner_capital(part) else part.lower() for part in parts)


def keywords(reading: Reading) -> tuple[ScoredTerm, ...]:
    """At most 15 words and phrases of two or three words; the best one's score is 1.

    Points: 10 tf + 1 to 2 for length + 3 if technical + 2 (1 - first position), phrases of two times 1.5, of three times 2. Words
    that stand there once count where too few are repeated.
    """
    singulars, fresh = reading.singulars, reading.fresh
    wanted_words = reading.marked(Flag.KEYWORD)
    places = list(compress(range(len(singulars)), wanted_words))
    words = list(compress(singulars, wanted_words))
    counts: dict[tuple[str, ...], int] = {}
    for word, count in Counter(words).items():
        counts[word,] = count
    first: dict[tuple[str, ...], int] = {
        (word,): index for word, index in zip(reversed(words), reversed(places), strict=True)
    }
    run = 0
    for before, index in pairwise(places):
        if index != before + 1 or fresh[index]:
            run = 0
            continue
        run += 1
        for length in _LENGTHS[run > 1]:
            key = singulars[index - length : index + 1]
            counts[key] = counts.get(key, 0) + 1
            if key not in first:
                first[key] = index
    repeated = [key for key, count in counts.items() if count >= _PHRASE_MENTIONS and len(set(key)) == len(key)]
    wanted = (
        repeated
        if len(repeated) >= MAX_KEYWORDS
        else [*repeated, *(key for key in counts if len(key) == 1 == counts[key])]
    )
    total = max(len(reading.texts), 1)
    points = {key: _keyword_points(key, counts[key], first[key], total) for key in wanted}
    best = sorted(points, key=lambda key: (-points[key], key))[:MAX_KEYWORDS]
    top = points[best[0]] if best else 1.0
    return tuple(ScoredTerm(text=" ".join(key), score=round(points[key] / top, 4), count=counts[key]) for key in best)


def _keyword_points(key: tuple[str, ...], count: int, first: int, total: int) -> float:
    length = sum(map(len, key))
    points = 10 * count / total * 10 + (2.0 if length > 8 else 1.0)  # noqa: PLR2004 - a long word tells more
    if key[-1].endswith(TECHNICAL_ENDINGS):
        points += 3
    points += 2 * (1 - first / total)
    return points * (1.0, 1.5, 2.0)[len(key) - 1] * (1.0 if count > 1 else 0.5)
