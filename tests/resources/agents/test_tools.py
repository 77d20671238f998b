"""The tools that come with the platform."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from resources.agents.tools.calculator import calculate, calculator
from resources.agents.tools.callables import function_tool, workflow_tool
from resources.agents.tools.knowledge import related_concepts_tool, search_tool
from resources.agents.tools.port import ToolUse, chosen
from resources.agents.tools.web import http_tool
from resources.ai.egress import EgressPolicy
from resources.ai.memory import HashingEmbedder
from resources.content.memory import MemoryChunkIndex
from resources.content.search import SearchService
from resources.errors import InvalidInputError, NotFoundError, NotPermittedError
from resources.knowledge.memory import MemoryGraphStore
from resources.knowledge.neighbourhood import Neighbourhood
from resources.workflows.spec import WorkflowSpec
from resources.workflows.web import WebClient
from tests.assets.nodes.web import Answer, serving
from tests.resources.agents.parts import tool

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.assets.nodes.web import WebServer

USE = ToolUse("default", "clerk", "key-1")


@pytest.fixture
def server() -> Iterator[WebServer]:
    with serving() as running:
        yield running


def local_web() -> WebClient:
    return WebClient(EgressPolicy.model_validate({"allowed": ["127.0.0.0/8"]}))


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("1 + 2 * 3", 7),
        ("(1 + 2) ^ 2", 9),
        ("-7 // 2 + 7 % 4", -1),
        ("sqrt(16) + max(1, 2, 3)", 7.0),
        ("sum(1, 2, 3) / 4", 1.5),
        ("round(pi)", 3),
    ],
)
def test_arithmetic_comes_out_right(expression: str, value: float) -> None:
    assert calculate(expression) == value


@pytest.mark.parametrize(
    "expression",
    [
        "__import__('os').system('x')",
        "().__class__",
        "[x for x in (1,)]",
        "open('x')",
        "9**9**9**9",
        "2**100000",
        "1/0",
        "exp(10000)",
        "True + 1",
        "1 +",
        "round(x=1)",
        "(" * 300 + "1" + ")" * 300,
        "1" * 501,
        "sqrt(-1)",
        "'a' * 3",
    ],
)
def test_what_is_no_arithmetic_or_too_large_is_refused(expression: str) -> None:
    with pytest.raises(InvalidInputError):
        calculate(expression)


def test_the_calculator_is_pure_and_says_only_numbers() -> None:
    assert calculator().run({"expression": "6 * 7"}, USE) == "42"
    assert (calculator().pure, calculator().trusted, calculator().effects) == (True, True, False)


def test_a_function_is_called_with_named_arguments_under_a_name_that_models_allow() -> None:
    found = function_tool("text.join", lambda a, b: a + b, description="Join", parameters={"type": "object"}, pure=True)
    assert (found.name, found.pure, found.run({"a": "x", "b": "y"}, USE)) == ("text_join", True, "xy")


def test_a_workflow_is_a_tool_with_its_inputs_as_schema() -> None:
    workflow = WorkflowSpec.model_validate(
        {
            "name": "greet",
            "description": "Greets somebody.",
            "inputs": {
                "who": {"type": "string", "description": "Whom", "min": 1, "max": 20, "pattern": "[A-Z].*"},
                "times": {"type": "integer", "default": 1, "min": 1, "max": 3},
                "mood": {"type": "string", "enum": ["gay", "grave"], "required": False},
                "names": {"type": "array", "max": 2, "required": False},
                "extra": {"type": "any", "required": False},
            },
            "nodes": [{"id": "a", "type": "template", "config": {"template": "x"}}],
        }
    )
    found = workflow_tool(workflow, lambda given, use: {"greeted": given["who"], "key": use.key})
    assert found.problems({"who": "Ann", "times": 2, "mood": "gay", "extra": 1}) == []
    wrong = found.problems({"who": "ann", "times": 9, "mood": "sad", "names": [1, 2, 3], "x": 1})
    assert len(wrong) == 5
    assert found.problems({}) == ["$: 'who' is a required property"]
    assert found.effects
    assert found.run({"who": "Ann"}, USE) == {"greeted": "Ann", "key": "key-1"}


def test_two_tools_of_one_name_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="Two tools"):
        chosen([tool(), tool()], ["look"])


def test_a_schema_that_is_none_is_refused_when_the_tool_is_made() -> None:
    with pytest.raises(InvalidInputError, match="not a JSON Schema"):
        function_tool("x", print, description="x", parameters={"type": "thing"})


def test_http_gives_status_and_text(server: WebServer) -> None:
    server.will(Answer(404, "nö".encode(), {"content-type": "text/plain; charset=utf-8"}))
    assert http_tool(local_web()).run({"url": server.url}, USE) == "status 404\n\nnö"


@pytest.mark.parametrize("url", ["http://169.254.169.254/latest/meta-data", "http://127.0.0.1:1/", "http://[::1]/"])
def test_http_does_not_reach_into_the_platforms_own_network(url: str) -> None:
    with pytest.raises(NotPermittedError):
        http_tool(WebClient()).run({"url": url}, USE)


def test_http_reads_only_unless_it_may_do_more(server: WebServer) -> None:
    reading, writing = http_tool(local_web()), http_tool(local_web(), methods=("GET", "POST"))
    assert reading.problems({"url": server.url, "method": "POST"})
    assert (reading.effects, writing.effects) == (False, True)
    writing.run({"url": server.url, "method": "POST", "json": {"a": 1}}, USE)
    (asked,) = server.asked
    assert (asked.method, asked.body, asked.headers["idempotency-key"]) == ("POST", b'{"a":1}', "key-1")


def test_http_keeps_to_hosts_that_are_named(server: WebServer) -> None:
    with pytest.raises(NotPermittedError, match="not allowed here"):
        http_tool(local_web(), hosts=("example.org",)).run({"url": server.url}, USE)
    assert server.asked == []


def test_search_quotes_passages_with_their_documents() -> None:
    def service() -> SearchService:
        return SearchService(HashingEmbedder(), MemoryChunkIndex())

    assert search_tool(service).run({"query": "tea"}, USE) == "Nothing was found."


def test_a_concept_that_there_is_not_is_an_error_for_the_model() -> None:
    found = related_concepts_tool(lambda: Neighbourhood(MemoryGraphStore()))
    with pytest.raises(NotFoundError):
        found.run({"concept": "tea"}, USE)


@pytest.mark.parametrize("arguments", [{"query": ""}, {"query": "x", "limit": 99}, {}], ids=str)
def test_arguments_of_a_search_are_bounded(arguments: dict[str, Any]) -> None:
    assert search_tool(lambda: SearchService(HashingEmbedder(), MemoryChunkIndex())).problems(arguments)
