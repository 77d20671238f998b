"""One pass over a document: the sentences and words that all analysers look at.

Program code, addresses, version numbers, file names and identifiers are taken out first: they are not prose, and would fill
the list of concepts with `foo_bar`. Offsets stay those of the document's text.
"""

from __future__ import annotations

import itertools
import re
from bisect import bisect_left
from dataclasses import dataclass
from string import ascii_uppercase
from typing import TYPE_CHECKING, Final, NamedTuple

from resources.content.analysers.lexicon import LEXICON, SIGNS
from resources.content.model import MediaType

if TYPE_CHECKING:
    from resources.content.analysers.lexicon import Flag, Kind
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
_MARK = re.compile(r"[_@#0-9/.:(-](?:(?<=[_@#0-9])|(?<=[/.:])(?=\w)|(?<=\w\()|(?<=-)(?<!\w-)(?=[\w-]))")
_SPACE = re.compile(r"\s|\Z")
_WORD_AFTER_LETTER = r"\w*(?:(?=['+#-])(?:(?:'(?=\w)|[-+](?=[^\W_]))\w*)*(?:\+\+|#(?!\w))?|))"
_WORD = re.compile(rf"([^\W\d_]{_WORD_AFTER_LETTER}")
_ASCII_WORD = re.compile(rf"([A-Za-z]{_WORD_AFTER_LETTER}", re.ASCII)  # the same where all is ASCII, and twice as fast
_JOINERS = frozenset({" ", "\n", "-"})
# Patterns begin with one set of characters, which the engine looks for in a tight loop: four times as fast as alternatives.
_ENDING = (
    r"[.!?…。！？\n](?:(?<=[.!?…])[.!?…]*[\"'”’)\]]*(?=\s+[\"“'(\[]?[^\Wa-z_]|\s*\Z)|(?<=[。！？])[。！？]*|(?<=\n)%s)"
)
_SENTENCE_END = re.compile(_ENDING % r"(?:\s*\n|(?=\s*(?:[-*•]|\d+[.)])\s))")
_SENTENCE_OR_LINE_END = re.compile(_ENDING % "")
_ENDS = frozenset(".!?…。！？\"')”")
_SHORTEST_SENTENCE = 3
_ABBREVIATION = re.compile(r"\b(?:e\.g|i\.e|vs|cf|Mr|Mrs|Ms|Dr|Prof|St|Fig|approx|incl|resp|[A-Z])\.\Z")
_ABBREVIATED = (
    *("e.g.", "i.e.", "vs.", "cf.", "Mr.", "Mrs.", "Ms.", "Dr.", "Prof.", "St.", "Fig.", "approx.", "incl.", "resp."),
    *(f"{letter}." for letter in ascii_uppercase),
)
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
_WRAPPED = frozenset({MediaType.TEXT, MediaType.PDF, MediaType.CODE})


class Sentence(NamedTuple):
    """A sentence, with the range of its words in `Reading.words`. `prose` = it ends like one, and is no heading."""

    text: str
    start: int
    first: int
    last: int
    prose: bool


@dataclass(frozen=True, slots=True)
class Reading:
    """The document as sentences and words. Words are columns, not objects: there are many, and most are only counted.

    The columns have one value a word: as written, where, and what the lexicon knows of it, flags as bytes, which are looked for,
    counted and translated at the speed of C.
    """

    document: ParsedDocument
    lower: str
    """What is read of the document, in lower case; for most documents, offsets are those of the text."""
    sentences: tuple[Sentence, ...]
    texts: list[str]
    starts: list[int]
    lowers: tuple[str, ...]
    singulars: tuple[str, ...]
    roles: bytes
    syllables: bytes
    tones: bytes
    """Above the worst tone."""
    joined: bytes
    """1 where only a space stands between a word and the one before."""
    fresh: bytes
    """1 where a word does not go on from the one before: it is not joined to it, or opens a sentence."""
    opening: frozenset[int]
    """Indexes of the words that begin a sentence."""
    headings: frozenset[int]
    """Indexes of the words that stand in a heading."""
    margins: tuple[tuple[int, int], ...]
    """Ranges of words in sections that are not about the subject: change logs, licences, credits."""
    _flags: bytes
    _kinds: bytes

    def marked(self, flag: Flag) -> bytes:
        """1 for each word that has the flag, 0 for others."""
        return self._flags.translate(_BITS[flag.bit_length() - 1])

    def of_kind(self, kind: Kind) -> bytes:
        """1 for each word of that kind, 0 for others."""
        return self._kinds.translate(_BITS[kind.bit_length() - 1])


_BITS: Final = tuple(bytes(value >> bit & 1 for value in range(256)) for bit in range(8))
"""For each bit the table that keeps it alone."""


def read(document: ParsedDocument) -> Reading:
    """Split the document's prose. In text that is wrapped at a margin, the end of a line ends nothing."""
    whole = document.text
    prose = _without_noise(_blank(whole[:MAX_CHARS], document.code).replace("’", "'"))
    wrapped = document.media_type in _WRAPPED
    titles = {
        section.start: section.start + len(section.title)
        for section in document.sections
        if whole.startswith(section.title, section.start)
    }
    pieces = (_ASCII_WORD if prose.isascii() else _WORD).split(prose)
    texts = pieces[1::2]
    starts = list(itertools.accumulate(map(len, pieces)))[::2][: len(texts)]
    joined = bytes(map(_JOINERS.__contains__, pieces[: 2 * len(texts) : 2]))
    fresh = bytearray(joined.translate(_INVERTED))
    sentences: list[Sentence] = []
    headings: set[int] = set()
    last = 0
    for start, end in _spans(prose, whole, _SENTENCE_END if wrapped else _SENTENCE_OR_LINE_END, titles):
        first = bisect_left(starts, start, last)
        last = bisect_left(starts, end, first)
        if first == last:
            continue
        text = whole[start:end]
        is_prose = last - first >= _SHORTEST_SENTENCE and text[-1] in _ENDS
        if titles.get(start) == end:
            headings.update(range(first, last))
            is_prose = False
        sentences.append(Sentence(text, start, first, last, is_prose))
        fresh[first] = 1
    lowers, singulars, signs = zip(*map(LEXICON.entry, texts), strict=True) if texts else ((), (), ())
    roles, syllables, flags, kinds, tones = map(b"".join(signs).__getitem__, _COLUMNS)
    return Reading(
        document=document,
        lower=whole[:MAX_CHARS].lower(),
        sentences=tuple(sentences),
        texts=texts,
        starts=starts,
        lowers=lowers,
        singulars=singulars,
        roles=roles,
        syllables=syllables,
        tones=tones,
        joined=joined,
        fresh=bytes(fresh),
        opening=frozenset([sentence.first for sentence in sentences]),
        headings=frozenset(headings),
        margins=_margins(document, starts),
        _flags=flags,
        _kinds=kinds,
    )


_INVERTED: Final = bytes([1]) + bytes(255)
_COLUMNS: Final = tuple(slice(first, None, SIGNS) for first in range(SIGNS))


def _margins(document: ParsedDocument, starts: list[int]) -> tuple[tuple[int, int], ...]:
    """Words of marginal sections; none when the whole document is marginal, such as a change log in its own file."""
    ranges = [
        (bisect_left(starts, section.start), bisect_left(starts, section.end))
        for section in document.sections
        if _MARGINAL.match(section.title.strip(" #*:-0123456789.")) or _RELEASE.match(section.title)
    ]
    covered = 0
    reached = 0
    for first, last in ranges:  # in order of their beginnings; one may lie in another
        covered += max(0, last - max(first, reached))
        reached = max(reached, last)
    return tuple(ranges) if covered < _MOSTLY * len(starts) else ()


def _without_noise(prose: str) -> str:
    """The text with zero bytes for what is not prose. Only words that hold a sign of it are looked at closely."""
    parts: list[str] = []
    position = 0
    mark = _MARK.search(prose)
    while mark is not None:
        at = mark.start()
        start = max(prose.rfind(" ", position, at), prose.rfind("\n", position, at)) + 1 or position
        end_match = _SPACE.search(prose, at)
        end = len(prose) if end_match is None else end_match.start()
        parts += (prose[position:start], _NOISE.sub(_zeros, prose[start:end]))
        position = end
        mark = _MARK.search(prose, end)
    parts.append(prose[position:])
    return "".join(parts)


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


def _is_abbreviation(before: str) -> bool:
    """Whether text that ends with a full stop ends with an abbreviation. Most does not, which its ending tells."""
    return before.endswith(_ABBREVIATED) and _ABBREVIATION.search(before) is not None


def _spans(prose: str, text: str, end_pattern: re.Pattern[str], titles: dict[int, int]) -> list[tuple[int, int]]:
    """Ranges of sentences, without outer space. Each heading is one of its own."""
    cuts = {0, len(prose)}
    for start, end in titles.items():
        if end <= len(prose):
            cuts.update((start, end))
    for match in end_pattern.finditer(prose):
        at = match.start()
        if text[at] != "." or not _is_abbreviation(text[max(0, at - 8) : at + 1]):
            cuts.add(match.end())
    spans: list[tuple[int, int]] = []
    for start, end in itertools.pairwise(sorted(cuts)):
        piece = prose[start:end].lstrip()
        if piece:
            begin = end - len(piece)
            spans.append((begin, begin + len(piece.rstrip())))
    return spans
