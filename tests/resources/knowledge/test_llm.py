from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from resources.ai.call import CallOptions
from resources.ai.model import CallContext
from resources.ai.providers.scripted import ScriptedProvider
from resources.content.parse import parse_document
from resources.knowledge.algorithms.prerequisites import cycles
from resources.knowledge.contribution import contribution_of
from resources.knowledge.llm import extract_with_model
from resources.knowledge.model import EdgeType, Origin, evidence_key
from tests.contracts.graph.given import extraction, requires, subject, topic
from tests.resources.ai.calls.parts import answer, memory_calls

if TYPE_CHECKING:
    from resources.knowledge.model import Extraction

TEXT = b"# Trees\n\nA tree is a graph without cycles. To understand trees, learn graphs first.\n"
FOUND = extraction(
    "trees.md",
    [subject("Trees"), topic("Graphs")],
    [requires("trees", "graphs", 0.6)],
    mentions={"trees": 1.0, "graphs": 0.5},
)


def read(concepts: list[dict[str, Any]], relations: list[dict[str, Any]]) -> Extraction:
    said = json.dumps({"concepts": concepts, "relations": relations})
    calls = memory_calls(ScriptedProvider([answer(said)]))
    return extract_with_model(
        FOUND,
        parse_document(TEXT, name="trees.md"),
        calls,
        provider="scripted",
        model="m",
        caller=CallContext(tenant="t", run_id="r", node_id="n"),
        options=CallOptions(timeout=60),
        passages=[(0, 40), (40, 1000)],
    )


def relation(source: str, target: str, type: str, *, quote: str = "", confidence: float = 0.8) -> dict[str, Any]:
    return {"source": source, "target": target, "type": type, "confidence": confidence, "quote": quote}


def test_what_the_model_adds_names_its_calls_and_passages() -> None:
    result = read(
        [{"name": "cycles", "category": "graph theory"}, {"name": "Hypergraph"}],
        [
            relation("cycles", "Graphs", "PART_OF", quote="a graph without cycles"),
            relation("Hypergraph", "Graphs", "RELATED_TO", quote="not in the text"),
        ],
    )
    contribution_of(result)
    part = evidence_key("cycles", "graphs", EdgeType.PART_OF)
    assert result.evidence[part].origin is Origin.MODEL
    assert result.evidence[part].chunks == (0,)
    assert len(result.evidence[part].calls) == 1
    weights = {(edge.source, edge.target): edge.weight for edge in result.edges}
    assert weights["cycles", "graphs"] == 0.8
    assert weights["graphs", "hypergraph"] == 0.4
    assert (result.mentions["cycles"], result.mentions["hypergraph"]) == (1.0, 0.5)


def test_what_rules_found_stays_as_it_is() -> None:
    result = read(
        [{"name": "Trees", "description": "Graphs without cycles", "difficulty": "intermediate"}],
        [relation("Trees", "Graphs", "REQUIRES", confidence=0.1)],
    )
    assert result.edges == FOUND.edges
    assert next(one for one in result.concepts if one.id == "trees").description == "Graphs without cycles"


def test_what_does_not_fit_together_is_left_out() -> None:
    result = read(
        [{"name": "???"}, {"name": "x" * 200}],
        [relation("Trees", "trees", "REQUIRES"), relation("Trees", "nowhere", "REQUIRES")],
    )
    assert set(result.concepts) == set(FOUND.concepts)
    assert result.edges == FOUND.edges
    assert result.mentions == FOUND.mentions


def test_a_circle_of_prerequisites_is_cut_at_its_weakest_and_noted() -> None:
    names = ("Trees", "cycles", "Hypergraph")
    ring = zip(names, (*names[1:], names[0]), (0.9, 0.5, 0.8), strict=True)
    result = read(
        [{"name": name} for name in names],
        [relation(one, other, "REQUIRES", quote="graph", confidence=sure) for one, other, sure in ring],
    )
    assert [(edge.source, edge.target) for edge in result.cut] == [("cycles", "hypergraph")]
    assert not cycles(edge for edge in result.edges if edge.type is EdgeType.REQUIRES)
    assert evidence_key("cycles", "hypergraph", EdgeType.REQUIRES) not in result.evidence
    contribution_of(result)
