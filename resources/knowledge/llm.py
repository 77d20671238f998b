"""What a document says about concepts as a model reads it: one question with a schema, on top of what rules found.

What the model claims is looked up in the document: a concept or a quotation that does not stand there counts half. Everything it
adds names the calls that it came from. The document is material for the model, never an instruction (`untrusted.as_data`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from resources.ai.model import ChatRequest, Message
from resources.ai.structured import output_of, read_model
from resources.ai.untrusted import RULE, as_data
from resources.knowledge.algorithms.prerequisites import without_cycles
from resources.knowledge.model import Concept, Difficulty, Edge, EdgeType, Evidence, Origin, concept_id, evidence_key
from resources.knowledge.relations import chunks_with, occurrences

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resources.ai.call import CallOptions
    from resources.ai.model import CallContext
    from resources.ai.pipeline import AiCalls
    from resources.content.model import ParsedDocument
    from resources.knowledge.model import Extraction

VERSION: Final = "1"
"""Of the question: raise it when it changes, so that recorded answers are not taken for answers to another."""

_SENT_CHARS: Final = 24_000
_MAX_OUTPUT: Final = 4_000
_MAX_NAME: Final = 100
_UNSEEN: Final = 0.5
_LEAST: Final = 0.05
_SYSTEM: Final = (
    "You read documents for a graph of knowledge. Answer in JSON of the given schema. Name concepts as the document spells them. "
    "`REQUIRES` points from a concept to one that must be known before it, `PART_OF` from a topic to the wider one, `RELATED_TO` "
    f"has no order. Say only what the document says, and quote the words that say it. {RULE}"
)

_Share = Annotated[float, Field(ge=0, le=1)]


class _Said(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Concept(_Said):
    name: str = Field(description="A noun phrase of one to four words, as the document spells it")
    description: str | None = Field(default=None, description="In a sentence, if the document says what it is")
    difficulty: Difficulty | None = None
    category: str | None = Field(default=None, description="The field it belongs to, in one or two words")


class _Relation(_Said):
    source: str = Field(description="The name of one of the concepts")
    target: str = Field(description="The name of another")
    type: EdgeType
    confidence: _Share
    quote: str = Field(description="The words of the document that say so")


class DocumentRelations(_Said):
    """What the model is asked for."""

    concepts: tuple[_Concept, ...] = Field(description="At most 30, the most important first")
    relations: tuple[_Relation, ...] = Field(description="At most 40")


def extract_with_model(
    found: Extraction,
    parsed: ParsedDocument,
    ai: AiCalls,
    *,
    provider: str,
    model: str,
    caller: CallContext,
    options: CallOptions | None = None,
    passages: Sequence[tuple[int, int]] = (),
) -> Extraction:
    """`found`, which rules extracted, with what the model adds. What rules found is never weakened.

    What would make concepts require each other is left out, the weakest of each cycle, and noted in `cut`.

    Blocks; not on an event loop's thread. Raises what `AiCalls.complete` raises.
    """
    result = ai.complete_sync(question(parsed, provider=provider, model=model), caller, options)
    said = read_model(result.answer.text, DocumentRelations)
    calls = tuple(str(call) for call in result.call_ids)
    concepts = {concept.id: concept for concept in found.concepts}
    edges = {evidence_key(edge.source, edge.target, edge.type): edge for edge in found.edges}
    mentions, evidence = dict(found.mentions), dict(found.evidence)
    for item in said.concepts:
        key = concept_id(item.name)
        if not key or len(item.name) > _MAX_NAME:
            continue
        words = {"description": item.description, "difficulty": item.difficulty, "category": item.category}
        if key in concepts:
            missing = {name: word for name, word in words.items() if getattr(concepts[key], name) is None}
            concepts[key] = concepts[key].model_copy(update=missing)
            continue
        places = occurrences(parsed.text, item.name)
        concepts[key] = Concept(id=key, name=item.name, **words)
        mentions[key] = 1.0 if places else _UNSEEN
        evidence[key] = Evidence(origin=Origin.MODEL, chunks=chunks_with(places, passages), calls=calls)
    for relation in said.relations:
        edge = _edge(relation, parsed)
        key = evidence_key(edge.source, edge.target, edge.type) if edge is not None else ""
        if edge is None or key in edges or edge.source not in concepts or edge.target not in concepts:
            continue
        at = parsed.text.find(relation.quote) if relation.quote else -1
        edges[key] = edge
        evidence[key] = Evidence(
            origin=Origin.MODEL, chunks=chunks_with([at] if at >= 0 else [], passages), calls=calls
        )
    required = [edge for edge in edges.values() if edge.type is EdgeType.REQUIRES]
    cut = tuple(without_cycles(required)[1])
    for edge in cut:
        key = evidence_key(edge.source, edge.target, edge.type)
        del edges[key]
        evidence.pop(key, None)
    return found.model_copy(
        update={
            "concepts": tuple(concepts[key] for key in sorted(concepts)),
            "mentions": dict(sorted(mentions.items())),
            "edges": tuple(sorted(edges.values(), key=lambda edge: (edge.source, edge.target, edge.type))),
            "evidence": dict(sorted(evidence.items())),
            "cut": cut,
        }
    )


def question(parsed: ParsedDocument, *, provider: str, model: str) -> ChatRequest:
    """What the model is asked: equal for equal documents, so that a recorded answer is found again."""
    text = parsed.text[:_SENT_CHARS]
    material = f"Title: {parsed.title or 'unknown'}\n\nText:\n{text}"
    return ChatRequest(
        provider=provider,
        model=model,
        messages=(
            Message(role="system", text=_SYSTEM),
            Message(
                role="user", text=f"Which concepts, and how do they relate?\n\n{as_data(material, source='document')}"
            ),
        ),
        output=output_of(DocumentRelations),
        max_output_tokens=_MAX_OUTPUT,
        temperature=0.0,
        prompt_version=f"knowledge-relations@{VERSION}",
    )


def _edge(relation: _Relation, parsed: ParsedDocument) -> Edge | None:
    source, target = concept_id(relation.source), concept_id(relation.target)
    if not source or not target or source == target:
        return None
    if relation.type is EdgeType.RELATED_TO and source > target:
        source, target = target, source
    seen = bool(relation.quote) and relation.quote in parsed.text
    weight = relation.confidence if seen else _UNSEEN * relation.confidence
    return Edge(source=source, target=target, type=relation.type, weight=max(round(weight, 4), _LEAST))
