"""From a document to what it says about concepts: what it is about, what that requires, what it talks about.

What the sender declares counts in full, and what the document itself does in its front matter (`prerequisites: [Sets, Logic]`).
Without a declaration the subject is the title, if that looks like the name of something, and the prerequisites are what a section
of that name lists. No other prerequisite is guessed: a missing edge is better than a wrong one, because learning paths follow
every edge. How other terms hang together, `relations` tells.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final

from resources.knowledge.model import (
    Concept,
    Edge,
    EdgeType,
    Evidence,
    Extraction,
    LearningResource,
    Origin,
    concept_id,
    evidence_key,
)
from resources.knowledge.relations import chunks_with, occurrences, relations

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from resources.content.model import Analysis, Document, DocumentSource, ParsedDocument, Section
    from resources.knowledge.model import ResourceType

MAX_TOPICS: Final = 15
MAX_RELATED: Final = 10
MAX_CUES: Final = 20
DECLARED: Final = 1.0
CUE: Final = 0.6
_MIN_WEIGHT: Final = 0.01
_DESCRIPTION_CHARS: Final = 300

_TITLE_WORDS: Final = 6
_TITLE_CHARS: Final = 60
_TERM_WORDS: Final = 4
_TERM_CHARS: Final = 40

_SUBTITLE = re.compile(r"\s*(?::\s|\s[-\N{EN DASH}\N{EM DASH}|]\s).*", re.DOTALL)
_SENTENCE = re.compile(r"[.!?]$|[.!?]\s")
_GENERIC_TITLES = frozenset(
    re.findall(
        r"\S+",
        """
        about abstract acknowledgements api appendix background badges changelog changes citation community conclusion
        configuration contents contributing contributors credits dependencies description development documentation
        examples faq features getting-started guide help history home index installation introduction license licence links
        notes overview prerequisites project-description quick-start quickstart readme reference references release-notes
        requirements resources roadmap security setup sponsors status summary support table-of-contents testing tests
        tutorial untitled usage welcome
        """,
    )
)
_PREREQUISITES = re.compile(
    r"(?:pre-?requisites?|requirements?|dependencies|requires|before you (?:begin|start)"
    r"|required (?:knowledge|background)|what you (?:need|should) (?:to )?know)(?: (?:and|&) \w+)?:?",
    re.IGNORECASE,
)
_NUMBERING = re.compile(r"^(?:\d+(?:\.\d+)*[.)]?\s+)")
_BULLET = re.compile(r"^\s*(?:[-*+\N{BULLET}\N{MIDDLE DOT}]|\d{1,2}[.)])\s+(?P<item>\S.*)$")
_MARKDOWN_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_MARKUP = re.compile(r"[`*_]{1,3}|<[^>]*>")
_EXPLANATION = re.compile(r"\s*(?::\s|\s[-\N{EN DASH}\N{EM DASH}]\s|\s*[(\[,;]).*", re.DOTALL)
_VERSION = re.compile(r"\s*(?:[<>=!~]=?|\^|\b[vV]?\d+(?:\.\d+|\.x)*\+?(?=\s|$)).*", re.DOTALL)
# First words of what is an instruction or a remark, not a name.
_NO_TERM = frozenset(
    {
        "a",
        "an",
        "and",
        "any",
        "clone",
        "for",
        "if",
        "install",
        "none",
        "note",
        "nothing",
        "optional",
        "optionally",
        "or",
    }
    | {
        "please",
        "required",
        "requires",
        "run",
        "see",
        "some",
        "the",
        "then",
        "this",
        "to",
        "use",
        "with",
        "you",
        "your",
    }
)
# By value, because the content slice is a neighbour: only its types may be known here.
_RESOURCE_TYPES: Final[dict[str, ResourceType]] = {
    "text/html": "page",
    "text/markdown": "page",
    "text/x-rst": "page",
    "application/pdf": "paper",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "paper",
    "application/epub+zip": "book",
    "text/x-source": "code",
    "application/json": "data",
    "application/xml": "data",
    "text/csv": "data",
}
_MARKED_UP: Final = frozenset({"text/markdown", "text/x-rst", "text/html"})


def extract(
    document: Document,
    parsed: ParsedDocument,
    analysis: Analysis,
    *,
    passages: Sequence[tuple[int, int]] = (),
    run_id: str | None = None,
) -> Extraction:
    """What the document contributes to the graph. A function of its arguments alone; never a self-loop.

    `passages` are where the document's passages begin and end, to tell where it says what; `run_id` is the run that asks.
    """
    source = document.source
    name = source.subject or _subject_from_title(document, parsed)
    subject = concept_id(name) if name else ""
    required: dict[str, tuple[str, float]] = {}
    if declared := source.requires or _declared_prerequisites(parsed):
        required = {concept_id(term): (term, DECLARED) for term in declared}
    elif not source.subject:
        required = {concept_id(term): (term, CUE) for term in _listed_prerequisites(parsed)}

    concepts: dict[str, Concept] = {}
    mentions: dict[str, float] = {}
    for term in sorted(analysis.concepts, key=lambda term: (-term.score, term.text))[:MAX_TOPICS]:
        if key := concept_id(term.text):
            concepts.setdefault(key, Concept(id=key, name=term.text))
            mentions[key] = max(term.score, mentions.get(key, 0.0))
    edges = []
    if name and subject:
        topics = sorted((key for key in mentions if key != subject), key=lambda key: (-mentions[key], key))
        edges = [_related(subject, key, mentions[key]) for key in topics if key not in required][:MAX_RELATED]
        concepts[subject] = Concept(
            id=subject,
            name=name,
            kind="subject",
            description=_description(analysis.summary),
            difficulty=analysis.difficulty_level,
        )
        mentions[subject] = 1.0
    for key, (wanted, weight) in required.items():
        if key and key != subject:
            concepts[key] = Concept(id=key, name=wanted, kind="subject")
            if subject:
                edges.append(Edge(source=subject, target=key, type=EdgeType.REQUIRES, weight=weight))
    written = {concept.id: occurrences(parsed.text, concept.name) for concept in concepts.values()}
    evidence = {
        key: Evidence(origin=_origin(key, subject, source, declared), chunks=chunks_with(places, passages))
        for key, places in written.items()
    }
    said = {evidence_key(edge.source, edge.target, edge.type) for edge in edges}
    cue = Evidence(origin=Origin.DECLARED if declared else Origin.STRUCTURE)
    frequent = Evidence(origin=Origin.STRUCTURE)
    evidence |= {
        evidence_key(edge.source, edge.target, edge.type): cue if edge.type is EdgeType.REQUIRES else frequent
        for edge in edges
    }
    terms = {key: concept.name for key, concept in concepts.items()}
    for edge, where in relations(parsed, terms, subject=subject or None, passages=passages):
        key = evidence_key(edge.source, edge.target, edge.type)
        if key not in said:
            edges.append(edge)
            evidence[key] = where
    title = document.title or source.title or parsed.title
    return Extraction(
        document_id=document.id,
        sha256=document.sha256,
        title=title,
        concepts=tuple(concepts[key] for key in sorted(concepts)),
        mentions=dict(sorted(mentions.items())),
        edges=tuple(sorted(edges, key=lambda edge: (edge.source, edge.target, edge.type))),
        evidence=dict(sorted(evidence.items())),
        run_id=run_id,
        resource=_resource(document, analysis, title),
        passages=tuple(passages),
    )


def _resource(document: Document, analysis: Analysis, title: str | None) -> LearningResource:
    """The document as somebody learns from it."""
    scheme, colon, _ = document.source.uri.partition(":")
    return LearningResource(
        url=document.source.uri,
        title=title or document.source.name,
        resource_type=_RESOURCE_TYPES.get(document.media_type, "text"),
        format=document.media_type,
        source=scheme if colon else "file",
        quality=analysis.quality,
        difficulty=analysis.difficulty_level,
        minutes=max(1, math.ceil(analysis.reading_seconds / 60)),
        language=analysis.language,
    )


def _origin(key: str, subject: str, source: DocumentSource, required: Sequence[str]) -> Origin:
    declared = (key == subject and source.subject) or key in {concept_id(term) for term in required}
    return Origin.DECLARED if declared else Origin.STRUCTURE


def _related(subject: str, topic: str, weight: float) -> Edge:
    """An edge without direction, written the same way whichever of the two documents it comes from."""
    source, target = sorted((subject, topic))
    return Edge(source=source, target=target, type=EdgeType.RELATED_TO, weight=max(weight, _MIN_WEIGHT))


def _description(summary: str) -> str | None:
    text = " ".join(summary.split())
    if len(text) <= _DESCRIPTION_CHARS:
        return text or None
    return text[:_DESCRIPTION_CHARS].rsplit(" ", 1)[0] + "…"


def _subject_from_title(document: Document, parsed: ParsedDocument) -> str | None:
    headings = [section.title for section in parsed.sections if section.level == 1][:1]
    for title in (document.source.title, parsed.title, *headings):
        if title and (name := _name_of_something(title)):
            return name
    return None


def _name_of_something(title: str) -> str | None:
    """The title without its subtitle, if it is short, no sentence and not one that any document could have."""
    name = _SUBTITLE.sub("", _MARKUP.sub("", _NUMBERING.sub("", title.strip()))).strip()
    sensible = (
        name
        and len(name) <= _TITLE_CHARS
        and len(name.split()) <= _TITLE_WORDS
        and any(character.isalpha() for character in name)
        and not _SENTENCE.search(name)
        and concept_id(name) not in _GENERIC_TITLES
    )
    return name if sensible else None


def _declared_prerequisites(parsed: ParsedDocument) -> list[str]:
    """What the front matter of the document lists in one line."""
    front = parsed.metadata.get("front_matter", {})
    listed = front.get("prerequisites") or front.get("requires") or ""
    terms = (_term(item.strip(" \"'")) for item in listed.strip("[] ").split(","))
    return [term for term in terms if term][:MAX_CUES]


def _listed_prerequisites(parsed: ParsedDocument) -> list[str]:
    """The terms that sections called Prerequisites (or so) list, as they are written."""
    links = sorted({_plain(link.text) for link in parsed.links if link.text.strip()}, key=len, reverse=True)
    terms: dict[str, str] = {}
    for section in parsed.sections:
        if _PREREQUISITES.fullmatch(_NUMBERING.sub("", section.title.strip())):
            for item in _items(parsed, section, links):
                linked = next((link for link in links if item.casefold().startswith(link.casefold())), None)
                if term := _term(linked or item):
                    terms.setdefault(concept_id(term), term)
    return list(terms.values())[:MAX_CUES]


def _items(parsed: ParsedDocument, section: Section, links: list[str]) -> Iterator[str]:
    """The lines of a section that are items of a list, and those that are nothing but a link.

    Parsers of marked-up formats drop the bullets: an item is a line without a blank line before it there, as paragraphs never
    are. Lines of a table or of a block of code are left out.
    """
    marked_up = parsed.media_type in _MARKED_UP
    position = section.start
    for line in parsed.text[section.start : section.end].splitlines(keepends=True):
        start, position = position, position + len(line)
        plain = _plain(line)
        in_code = any(first < start <= last for first, last in parsed.code)
        if start == section.start or not plain or in_code or " | " in line:
            continue
        tight = parsed.text[start - 2] != "\n"
        if bullet := _BULLET.match(line):
            yield _plain(bullet["item"])
        elif (marked_up and tight) or plain in links:
            yield plain


def _plain(text: str) -> str:
    return " ".join(_MARKUP.sub("", _MARKDOWN_LINK.sub(r"\1", text)).split())


def _term(item: str) -> str | None:
    """The name at the beginning of a list's item, without versions and explanations; None if there is no plain name."""
    term = _VERSION.sub("", _EXPLANATION.sub("", item)).strip(" .:")
    sensible = (
        concept_id(term)
        and len(term) <= _TERM_CHARS
        and len(term.split()) <= _TERM_WORDS
        and any(character.isalpha() for character in term)
        and concept_id(term).split("-")[0] not in _NO_TERM
    )
    return term if sensible else None
