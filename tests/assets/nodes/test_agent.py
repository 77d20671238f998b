"""The node types `agent` and `prompt` with what stands behind them: tools, the library of prompts, checkpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from pydantic import ValidationError

from assets.nodes import NODES
from resources.agents.approvals import Approvals
from resources.agents.errors import AgentLimitError, ApprovalRequiredError
from resources.agents.tools.sets import NoToolSets
from resources.ai.directory import ProviderDirectory
from resources.ai.ledger.memory import MemoryCallBooks
from resources.ai.memory import HashingEmbedder
from resources.ai.pipeline import AiCalls
from resources.ai.prices.book import PriceBook
from resources.ai.providers.offline import OfflineProvider
from resources.ai.providers.scripted import ScriptedProvider
from resources.content.memory import MemoryChunkIndex
from resources.content.model import Chunk, sha256_of
from resources.errors import InvalidInputError, NotFoundError, UnavailableError, UpstreamError
from resources.events.memory import MemoryEventStore
from resources.knowledge.memory import MemoryGraphStore
from resources.prompts.bundled import bundled_prompts
from resources.prompts.engine import PromptEngine
from resources.prompts.library import PromptLibrary
from resources.workflows.calling import WorkflowAnswer, WorkflowCall
from resources.workflows.spec import NodeSpec, WorkflowSpec
from resources.workflows.web import WebClient
from tests.contracts.call_books import record_of
from tests.fixtures.nodes import Bench
from tests.resources.agents.parts import asks
from tests.resources.ai.calls.parts import answer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from resources.agents.tools.port import ToolUse
    from resources.ai.providers.scripted import Line

CLERK = {"name": "clerk", "provider": "scripted", "model": "m", "tools": ["calculator", "search"]}


class Office(Bench):
    """A bench with all that an agent needs, and a model that says its lines."""

    def says(self, *lines: Line) -> ScriptedProvider:
        model, books = ScriptedProvider(lines), MemoryCallBooks()
        directory = ProviderDirectory(chat={"scripted": model, "offline": OfflineProvider()})
        calls = AiCalls(providers=directory, books=books, memo=books.memo, prices=PriceBook())
        self.resources = {**self.resources, "ai": calls}
        return model


@pytest.fixture
def office() -> Office:
    events, embedder, chunks = MemoryEventStore(), HashingEmbedder(), MemoryChunkIndex()
    text = "Green tea wants water of eighty degrees. Black tea wants boiling water."
    chunk = Chunk(ordinal=0, text=text, start=0, end=len(text), section="Water", sha256=sha256_of(text.encode()))
    vectors = embedder.embed([text])
    chunks.replace("tea", [chunk], vectors, model_id=embedder.model_id, title="Tea", tenant="default")
    office = Office(
        resources={
            "prompts": PromptLibrary(events, PromptEngine(), bundled=bundled_prompts()),
            "events": events,
            "web": WebClient(),
            "embedder": embedder,
            "chunks": chunks,
            "graph": MemoryGraphStore(),
        }
    )
    office.says()
    return office


def test_an_agent_of_the_workflows_own_uses_tools(office: Office) -> None:
    office.says(asks("calculator", expression="6 * 7"), lambda asked: answer(f"It is {asked.messages[-1].text}."))
    found = office.run("agent", spec=CLERK, prompt="How much?")
    assert (found["answer"], found["steps"], found["tools"]) == (
        "It is 42.",
        2,
        [{"step": 1, "tool": "calculator", "outcome": "answered"}],
    )
    assert office.reported["tools"] == "calculator (answered)"
    assert office.emitted[0] == {"tool": "calculator", "status": "called"}


@pytest.mark.parametrize(
    ("agent", "given"),
    [
        ("research", {"variables": {"topic": "green tea water"}}),
        ("content", {"variables": {"content_type": "note", "topic": "green tea water"}}),
        ("analysis", {"variables": {"text": "Green tea wants water of eighty degrees."}}),
        ("support", {"variables": {"subject": "Green tea", "body": "How hot must the water for green tea be?"}}),
    ],
)
def test_the_agents_of_the_platform_run_without_a_key_and_say_that_they_are_no_ai(
    office: Office, agent: str, given: dict[str, Any]
) -> None:
    found = office.run("agent", agent=agent, **given)
    assert "tea" in found["answer"].lower()
    assert "<data" not in found["answer"]
    assert (found["simulated"], found["notice"]) == (True, "rule-based, not an AI model")
    assert found["prompts"] == {"system": "agent_system@1", "prompt": f"agent_{agent}@1"}


def test_the_research_agent_reads_documents_before_it_answers(office: Office) -> None:
    found = office.run("agent", agent="research", prompt="Search the documents about green tea water.")
    assert [used["tool"] for used in found["tools"]] == ["search"]
    assert "eighty degrees" in found["answer"]
    assert found["untrusted"]


def test_only_the_allowed_tools_are_offered(office: Office) -> None:
    model = office.says(answer())
    office.run("agent", spec=CLERK, prompt="x", tools=["calculator"])
    assert [tool.name for tool in model.requests[0].tools] == ["calculator"]


def test_registered_functions_can_be_called(office: Office) -> None:
    office.says(
        asks("json_merge_patch", target={"a": 1}, patch={"b": 2}), lambda asked: answer(asked.messages[-1].text)
    )
    found = office.run("agent", spec=CLERK, prompt="x", functions=["json.merge_patch"])
    assert '{"a":1,"b":2}' in found["answer"]


class Brewery:
    """A workflow `brew` that gives tea (unless the leaf is mouldy), has another one fetch the water, and is paid for."""

    def __init__(self, ai: AiCalls) -> None:
        self.calls: list[WorkflowCall] = []
        self._books = ai.books

    def find(self, workflow: str, *, tenant: str) -> WorkflowSpec:
        del tenant
        if workflow != "brew":
            raise NotFoundError(f"There is no workflow {workflow!r}.")
        node = {"id": "pour", "type": "template", "config": {"template": "x"}}
        return WorkflowSpec.model_validate({"name": "brew", "inputs": {"leaf": {"type": "string"}}, "nodes": [node]})

    def call(self, call: WorkflowCall, *, seconds: float) -> WorkflowAnswer:
        assert seconds > 0
        if not self.calls:
            for run_id in ("brewed", "fetched"):
                self._books.settle(record_of(call.tenant, run_id=run_id))
        self.calls.append(call)
        if call.inputs["leaf"] == "mouldy":
            raise UpstreamError("It was thrown away.", code="workflow_failed", run_id="brewed")
        return WorkflowAnswer("brewed", {"cup": f"{call.inputs['leaf']} tea"})

    def runs(self, run_id: str) -> Sequence[str]:
        return [run_id, "fetched"]


def test_workflows_can_be_run_and_what_they_spend_counts(office: Office) -> None:
    office.says(asks("brew", leaf="green"), lambda asked: answer(asked.messages[-1].text))
    brewery = Brewery(office.resources["ai"])
    office.resources = {**office.resources, "workflows": brewery}
    found = office.run("agent", spec=CLERK, prompt="x", workflows=["brew"])
    (call,) = brewery.calls
    assert "green tea" in found["answer"]
    assert (call.workflow, call.inputs, call.cause, call.tenant) == (
        "brew",
        {"leaf": "green"},
        office.run_id,
        "default",
    )
    assert found["total_tokens"] == 30 + 15 + 15
    again = Office(resources=office.resources, root_run_id=office.run_id)
    assert again.run("agent", spec=CLERK, prompt="x", workflows=["brew"])["total_tokens"] == found["total_tokens"]
    assert len(brewery.calls) == 1


def test_what_a_workflow_has_spent_counts_also_when_it_fails(office: Office) -> None:
    office.says(asks("brew", leaf="mouldy"), lambda asked: answer(asked.messages[-1].text))
    office.resources = {**office.resources, "workflows": Brewery(office.resources["ai"])}
    found = office.run("agent", spec=CLERK, prompt="x", workflows=["brew"])
    assert "thrown away" in found["answer"]
    assert found["total_tokens"] == 30 + 15 + 15


def test_a_workflow_that_is_not_published_is_no_tool(office: Office) -> None:
    office.resources = {**office.resources, "workflows": Brewery(office.resources["ai"])}
    with pytest.raises(NotFoundError):
        office.run("agent", spec=CLERK, prompt="x", workflows=["nothing"])


class Library:
    """A set with one tool, as a server of tools has it."""

    name, description, read_only, pure = "find.book", "Finds a book", True, False
    parameters: ClassVar[Mapping[str, Any]] = {"type": "object", "properties": {"title": {"type": "string"}}}

    def find(self, name: str, *, tenant: str) -> Library:
        assert (name, tenant) == ("library", "default")
        return self

    def tools(self) -> list[Library]:
        return [self]

    def call(self, tool: str, arguments: Mapping[str, Any], use: ToolUse) -> Any:
        assert (tool, use.tenant) == ("find.book", "default")
        return {"shelf": f"of {arguments['title']}"}


def test_tools_of_a_set_can_be_used_and_their_words_are_those_of_others(office: Office) -> None:
    office.says(asks("library_find_book", title="Tea"), lambda asked: answer(asked.messages[-1].text))
    office.resources = {**office.resources, "tool_sets": Library()}
    found = office.run("agent", spec=CLERK, prompt="x", tool_sets=["library"])
    assert "of Tea" in found["answer"]
    assert found["untrusted"]


def test_a_set_of_tools_that_is_not_there_is_said_so(office: Office) -> None:
    office.resources = {**office.resources, "tool_sets": NoToolSets()}
    with pytest.raises(UnavailableError, match="no set of tools 'library'"):
        office.run("agent", spec=CLERK, prompt="x", tool_sets=["library"])


def test_a_structured_answer_stands_in_data(office: Office) -> None:
    office.says(answer('{"n": 3}'))
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    assert office.run("agent", spec=CLERK, prompt="x", output=schema)["data"] == {"n": 3}


def test_a_run_that_is_executed_again_has_another_id_and_goes_on(office: Office) -> None:
    first = office.says(asks("calculator", expression="1+1"), answer("two"))
    once = office.run("agent", spec=CLERK, prompt="x")
    again = Office(resources=office.resources, root_run_id=office.run_id)
    found = again.run("agent", spec=CLERK, prompt="x")
    assert (found["answer"], found["resumed"], len(first.requests)) == (once["answer"], 2, 2)
    assert found["agent_run_id"] == once["agent_run_id"]


def test_a_node_waits_for_approval_and_goes_on_when_it_was_given(office: Office) -> None:
    office.says(asks("calculator", expression="1+1"), answer("two"))
    with pytest.raises(ApprovalRequiredError) as caught:
        office.run("agent", spec=CLERK, prompt="x", approve=["calculator"])
    approvals = Approvals(office.resources["events"])
    assert approvals.list()[0].node_id == "node"
    approvals.decide(str(caught.value.approval_id), granted=True)
    assert office.run("agent", spec=CLERK, prompt="x", approve=["calculator"])["answer"] == "two"


def test_the_timeout_of_the_node_is_a_limit_of_the_agent(office: Office) -> None:
    office.says(asks("calculator", expression="1"), answer())
    spec = NodeSpec.model_validate(
        {"id": "n", "type": "agent", "timeout": 0.0005, "config": {"spec": CLERK, "prompt": "x"}}
    )
    with pytest.raises((AgentLimitError, Exception)) as caught:
        office.execute(spec)
    assert caught.value.code in {"agent_limit", "node_timeout"}  # type: ignore[attr-defined]  # one of ours


@pytest.mark.parametrize(
    ("config", "path"),
    [
        ({"agent": "reserch", "prompt": "x"}, "config.agent"),
        ({"agent": "research", "prompt": "x", "functions": ["json.merge"]}, "config.functions"),
        ({"agent": "research", "prompt": "x", "output": {"type": "thing"}}, "config.output"),
    ],
)
def test_what_there_is_not_is_found_before_the_run(config: dict[str, Any], path: str) -> None:
    row = NODES["agent"]
    assert row.check is not None
    (problem,) = row.check(NodeSpec.model_validate({"id": "n", "type": "agent", "config": config}))
    assert problem.path == path


@pytest.mark.parametrize(
    "config", [{"prompt": "x"}, {"agent": "research", "spec": CLERK, "prompt": "x"}, {"agent": "a"}]
)
def test_a_config_names_one_agent_and_a_task(office: Office, config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        office.run("agent", **config)


# --- prompts of the library ------------------------------------------------------------------------------------------


def ask(office: Office, **config: Any) -> Any:
    return office.run("prompt", provider="scripted", model="m", **config)


def test_a_prompt_of_the_library_is_filled_in_and_the_answer_linked_to_its_version(office: Office) -> None:
    model = office.says(answer("yes"))
    found = ask(office, prompt_id="agent_content", variables={"content_type": "note", "topic": "tea"})
    assert found["prompt_version"] == model.requests[0].prompt_version == "agent_content@1"
    assert office.reported["prompt_version"] == "agent_content@1"
    asked = model.requests[0].messages[0].text
    assert asked.strip() == "Write a note about tea for a general audience, in a professional tone."


def test_a_label_is_followed_when_the_node_runs(office: Office) -> None:
    prompts: PromptLibrary = office.resources["prompts"]
    draft = prompts.get("agent_content").spec.model_copy(update={"content": "New {{topic}}", "examples": ()})
    prompts.publish(draft, labels=["staging"])
    model = office.says(answer(), answer())
    given = {"content_type": "note", "topic": "tea"}
    assert ask(office, prompt_id="agent_content@staging", variables=given)["prompt_version"] == "agent_content@2"
    assert model.requests[0].messages[0].text == "New tea"
    assert ask(office, prompt_id="agent_content@1", variables=given)["prompt_version"] == "agent_content@1"


def test_what_a_user_writes_is_never_read_as_a_template(office: Office) -> None:
    model = office.says(answer())
    office.inputs = {"topic": "{{content_type}} {{#each x}}"}
    ask(office, prompt_id="agent_content", variables={"content_type": "note", "topic": "{{ inputs.topic }}"})
    assert "{{content_type}} {{#each x}}" in model.requests[0].messages[0].text


@pytest.mark.parametrize(
    ("config", "error"),
    [
        ({"prompt_id": "no_such"}, NotFoundError),
        ({"prompt_id": "agent_content", "variables": {"colour": "red"}}, InvalidInputError),
        ({"prompt_id": "agent_content", "prompt": "x"}, ValidationError),
        ({"variables": {"a": 1}, "prompt": "x"}, ValidationError),
    ],
)
def test_a_prompt_that_does_not_fit_is_refused_before_anything_is_paid(
    office: Office, config: dict[str, Any], error: type[Exception]
) -> None:
    model = office.says(answer())
    with pytest.raises(error):
        ask(office, **config)
    assert model.requests == []
