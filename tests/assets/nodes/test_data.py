"""Nodes that make values of values: template, transform, python."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.nodes.base import MAX_OUTPUT_BYTES, as_json
from assets.nodes.functions import FUNCTIONS, Functions, merge_patch, workflow_function
from assets.nodes.transform import at, json_order
from resources.errors import ConflictError, InvalidInputError, LimitExceededError, NotFoundError, UpstreamError
from resources.workflows.node_type import NodeContext  # noqa: TC001  # the registry reads the annotation
from resources.workflows.spec import NodeSpec
from tests.fixtures.nodes import Bench

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)
plain_lists = st.lists(json_values, max_size=8)
GOODS = [
    {"name": "tea", "price": {"amount": 3}, "kind": "drink"},
    {"name": "jam", "price": {"amount": 5}, "kind": "food"},
    {"name": "oil", "price": {"amount": 2}, "kind": "food"},
]


def transform(value: Any, *steps: dict[str, Any], **given: Any) -> Any:
    # The value comes as an input, so that text that looks like an expression is not one.
    return Bench(inputs={"value": value, **given}).run("transform", value="{{ inputs.value }}", steps=list(steps))


# template


def test_a_template_is_filled_in() -> None:
    assert Bench(inputs={"who": "world"}).run("template", template="Hello, {{ inputs.who }}!") == {
        "text": "Hello, world!"
    }


@pytest.mark.parametrize(("template", "text"), [("{{ 1 + 1 }}", "2"), ('{"a": {{ 1 }}}', '{"a":1}'), ("", "")])
def test_a_template_gives_text_also_where_it_looks_like_json(template: str, text: str) -> None:
    assert Bench().run("template", template=template) == {"text": text}


def test_an_undefined_name_in_a_template_is_an_error() -> None:
    with pytest.raises(InvalidInputError, match="nobody"):
        Bench().run("template", template="{{ inputs.nobody }}")


# transform


def test_a_transform_is_its_value_with_expressions_filled_in() -> None:
    bench = Bench(inputs={"n": 2}, nodes={"a": [1, 2]})
    assert bench.run("transform", value={"twice": "{{ inputs.n * 2 }}", "all": "{{ nodes.a.output }}"}) == {
        "twice": 4,
        "all": [1, 2],
    }


def test_pick_keeps_fields_and_leaves_out_missing_ones() -> None:
    assert transform(GOODS, {"op": "pick", "fields": ["name", "size"]}) == [
        {"name": "tea"},
        {"name": "jam"},
        {"name": "oil"},
    ]


def test_rename_gives_other_names() -> None:
    assert transform({"a": 1, "b": 2}, {"op": "rename", "fields": {"a": "c"}}) == {"c": 1, "b": 2}


def test_rename_does_not_lose_a_field() -> None:
    with pytest.raises(InvalidInputError, match="two fields one name"):
        transform({"a": 1, "b": 2}, {"op": "rename", "fields": {"a": "b"}})


def test_each_makes_something_of_every_item() -> None:
    found = transform(GOODS, {"op": "each", "to": {"no": "{{ index + 1 }}", "label": "{{ item.name | upper }}"}})
    assert found[0] == {"no": 1, "label": "TEA"}


def test_filter_keeps_what_meets_the_condition() -> None:
    found = transform(GOODS, {"op": "filter", "where": "{{ item.price.amount > inputs.least }}"}, least=2)
    assert [item["name"] for item in found] == ["tea", "jam"]


def test_sort_orders_by_a_path() -> None:
    assert [item["name"] for item in transform(GOODS, {"op": "sort", "by": "price.amount"})] == ["oil", "tea", "jam"]


def test_group_puts_equal_ones_together_in_order_of_appearance() -> None:
    groups = transform(GOODS, {"op": "group", "by": "kind"})
    assert [(group["key"], len(group["items"])) for group in groups] == [("drink", 1), ("food", 2)]


def test_merge_makes_one_object_and_the_later_counts() -> None:
    parts = [{"a": {"x": 1}, "b": 1}, {"a": {"y": 2}, "b": 2}]
    assert transform(parts, {"op": "merge"}) == {"a": {"y": 2}, "b": 2}
    assert transform(parts, {"op": "merge", "deep": True}) == {"a": {"x": 1, "y": 2}, "b": 2}


@pytest.mark.parametrize(
    ("value", "step"),
    [
        (5, {"op": "sort"}),
        ({"a": 1}, {"op": "filter", "where": True}),
        ([1, 2], {"op": "pick", "fields": ["a"]}),
        ([{}, None], {"op": "merge"}),
        ("text", {"op": "flatten"}),
    ],
)
def test_a_step_for_another_shape_is_refused_by_its_place(value: Any, step: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError) as caught:
        transform(value, step)
    assert caught.value.code == "transform_shape"
    assert [problem.path for problem in caught.value.problems] == ["config.steps[0]"]


@given(plain_lists)
def test_sorting_keeps_every_item_and_gives_an_order(items: list[Any]) -> None:
    found = transform(items, {"op": "sort"})
    assert sorted(map(json_order, found)) == [json_order(item) for item in found]
    assert sorted(map(repr, found)) == sorted(map(repr, items))


@given(plain_lists)
def test_sorting_downwards_gives_the_same_items_the_greatest_first(items: list[Any]) -> None:
    up = transform(items, {"op": "sort"})
    down = transform(items, {"op": "sort", "descending": True})
    assert [json_order(item) for item in down] == [json_order(item) for item in reversed(up)]


@given(st.lists(st.fixed_dictionaries({"k": json_values, "n": st.integers(0, 99)}), max_size=8))
def test_groups_hold_every_item_once_and_have_different_keys(items: list[Any]) -> None:
    groups = transform(items, {"op": "group", "by": "k"})
    assert sorted(repr(item) for group in groups for item in group["items"]) == sorted(map(repr, items))
    assert all(at(item, "k") == group["key"] for group in groups for item in group["items"])


@given(st.recursive(st.lists(st.integers(0, 9), max_size=3), lambda inner: st.lists(inner, max_size=3), max_leaves=10))
def test_flattening_deep_enough_leaves_no_lists_and_keeps_the_order(items: list[Any]) -> None:
    def leaves(value: Any) -> list[int]:
        return [leaf for item in value for leaf in (leaves(item) if isinstance(item, list) else [item])]

    assert transform(items, {"op": "flatten", "depth": 100}) == leaves(items)


@given(plain_lists)
def test_filtering_by_yes_and_by_no_keeps_all_and_nothing(items: list[Any]) -> None:
    assert transform(items, {"op": "filter", "where": True}) == items
    assert transform(items, {"op": "filter", "where": False}) == []


# python


@workflow_function("tests.add")
def add(a: int, b: int = 1) -> int:
    return a + b


@workflow_function("tests.where")
async def where(context: NodeContext, *, copy: str) -> dict[str, str]:
    await asyncio.sleep(0)
    return {"run": context.run_id, "copy": copy}


@workflow_function("tests.boom")
def boom() -> None:
    raise ValueError("no such luck")


@workflow_function("tests.forever")
async def forever() -> None:
    await asyncio.sleep(3600)


@workflow_function("tests.object")
def strange() -> object:
    return object()


def problems(**config: Any) -> list[tuple[str, str]]:
    from assets.nodes import NODES

    check = NODES["python"].check
    assert check is not None
    return [(found.path, str(found)) for found in check(NodeSpec(id="n", type="python", config=config))]


def test_a_function_is_called_with_arguments_of_its_types() -> None:
    assert Bench(inputs={"n": "41"}).run("python", function="tests.add", args={"a": "{{ inputs.n }}"}) == 42


def test_an_asynchronous_function_is_awaited_and_may_ask_for_the_context() -> None:
    bench = Bench(run_id="run-1")
    assert bench.run("python", function="tests.where", args={"copy": "x"}) == {"run": "run-1", "copy": "x"}


def test_wrong_arguments_are_refused_all_at_once() -> None:
    with pytest.raises(InvalidInputError) as caught:
        Bench().run("python", function="tests.add", args={"a": "x", "c": 1})
    assert {problem.path for problem in caught.value.problems} == {"config.args.a", "config.args.c"}


def test_what_a_function_raises_is_told_with_its_name() -> None:
    with pytest.raises(UpstreamError, match=r"'tests.boom' raised ValueError: no such luck"):
        Bench().run("python", function="tests.boom")


def test_a_function_that_gives_no_json_is_refused() -> None:
    with pytest.raises(UpstreamError) as caught:
        Bench().run("python", function="tests.object")
    assert caught.value.code == "node_output_invalid"


def test_an_asynchronous_function_ends_at_the_nodes_timeout() -> None:
    with pytest.raises(LimitExceededError) as caught:
        Bench().execute(NodeSpec(id="n", type="python", timeout=0.05, config={"function": "tests.forever"}))
    assert caught.value.code == "node_timeout"


def test_an_asynchronous_function_ends_when_the_run_is_cancelled() -> None:
    import threading

    bench = Bench()
    threading.Timer(0.05, bench.cancel.set).start()
    with pytest.raises(ConflictError):
        bench.run("python", function="tests.forever")


def test_an_unknown_function_is_a_problem_with_the_near_ones() -> None:
    ((path, message),) = problems(function="tests.ad")
    assert path == "config.function"
    assert "'tests.add'" in message
    with pytest.raises(NotFoundError, match=r"tests\.add"):
        Bench().run("python", function="tests.ad")


def test_arguments_are_checked_before_a_run_as_far_as_they_are_known() -> None:
    assert [path for path, _ in problems(function="tests.add", args={"c": "{{ inputs.x }}"})] == [
        "config.args.c",
        "config.args.a",
    ]
    assert problems(function="tests.add", args={"a": "{{ inputs.x }}"}) == []
    assert [path for path, _ in problems(function="tests.add", args={"a": "x"})] == ["config.args.a"]


def test_a_name_belongs_to_one_function() -> None:
    functions = Functions()
    functions.register("one", add)
    functions.register("one", add)
    with pytest.raises(InvalidInputError, match="'one'"):
        functions.register("one", boom)


def test_a_function_without_named_parameters_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="named"):
        Functions().register("rest", lambda *rest: rest)


def test_functions_of_other_packages_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import EntryPoint

    entry = EntryPoint("elsewhere.merge", "assets.nodes.functions:merge_patch", "aiw.functions")
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [entry] if group == "aiw.functions" else [])
    functions = Functions()
    assert functions.names() == ["elsewhere.merge"]
    assert functions.get("elsewhere.merge").call is merge_patch


def test_the_platform_brings_a_function() -> None:
    assert "json.merge_patch" in FUNCTIONS.names()
    # The examples of RFC 7396, appendix A
    assert merge_patch({"a": "b", "b": "c"}, {"a": None}) == {"b": "c"}
    assert merge_patch({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}) == {"a": {"b": "d"}}
    assert merge_patch(["a"], {"a": {"bb": {"ccc": None}}}) == {"a": {"bb": {}}}


# what holds for all outputs


def test_an_output_that_no_run_can_carry_is_refused() -> None:
    with pytest.raises(LimitExceededError) as caught:
        as_json("x" * (MAX_OUTPUT_BYTES + 1), None, "test")
    assert caught.value.code == "node_output_too_large"


def test_a_number_that_json_does_not_have_becomes_null() -> None:
    assert as_json({"n": math.nan}, None, "test") == {"n": None}
