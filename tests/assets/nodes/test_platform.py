"""Nodes that use the platform's own stores and models: events, documents, search, the graph, prompts."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pydantic import ValidationError

from assets.nodes import NODES
from resources.ai.directory import ProviderDirectory
from resources.ai.ledger.memory import MemoryCallBooks
from resources.ai.memo.memory import MemoryMemo
from resources.ai.memory import HashingEmbedder
from resources.ai.pipeline import AiCalls
from resources.ai.prices.book import PriceBook
from resources.ai.providers.offline import OfflineProvider
from resources.content.ingestion import embed_step, parse_step
from resources.content.intake import DocumentIntake
from resources.content.model import DocumentSource
from resources.content.postgres import PostgresChunkIndex, PostgresDocumentStore
from resources.errors import InvalidInputError, NotFoundError
from resources.events.model import StreamId
from resources.events.postgres import PostgresEventStore
from resources.knowledge.model import Concept, Edge, EdgeType, Extraction
from resources.knowledge.neo4j import BoltGraphStore
from resources.settings import ContentSettings
from resources.workflows.spec import NodeSpec
from tests.fixtures.nodes import Bench

if TYPE_CHECKING:
    from collections.abc import Iterator

    from resources.database.postgres import Database
    from resources.settings import GraphSettings

TEA = "# Tea\n\nTea is made from leaves. The leaves are dried in the sun.\n\n# Coffee\n\nCoffee is made from roasted beans."


@pytest.fixture(scope="session")
def _graph(graph_settings: GraphSettings) -> Iterator[BoltGraphStore]:
    assert graph_settings.url is not None
    store = BoltGraphStore(
        graph_settings.url.get_secret_value(),
        user=graph_settings.user,
        password=graph_settings.password.get_secret_value(),
        database=graph_settings.database,
    )
    with closing(store):
        store.prepare()
        yield store


@pytest.fixture
def bench(database: Database, tenant: str) -> Iterator[Bench]:
    with closing(PostgresEventStore(database)) as events:
        yield Bench(
            tenant=tenant,
            resources={
                "events": events,
                "documents": PostgresDocumentStore(database),
                "chunks": PostgresChunkIndex(database),
                "embedder": HashingEmbedder(),
                "content": ContentSettings(),
            },
        )


def receive(bench: Bench, text: str = TEA, name: str = "drinks.md") -> str:
    """Hand a document in; returns its id."""
    intake = DocumentIntake(bench.resources["documents"], bench.resources["events"])
    source = DocumentSource(uri=f"file:///{name}", name=name)
    return intake.receive(source, text.encode(), tenant=bench.tenant).document.id


def study(bench: Bench, document_id: str) -> None:
    """Make the document one that search finds."""
    given: dict[str, Any] = {
        "tenant": bench.tenant,
        "now": datetime.now(UTC),
        "documents": bench.resources["documents"],
    }
    parse_step(document_id, events=bench.resources["events"], **given)
    embed_step(
        document_id,
        index=bench.resources["chunks"],
        embedder=bench.resources["embedder"],
        target=100,
        overlap=10,
        **given,
    )


# append_event


MEASURED: Any = {"event": "system.performance_measured", "data": {"name": "checked", "value": 3}}


def measured(bench: Bench, id: str | None = None) -> list[Any]:
    stream = StreamId("system", id or bench.run_id)
    return list(bench.resources["events"].read_stream(stream, tenant=bench.tenant))


def test_an_event_is_appended_with_its_correlation(bench: Bench) -> None:
    bench.correlation_id = "correlation-1"
    output = bench.run("append_event", **MEASURED, tags={"step": "check"})
    (event,) = measured(bench)
    assert output == {
        "event_id": str(event.event_id),
        "position": event.position,
        "version": 1,
        "stream": f"system/{bench.run_id}",
    }
    assert event.data["value"] == 3
    assert (event.metadata.correlation_id, event.metadata.source) == ("correlation-1", "workflow/test")
    assert event.metadata.tags == {"step": "check"}


def test_a_node_that_is_executed_again_appends_nothing_twice(bench: Bench) -> None:
    assert bench.run("append_event", **MEASURED) == bench.run("append_event", **MEASURED)
    assert len(measured(bench)) == 1


def test_each_pass_of_a_loop_appends_an_event_of_its_own(bench: Bench) -> None:
    bench.run("loop", items=["a", "a", "a"], within={"tell": {"type": "append_event", "config": MEASURED}})
    assert len(measured(bench)) == 3


def test_an_event_goes_where_it_is_told(bench: Bench) -> None:
    bench.run("append_event", **MEASURED, stream_id="elsewhere")
    assert len(measured(bench, "elsewhere")) == 1


@pytest.mark.parametrize(
    ("config", "paths"),
    [
        ({"event": "system.performance_mesured", "data": {}}, ["config.event"]),
        ({"event": "workflow.completed", "data": {}}, ["config.event"]),
        ({"event": "system.performance_measured", "data": {"value": "x"}}, ["config.data.name", "config.data.value"]),
        ({"event": "system.performance_measured", "data": {"name": "{{ inputs.x }}"}}, []),
        ({"event": "{{ inputs.type }}", "data": {}}, []),
    ],
)
def test_an_event_is_checked_before_a_run_as_far_as_it_is_known(config: dict[str, Any], paths: list[str]) -> None:
    check = NODES["append_event"].check
    assert check is not None
    assert sorted(found.path for found in check(NodeSpec(id="n", type="append_event", config=config))) == paths


@pytest.mark.parametrize("type", ["workflow.completed", "run.succeeded", "no.such_type"])
def test_what_only_the_engine_may_tell_is_refused(bench: Bench, type: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        bench.run("append_event", event=type, data={})
    assert caught.value.code == "event_type_refused"


def test_data_of_another_shape_is_refused(bench: Bench) -> None:
    with pytest.raises(InvalidInputError):
        bench.run("append_event", event="system.performance_measured", data={"name": "x"})
    assert measured(bench) == []


# parse and analyse


def test_a_document_of_the_catalogue_is_read(bench: Bench) -> None:
    output = bench.run("parse", document=receive(bench))
    assert [section["title"] for section in output["sections"]] == ["Tea", "Coffee"]
    assert output["media_type"] == "text/markdown"


def test_what_was_read_before_is_not_read_again(bench: Bench) -> None:
    document_id = receive(bench)
    study(bench, document_id)
    _, known = bench.resources["documents"].get_parsed(document_id, tenant=bench.tenant)
    assert bench.run("parse", document=document_id) == known.model_dump(mode="json")


def test_text_is_read_as_its_media_type_says(bench: Bench) -> None:
    output = bench.run(
        "parse", text="<h1>Tea</h1><p>Leaves <a href='https://example.org/'>here</a>", media_type="text/html"
    )
    assert output["title"] == "Tea"
    assert [link["url"] for link in output["links"]] == ["https://example.org/"]


def test_an_unknown_document_is_not_found(bench: Bench) -> None:
    with pytest.raises(NotFoundError):
        bench.run("parse", document="nowhere")


def test_a_document_of_another_tenant_is_not_found(bench: Bench) -> None:
    document_id = receive(bench)
    other = Bench(tenant=f"{bench.tenant}-other", resources=bench.resources)
    with pytest.raises(NotFoundError):
        other.run("parse", document=document_id)


@pytest.mark.parametrize("config", [{}, {"text": "a", "document": "b"}])
def test_either_a_document_or_a_text_is_read(bench: Bench, config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        bench.run("parse", **config)
    check = NODES["parse"].check
    assert check is not None
    assert [found.path for found in check(NodeSpec(id="n", type="parse", config=config))] == ["config"]


def test_hostile_text_is_refused_and_not_crashed_on(bench: Bench) -> None:
    with pytest.raises(InvalidInputError):
        bench.run("parse", text="[" * 100_000, media_type="application/json")


def test_a_document_is_analysed(bench: Bench) -> None:
    output = bench.run("analyse", document=receive(bench))
    assert output["language"] == "en"
    assert output["words"] > 10
    assert output["difficulty_level"] in {"beginner", "intermediate", "advanced", "expert"}


# embed and search


def test_texts_become_vectors_of_unit_length(bench: Bench) -> None:
    output = bench.run("embed", texts=["a cat", "a dog", "a cat"])
    vectors = np.array(output["vectors"])
    assert vectors.shape == (3, output["dimensions"])
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1, 1], abs=1e-5)
    assert output["vectors"][0] == output["vectors"][2]
    assert output["model"] == HashingEmbedder().model_id


def test_one_text_is_a_list_of_one(bench: Bench) -> None:
    assert len(bench.run("embed", texts="a cat")["vectors"]) == 1


def test_many_texts_are_embedded_in_order(bench: Bench) -> None:
    texts = [f"word{number}" for number in range(150)]
    output = bench.run("embed", texts=texts)
    assert np.array(output["vectors"]) == pytest.approx(HashingEmbedder().embed(texts), abs=1e-6)


def test_no_text_is_refused(bench: Bench) -> None:
    with pytest.raises(ValidationError):
        bench.run("embed", texts=[])


def test_passages_are_found_by_meaning(bench: Bench) -> None:
    study(bench, receive(bench))
    output = bench.run("search", query="roasted beans of coffee", limit=1)
    assert output["total"] == 1
    assert "roasted beans" in output["hits"][0]["text"]


def test_passages_below_the_least_score_are_left_out(bench: Bench) -> None:
    study(bench, receive(bench))
    assert bench.run("search", query="roasted beans", min_score=1.0) == {"hits": [], "total": 0}


def test_a_search_finds_nothing_of_another_tenant(bench: Bench) -> None:
    study(bench, receive(bench))
    other = Bench(tenant=f"{bench.tenant}-other", resources=bench.resources)
    assert other.run("search", query="roasted beans")["hits"] == []


def test_a_blank_query_is_refused(bench: Bench) -> None:
    with pytest.raises(InvalidInputError):
        bench.run("search", query="   ")


# graph_query


@pytest.fixture
def knowing(_graph: BoltGraphStore, tenant: str) -> Bench:
    """A bench with a graph: c requires b requires a; b is related to d; e stands alone but shares a document with a."""
    names = {"a": "Addition", "b": "Multiplication", "c": "Powers", "d": "Areas", "e": "Counting"}

    def weave(document: str, mentions: str, *edges: tuple[str, str, EdgeType]) -> None:
        extraction = Extraction(
            document_id=document,
            sha256="0" * 64,
            title=document,
            concepts=tuple(Concept(id=key, name=names[key]) for key in mentions),
            mentions=dict.fromkeys(mentions, 0.5),
            edges=tuple(Edge(source=source, target=target, type=kind) for source, target, kind in edges),
        )
        _graph.weave(extraction, tenant=tenant)

    weave("one", "abcd", ("b", "a", EdgeType.REQUIRES), ("c", "b", EdgeType.REQUIRES), ("b", "d", EdgeType.RELATED_TO))
    weave("two", "ae")
    return Bench(tenant=tenant, resources={"graph": _graph})


def ids(output: Any) -> list[str]:
    return [found["concept"]["id"] for found in output["concepts"]]


def test_concepts_are_found_by_a_part_of_the_name(knowing: Bench) -> None:
    assert ids(knowing.run("graph_query", query="find", concept="tion")) == ["a", "b"]


def test_a_concept_comes_with_its_neighbours(knowing: Bench) -> None:
    view = knowing.run("graph_query", query="concept", concept="multiplication")["concept"]
    assert (view["requires"], view["required_by"], view["related"]) == (["a"], ["c"], ["d"])


def test_prerequisites_are_told_with_their_distance(knowing: Bench) -> None:
    output = knowing.run("graph_query", query="prerequisites", concept="Powers")
    assert [(found["concept"]["id"], found["distance"]) for found in output["concepts"]] == [("b", 1), ("a", 2)]
    assert ids(knowing.run("graph_query", query="prerequisites", concept="Powers", depth=1)) == ["b"]


def test_related_concepts_are_reached_in_any_direction(knowing: Bench) -> None:
    assert ids(knowing.run("graph_query", query="related", concept="Areas")) == ["b", "a", "c"]
    assert ids(knowing.run("graph_query", query="related", concept="Areas", limit=1)) == ["b"]


def test_similar_concepts_share_neighbours_and_documents(knowing: Bench) -> None:
    output = knowing.run("graph_query", query="similar", concept="Powers")
    scores = {found["concept"]["id"]: found["similarity"] for found in output["concepts"]}
    assert scores == {"d": 1.0, "a": pytest.approx(2 / 3, abs=1e-4), "b": pytest.approx(1 / 5)}


def test_a_path_leads_over_what_must_be_known_before(knowing: Bench) -> None:
    output = knowing.run("graph_query", query="path", concept="Powers", known=["Addition"])
    assert [step["concept"]["id"] for step in output["path"]["steps"]] == ["b", "c"]


def test_an_unknown_concept_is_not_found(knowing: Bench) -> None:
    with pytest.raises(NotFoundError, match="no concept"):
        knowing.run("graph_query", query="related", concept="Zebras")


def test_one_tenant_does_not_see_the_concepts_of_another(knowing: Bench) -> None:
    other = Bench(tenant=f"{knowing.tenant}-other", resources=knowing.resources)
    assert other.run("graph_query", query="find", concept="tion")["concepts"] == []


def test_fields_that_only_a_path_has_are_a_problem_elsewhere() -> None:
    check = NODES["graph_query"].check
    assert check is not None
    config = {"query": "similar", "concept": "a", "source": "b"}
    assert [found.path for found in check(NodeSpec(id="n", type="graph_query", config=config))] == ["config.source"]


# prompt


@pytest.fixture
def asking() -> Bench:
    memo = MemoryMemo()
    return Bench(
        resources={
            "ai": AiCalls(
                providers=ProviderDirectory(chat={"offline": OfflineProvider()}),
                books=MemoryCallBooks(memo=memo),
                memo=memo,
                prices=PriceBook(),
            )
        }
    )


def test_a_prompt_is_answered_without_a_key_and_says_that_no_model_wrote_it(asking: Bench) -> None:
    output = asking.run("prompt", prompt="What is tea made from?", passages=["Tea is made from leaves.", "It is warm."])
    assert "Tea is made from leaves." in output["text"]
    assert (output["provider"], output["simulated"], output["finish"]) == ("offline", True, "stop")
    assert output["notice"]
    assert float(output["cost"]) == 0


def test_the_text_is_told_as_it_comes(asking: Bench) -> None:
    output = asking.run("prompt", prompt="What is tea?", passages=["Tea is a drink."])
    assert "".join(piece["text"] for piece in asking.emitted) == output["text"]


def test_an_answer_of_a_shape_comes_as_json(asking: Bench) -> None:
    schema = {"type": "object", "properties": {"year": {"type": "integer"}}, "required": ["year"]}
    output = asking.run(
        "prompt", prompt="When was it opened?", passages=["It was opened in the year 1912."], output=schema
    )
    assert output["data"] == {"year": 1912}


def test_the_page_of_the_run_tells_what_it_took(asking: Bench) -> None:
    asking.run("prompt", prompt="What is tea?", passages=["Tea is a drink."])
    assert asking.reported["model"] == "offline/extractive-v1"
    assert asking.reported["tokens"] > 0


def test_an_unknown_provider_is_refused(asking: Bench) -> None:
    with pytest.raises(InvalidInputError) as caught:
        asking.run("prompt", prompt="Hello?", provider="nobody", model="x")
    assert caught.value.code == "provider_unknown"


@pytest.mark.parametrize("config", [{}, {"prompt": "x", "provider": "openai"}, {"prompt": "x", "temperature": 3}])
def test_a_prompt_that_nobody_can_answer_is_refused(asking: Bench, config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        asking.run("prompt", **config)


def test_what_is_no_schema_is_a_problem() -> None:
    check = NODES["prompt"].check
    assert check is not None
    config = {"prompt": "x", "output": {"type": "strange"}}
    assert [found.path for found in check(NodeSpec(id="n", type="prompt", config=config))] == ["config.output"]
