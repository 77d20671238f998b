"""An agent in a run has another workflow run, and waits for what it gives."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from definitions.runtime.calling import RuntimeCalls
from definitions.runtime.outputs import NodeOutputs
from definitions.runtime.starter import Starter
from resources.errors import NotFoundError, UnavailableError, UpstreamError
from resources.workflows.calling import WorkflowCall

if TYPE_CHECKING:
    from tests.definitions.runtime.workflows import Engine

BREW = """
name: brew
description: Brew a cup of tea.
inputs: {leaf: {type: string}}
nodes:
  pour: {type: template, config: {template: "a cup of {{ inputs.leaf }} tea"}}
outputs: {cup: "{{ nodes.pour.output.text }}"}
"""
SPILL = "name: spill\nnodes:\n  drop: {type: fail, config: {message: the cup broke}}\n"
WAIT = "name: dawdle\nnodes:\n  wait: {type: delay, config: {seconds: 60}}\n"
ASK = """
name: have_tea
nodes:
  butler:
    type: agent
    config:
      spec: {name: butler, goal: Brew what is asked.}
      workflows: [brew]
      prompt: "Brew a cup of tea with the leaf green."
outputs: {tools: "{{ nodes.butler.output.tools }}", answer: "{{ nodes.butler.output.answer }}"}
"""


@pytest.fixture
def calls(engine: Engine) -> RuntimeCalls:
    return RuntimeCalls(lambda: Starter(engine.launcher, NodeOutputs(engine.runtime.database)))


def call(engine: Engine, workflow: str, **inputs: str) -> WorkflowCall:
    return WorkflowCall(workflow, inputs, tenant=engine.tenant, key=str(uuid.uuid4()))


def test_a_workflow_is_run_once_for_a_key_and_gives_its_outputs(engine: Engine, calls: RuntimeCalls) -> None:
    engine.publish(BREW)
    assert list(calls.find("brew", tenant=engine.tenant).inputs) == ["leaf"]
    wanted = call(engine, "brew", leaf="black")
    first, again = calls.call(wanted, seconds=60), calls.call(wanted, seconds=60)
    assert first.outputs == {"cup": "a cup of black tea"}
    assert again == first


def test_runs_that_runs_have_called_are_known(engine: Engine, calls: RuntimeCalls) -> None:
    engine.publish(BREW)
    first = calls.call(call(engine, "brew", leaf="black"), seconds=60)
    second = calls.call(replace(call(engine, "brew", leaf="green"), cause=first.run_id), seconds=60)
    third = calls.call(replace(call(engine, "brew", leaf="white"), cause=second.run_id), seconds=60)
    assert list(calls.runs(first.run_id)) == [first.run_id, second.run_id, third.run_id]
    assert list(calls.runs(third.run_id)) == [third.run_id]


def test_a_run_that_fails_says_why(engine: Engine, calls: RuntimeCalls) -> None:
    engine.publish(SPILL)
    with pytest.raises(UpstreamError, match="the cup broke"):
        calls.call(call(engine, "spill"), seconds=60)


def test_a_run_that_takes_too_long_is_not_waited_for(engine: Engine, calls: RuntimeCalls) -> None:
    engine.publish(WAIT)
    with pytest.raises(UnavailableError) as error:
        calls.call(call(engine, "dawdle"), seconds=0.1)
    assert error.value.code == "workflow_unfinished"
    assert engine.launcher.cancel(str(error.value.details["run_id"]), tenant=engine.tenant)


def test_a_workflow_that_is_not_published_is_not_found(engine: Engine, calls: RuntimeCalls) -> None:
    with pytest.raises(NotFoundError):
        calls.find("nothing", tenant=engine.tenant)


@pytest.mark.timeout(120)
def test_an_agent_runs_a_workflow_as_its_tool(engine: Engine) -> None:
    engine.publish(BREW)
    engine.publish(ASK)
    outputs = engine.outputs(engine.succeed("have_tea"))
    assert [(used["tool"], used["outcome"]) for used in outputs["tools"]] == [("brew", "answered")]
    assert "tea" in outputs["answer"]
