"""What holds for every row of the table of node types."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import assets.nodes
from assets.nodes import NODES
from resources.ai.directory import ProviderDirectory
from resources.ai.ledger.memory import MemoryCallBooks
from resources.ai.memo.memory import MemoryMemo
from resources.ai.memory import HashingEmbedder
from resources.ai.pipeline import AiCalls
from resources.ai.prices.book import PriceBook
from resources.ai.providers.offline import OfflineProvider
from resources.content.memory import MemoryChunkIndex, MemoryDocumentStore
from resources.errors import NotFoundError
from resources.events.memory import MemoryEventStore
from resources.knowledge.memory import MemoryGraphStore
from resources.prompts.bundled import bundled_prompts
from resources.prompts.engine import PromptEngine
from resources.prompts.library import PromptLibrary
from resources.settings import ContentSettings
from resources.workflows.node_type import NodeType, Routed
from resources.workflows.spec import NODE_ID, NodeSpec
from resources.workflows.validation import check
from resources.workflows.web import WebClient
from tests.fixtures.nodes import Bench

FOLDER = Path(assets.nodes.__file__).parent
SHARED = {"__init__", "base", "functions", "reading"}
ELSEWHERE = {
    "http",
    "notify",
    "sub_workflow",
    "map",
    "parallel",
    "fail",
    "mcp_tool",
    "relate",
    "plugin",
    "analysis_job",
}
"""Types whose example calls another machine or workflow, reads a document, has no function, plugin or job, or fails by design."""

EXAMPLES = [
    pytest.param(row, example, id=f"{row.name}-{number}")
    for row in NODES.values()
    for number, example in enumerate(row.examples)
]


def ai() -> AiCalls:
    memo = MemoryMemo()
    return AiCalls(
        providers=ProviderDirectory(chat={"offline": OfflineProvider()}),
        books=MemoryCallBooks(memo=memo),
        memo=memo,
        prices=PriceBook(),
    )


def bench(**given: Any) -> Bench:
    return Bench(
        resources={
            "ai": ai(),
            "embedder": HashingEmbedder(),
            "documents": MemoryDocumentStore(),
            "chunks": MemoryChunkIndex(),
            "events": MemoryEventStore(),
            "graph": MemoryGraphStore(),
            "content": ContentSettings(),
            "prompts": PromptLibrary(MemoryEventStore(), PromptEngine(), bundled=bundled_prompts()),
            "web": WebClient(),
            **given,
        }
    )


def test_no_file_is_forgotten() -> None:
    files = {path.stem for path in FOLDER.glob("*.py")} - SHARED
    assert files == set(NODES)


@pytest.mark.parametrize("row", NODES.values(), ids=lambda row: row.name)
def test_every_type_says_what_it_is_for(row: NodeType) -> None:
    assert 10 < len(row.summary) < 120
    assert row.summary[0].isupper()
    assert not row.summary.endswith(".")


@pytest.mark.parametrize("row", NODES.values(), ids=lambda row: row.name)
def test_every_field_of_config_and_output_is_described(row: NodeType) -> None:
    schema = row.config.model_json_schema()
    models = [schema, *schema.get("$defs", {}).values()]
    silent = [
        name
        for model in models
        for name, field in model.get("properties", {}).items()
        if "description" not in field and "const" not in field
    ]
    assert silent == []
    assert all(model.get("description") for model in models if model.get("type") == "object")


@pytest.mark.parametrize("row", NODES.values(), ids=lambda row: row.name)
def test_lazy_fields_are_fields(row: NodeType) -> None:
    assert row.lazy <= set(row.config.model_json_schema()["properties"])


@pytest.mark.parametrize("row", NODES.values(), ids=lambda row: row.name)
def test_every_type_has_an_example(row: NodeType) -> None:
    assert row.examples


@pytest.mark.parametrize(("row", "example"), EXAMPLES)
def test_an_example_is_a_node_of_its_type_without_problems(row: NodeType, example: dict[str, Any]) -> None:
    spec = NodeSpec.model_validate(example)
    assert spec.type == row.name
    assert re.fullmatch(NODE_ID, spec.id)
    problems = list(row.check(spec)) if row.check else []
    assert problems == []


@pytest.mark.parametrize(
    ("row", "example"),
    [param for param in EXAMPLES if param.values[0].name not in ELSEWHERE],  # type: ignore[union-attr]
)
def test_an_example_runs_and_gives_what_its_type_promises(row: NodeType, example: dict[str, Any]) -> None:
    output = bench().execute(NodeSpec.model_validate(example))
    if isinstance(output, Routed):
        assert set(output.branches) <= set(row.branches(NodeSpec.model_validate(example)))  # type: ignore[misc]
        output = output.output
    schema = row.output_schema()
    if schema is not None:
        import jsonschema

        jsonschema.validate(output, schema)


@pytest.mark.parametrize(
    "example",
    [param.values[1] for param in EXAMPLES if param.values[0].name != "sub_workflow"],  # type: ignore[union-attr]
    ids=lambda example: example["id"],
)
def test_an_example_is_a_valid_workflow(example: dict[str, Any]) -> None:
    checked = check({"name": "example", "nodes": [example]}, NODES, environment=frozenset({"HOOK_SECRET"}))
    assert [node.id for node in checked.level.nodes] == [example["id"]]


def test_an_unknown_type_is_refused_with_the_ones_that_there_are() -> None:
    with pytest.raises(NotFoundError, match="transform"):
        NODES["transfrom"]


def test_node_types_need_no_dagster() -> None:
    code = "import sys, assets.nodes; sys.exit('dagster' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=FOLDER.parents[1]).returncode == 0
