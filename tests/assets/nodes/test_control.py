"""Nodes that decide what runs: condition, router, map, loop, delay, fail."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from pydantic import ValidationError

from assets.nodes import NODES
from resources.errors import ConflictError, InvalidInputError, LimitExceededError, Problem, UpstreamError
from resources.workflows.spec import NodeSpec
from tests.fixtures.nodes import Bench

COUNT = {"count": {"type": "transform", "config": {"value": "{{ state + 1 }}"}}}
SAY = {"say": {"type": "template", "config": {"template": "{{ item }}!"}}}


def problems(type: str, body: Any = None, **config: Any) -> list[Problem]:
    check = NODES[type].check
    assert check is not None
    spec = NodeSpec.model_validate({"id": "node", "type": type, "config": config, "nodes": body or {}})
    return list(check(spec))


# condition and router


@pytest.mark.parametrize(("score", "branch"), [(0.9, "true"), (0.1, "false")])
def test_a_condition_takes_the_branch_of_its_answer(score: float, branch: str) -> None:
    routed = Bench(inputs={"score": score}).run("condition", when="{{ inputs.score > 0.5 }}")
    assert routed.branches == (branch,)
    assert routed.output == {"result": branch == "true", "branch": branch}


@pytest.mark.parametrize("value", [False, None, 0, "", [], {}])
def test_what_is_nothing_in_json_is_no(value: Any) -> None:
    assert Bench(inputs={"x": value}).run("condition", when="{{ inputs.x }}").branches == ("false",)


def test_a_condition_without_braces_is_a_problem_because_text_is_always_true() -> None:
    (problem,) = problems("condition", when="inputs.score > 0.5")
    assert problem.path == "config.when"
    assert "not an expression" in problem.message


CASES = [
    {"when": "{{ inputs.n > 10 }}", "branch": "large"},
    {"when": "{{ inputs.n > 5 }}", "branch": "medium"},
]


@pytest.mark.parametrize(("n", "branches"), [(20, ("large",)), (7, ("medium",)), (1, ("small",))])
def test_a_router_takes_the_first_case_that_holds_or_the_default(n: int, branches: tuple[str, ...]) -> None:
    assert Bench(inputs={"n": n}).run("router", cases=CASES, default="small").branches == branches


def test_a_router_takes_every_case_that_holds_when_asked_to() -> None:
    routed = Bench(inputs={"n": 20}).run("router", cases=CASES, default="small", all_matching=True)
    assert routed.branches == ("large", "medium")


def test_a_router_without_a_fitting_case_and_a_default_takes_no_branch() -> None:
    routed = Bench(inputs={"n": 1}).run("router", cases=CASES)
    assert routed.branches == ()
    assert routed.output == {"branches": [], "branch": None}


def test_cases_after_the_one_that_is_taken_are_not_looked_at() -> None:
    cases = [{"when": True, "branch": "a"}, {"when": "{{ inputs.missing.part }}", "branch": "b"}]
    assert Bench().run("router", cases=cases).branches == ("a",)


def test_a_routers_branches_are_known_before_it_runs() -> None:
    spec = NodeSpec(id="node", type="router", config={"cases": CASES, "default": "small"})
    assert NODES["router"].branches is not None
    assert tuple(NODES["router"].branches(spec)) == ("large", "medium", "small")


def test_only_a_router_that_takes_one_branch_is_exclusive() -> None:
    exclusive = NODES["router"].exclusive
    assert exclusive is not None
    assert exclusive(NodeSpec(id="node", type="router", config={"cases": CASES}))
    assert not exclusive(NodeSpec(id="node", type="router", config={"cases": CASES, "all_matching": True}))


# map


def test_a_map_gives_its_items() -> None:
    assert Bench(inputs={"names": ["a", "b"]}).run("map", within=SAY, items="{{ inputs.names }}") == ["a", "b"]


def test_a_map_with_too_many_items_is_refused_before_any_work() -> None:
    with pytest.raises(LimitExceededError, match="1,001 items"):
        Bench().run("map", within=SAY, items=list(range(1001)))


def test_a_map_over_what_is_no_list_is_refused() -> None:
    with pytest.raises(ValidationError):
        Bench(inputs={"x": 5}).run("map", within=SAY, items="{{ inputs.x }}")
    assert [problem.path for problem in problems("map", SAY, items="abc")] == ["config.items"]


def test_an_item_cannot_have_a_name_that_expressions_know_already() -> None:
    assert [problem.path for problem in problems("map", SAY, items=[1], as_="x") if problem.path == "config.as"] == []
    spec = NodeSpec.model_validate({"id": "n", "type": "map", "config": {"items": [1], "as": "inputs"}, "nodes": SAY})
    assert NODES["map"].check is not None
    assert [problem.path for problem in NODES["map"].check(spec)] == ["config.as"]


# loop


def test_a_loop_over_items_runs_its_body_for_each_in_order() -> None:
    output = Bench().run("loop", within=SAY, items=["a", "b"])
    assert output["results"] == [{"say": {"text": "a!"}}, {"say": {"text": "b!"}}]
    assert (output["iterations"], output["ended_by"]) == (2, "items")


def test_a_loop_over_no_items_gives_nothing() -> None:
    assert Bench().run("loop", within=SAY, items=[]) == {
        "results": [],
        "state": None,
        "iterations": 0,
        "ended_by": "items",
    }


def test_the_state_carries_over_from_pass_to_pass() -> None:
    output = Bench().run(
        "loop", within=COUNT, while_="{{ state < 5 }}", state=0, next="{{ nodes.count.output }}", collect="{{ index }}"
    )
    assert output == {"results": [0, 1, 2, 3, 4], "state": 5, "iterations": 5, "ended_by": "while"}


def test_until_is_looked_at_after_the_pass() -> None:
    output = Bench().run("loop", within=SAY, items=["a", "b", "c"], until="{{ nodes.say.output.text == 'a!' }}")
    assert (output["iterations"], output["ended_by"]) == (1, "until")


def test_a_loop_that_would_never_end_is_stopped() -> None:
    with pytest.raises(LimitExceededError, match="more than 20 passes") as caught:
        Bench().run("loop", within=COUNT, while_="{{ state < 1 }}", state=0, max_iterations=20)
    assert caught.value.code == "loop_limit"


def test_a_loop_that_ends_with_its_last_pass_is_not_refused() -> None:
    output = Bench().run(
        "loop", within=COUNT, while_="{{ state < 20 }}", state=0, next="{{ nodes.count.output }}", max_iterations=20
    )
    assert output["iterations"] == 20


def test_more_items_than_passes_are_refused_before_any_work() -> None:
    bench = Bench()
    with pytest.raises(LimitExceededError):
        bench.run(
            "loop", within={"boom": {"type": "fail", "config": {"message": "ran"}}}, items=[1, 2, 3], max_iterations=2
        )


def test_no_loop_may_have_more_than_a_thousand_passes() -> None:
    with pytest.raises(ValidationError):
        Bench().run("loop", within=SAY, items=[1], max_iterations=1001)


@pytest.mark.parametrize("config", [{}, {"items": [1], "while": "{{ true }}"}])
def test_a_loop_needs_either_items_or_a_condition(config: dict[str, Any]) -> None:
    assert [problem.path for problem in problems("loop", SAY, **config)] == ["config"]
    with pytest.raises(InvalidInputError):
        Bench().run("loop", within=SAY, **config)


def test_a_loop_that_is_always_true_needs_an_end() -> None:
    assert [problem.path for problem in problems("loop", SAY, **{"while": True})] == ["config.while"]


def test_loops_within_loops_see_both_items() -> None:
    inner = {
        "inner": {
            "type": "loop",
            "config": {"items": [1, 2], "as": "number", "collect": "{{ nodes.pair.output.text }}"},
            "nodes": {"pair": {"type": "template", "config": {"template": "{{ item }}{{ number }}"}}},
        }
    }
    output = Bench().run("loop", within=inner, items=["a", "b"], collect="{{ nodes.inner.output.results }}")
    assert output["results"] == [["a1", "a2"], ["b1", "b2"]]


def test_a_cancelled_run_ends_a_loop_between_two_passes() -> None:
    bench = Bench()
    bench.emitted.append({})
    bench.cancel.set()
    with pytest.raises(ConflictError, match="cancelled"):
        bench.run("loop", within=COUNT, while_="{{ state < 1 }}", state=0)


def test_the_timeout_of_a_loop_holds_for_all_its_passes() -> None:
    spec = NodeSpec.model_validate(
        {
            "id": "slow",
            "type": "loop",
            "timeout": 0.1,
            "config": {"while": "{{ true }}", "until": "{{ false }}", "max_iterations": 1000},
            "nodes": {"wait": {"type": "delay", "config": {"seconds": 0.02}}},
        }
    )
    with pytest.raises(LimitExceededError) as caught:
        Bench().execute(spec)
    assert caught.value.code == "node_timeout"


# delay and fail


def test_a_delay_waits() -> None:
    assert Bench().run("delay", seconds=0.02)["seconds"] >= 0.02


def test_a_cancelled_run_does_not_wait_for_a_delay() -> None:
    bench = Bench()
    started = threading.Timer(0.05, bench.cancel.set)
    started.start()
    began = time.monotonic()
    with pytest.raises(ConflictError):
        bench.run("delay", seconds=3600)
    assert time.monotonic() - began < 10


def test_a_delay_ends_at_the_nodes_timeout() -> None:
    spec = NodeSpec(id="wait", type="delay", timeout=0.05, config={"seconds": 3600})
    with pytest.raises(LimitExceededError) as caught:
        Bench().execute(spec)
    assert caught.value.retryable


@pytest.mark.parametrize("seconds", [-1, 3601, float("nan"), "soon"])
def test_a_delay_has_bounds(seconds: Any) -> None:
    with pytest.raises(ValidationError):
        Bench().run("delay", seconds=seconds)


def test_fail_says_what_the_author_says() -> None:
    with pytest.raises(UpstreamError, match="No stock of tea") as caught:
        Bench(inputs={"what": "tea"}).run(
            "fail", message="No stock of {{ inputs.what }}.", code="no_stock", retryable=True
        )
    assert (caught.value.code, caught.value.retryable) == ("no_stock", True)
