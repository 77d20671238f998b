from __future__ import annotations

import json

import pytest

from resources.ai.providers.scripted import ScriptedProvider
from resources.content.analysers import analyse
from resources.content.intake import DocumentIntake
from resources.content.memory import MemoryDocumentStore
from resources.content.model import DocumentSource
from resources.content.parse import parse_document
from resources.errors import NotFoundError
from resources.events.memory import MemoryEventStore
from resources.knowledge.memory import MemoryGraphStore
from resources.knowledge.model import EdgeType, Origin
from resources.settings import ContentSettings
from tests.fixtures.nodes import Bench
from tests.resources.ai.calls.parts import answer, memory_calls

TEXT = b"# Trees\n\n## Prerequisites\n\n- Graphs\n\n## About\n\nA tree is a graph without cycles. Trees have leaves.\n"
SAID = {
    "concepts": [{"name": "cycles"}],
    "relations": [
        {
            "source": "cycles",
            "target": "Graphs",
            "type": "PART_OF",
            "confidence": 0.8,
            "quote": "a graph without cycles",
        }
    ],
}


@pytest.fixture
def graph() -> MemoryGraphStore:
    return MemoryGraphStore()


@pytest.fixture
def bench(graph: MemoryGraphStore) -> Bench:
    documents = MemoryDocumentStore()
    intake = DocumentIntake(documents, MemoryEventStore())
    document = intake.receive(DocumentSource(uri="file:trees.md", name="trees.md"), TEXT, tenant="default").document
    parsed = parse_document(TEXT, name="trees.md")
    documents.save_parsed(document.id, document.sha256, parsed, tenant="default")
    documents.save_analysis(document.id, document.sha256, analyse(parsed), tenant="default")
    calls = memory_calls(ScriptedProvider([answer(json.dumps(SAID))]))
    found = {"documents": documents, "content": ContentSettings(), "graph": graph, "ai": calls}
    return Bench(resources=found, inputs={"document": document.id})


def test_rules_read_the_document_and_weave_it(bench: Bench, graph: MemoryGraphStore) -> None:
    output = bench.run("relate", document_id="{{ inputs.document }}")
    assert {"trees", "graphs"} <= {concept["id"] for concept in output["concepts"]}
    (support,) = graph.support("trees", "graphs", EdgeType.REQUIRES, tenant="default")
    assert support.run_id == bench.run_id


def test_a_model_adds_what_it_reads(bench: Bench, graph: MemoryGraphStore) -> None:
    bench.run("relate", document_id="{{ inputs.document }}", provider="scripted", model="m")
    (support,) = graph.support("cycles", "graphs", EdgeType.PART_OF, tenant="default")
    assert support.evidence[0].origin is Origin.MODEL
    assert len(support.evidence[0].calls) == 1


def test_nothing_is_woven_unless_it_is_asked_for(bench: Bench, graph: MemoryGraphStore) -> None:
    assert bench.run("relate", document_id="{{ inputs.document }}", weave=False)["edges"]
    assert graph.counts(tenant="default").documents == 0


def test_an_unknown_document_is_not_found(bench: Bench) -> None:
    with pytest.raises(NotFoundError):
        bench.run("relate", document_id="nothing")
