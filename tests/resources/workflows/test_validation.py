from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.errors import NotFoundError
from resources.workflows.rules import RESERVED
from resources.workflows.validation import WorkflowInvalidError, check, parse
from tests.resources.workflows.table import TYPES, checked, choose, problems, say, workflow

if TYPE_CHECKING:
    from resources.workflows.spec import WorkflowSpec


def group(id: str, *nodes: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"id": id, "type": "parallel", "nodes": list(nodes), **fields}


def each(id: str, *nodes: dict[str, Any], **config: Any) -> dict[str, Any]:
    return {"id": id, "type": "map", "config": {"items": [1], **config}, "nodes": list(nodes)}


# What is right


def test_nodes_come_in_an_order_in_which_they_can_run_and_else_as_written() -> None:
    level = checked(say("c", "{{ nodes.b.output.text }}"), say("z"), say("b"), say("a", needs=["b"])).level
    assert [node.id for node in level.nodes] == ["z", "b", "c", "a"]
    (one,) = level.dependencies["c"]
    assert (one.node, one.explicit) == ("b", False)
    (two,) = level.dependencies["a"]
    assert (two.node, two.explicit) == ("b", True)
    assert level.results == ("z", "c", "a")


def test_a_node_that_is_needed_and_read_is_one_dependency() -> None:
    level = checked(say("a"), say("b", "{{ nodes.a.output.text }}", needs="a")).level
    assert [one.explicit for one in level.dependencies["b"]] == [True]


def test_what_a_body_reads_from_outside_is_a_dependency_of_its_owner() -> None:
    level = checked(each("m", group("g", say("inner", "{{ item }} {{ nodes.a.output.text }}"))), say("a")).level
    assert [node.id for node in level.nodes] == ["a", "m"]
    assert [one.node for one in level.dependencies["m"]] == ["a"]
    body = level.bodies["m"]
    assert [set(body.outer), set(body.bodies["g"].outer)] == [{"a"}, {"a"}]
    assert body.dependencies["g"] == ()


def test_a_condition_of_a_loop_reads_what_its_body_gives_and_needs_nothing_for_it() -> None:
    loop = {
        "id": "again",
        "type": "loop",
        "config": {"until": "{{ nodes.turn.output.count > 3 }}"},
        "nodes": [say("turn", "{{ state }} {{ index }}")],
    }
    assert checked(loop).level.dependencies["again"] == ()


def test_a_node_that_merges_branches_runs_when_any_has() -> None:
    level = checked(
        choose("r", "a", "b"),
        say("one", needs="r:a"),
        say("two", needs="r:b"),
        say("end", "{{ nodes.one.output.text | default('') }}", needs=["one", "two"], join="any"),
    ).level
    assert level.branches == {"r": ("a", "b")}
    assert [(one.node, one.branch) for one in level.dependencies["one"]] == [("r", "a")]


def test_a_router_that_takes_several_branches_lets_a_node_need_them_all() -> None:
    router = choose("r", "a", "b")
    router["config"]["several"] = True
    assert checked(router, say("end", needs=["r:a", "r:b"])).level.results == ("end",)


def test_other_workflows_are_found_checked_and_kept_by_revision() -> None:
    inner = parse(workflow(say("n"), name="inner"))
    call = {"id": "c", "type": "call", "config": {"workflow": "inner", "inputs": {"x": "{{ inputs.x }}"}}}
    found = check(workflow(call), TYPES, lookup=lambda *_: (7, inner))
    assert list(found.workflows) == [("inner", 7)]
    assert found.workflows["inner", 7].level.results == ("n",)


def test_the_process_variables_that_are_allowed_can_be_read() -> None:
    check(workflow(say("a", "${HOME} {{ env.HOME }}")), TYPES, environment=frozenset({"HOME"}))
    assert problems(say("a", "${HOME}")) == [("nodes.a.config.text", "variable_not_found")]


@pytest.mark.parametrize(
    "text",
    [
        "{{ inputs.x.deep[0].down }}",
        "{{ nodes.before.output.words[0] | upper }}",
        "{{ nodes.before.output.words.count(1) }}",
        "{{ nodes.before.output.nothing | default(1) }}",
        "{{ run.id }} {{ now().year }} {{ metadata.note }}",
        "{% for word in nodes.before.output.words %}{{ loop.index }} {{ word }}{% endfor %}",
        "{% set y = inputs.x %}{{ y }}",
        "{{ missing | default('nothing') }}",
    ],
)
def test_these_expressions_are_right(text: str) -> None:
    checked(say("before"), say("a", text))


# What is wrong, one by one

TOO_DEEP = [say("n0"), *(say(f"n{number}", needs=f"n{number - 1}") for number in range(1, 101))]
DEEP_BODIES: dict[str, Any] = say("leaf")
for number in range(101):
    DEEP_BODIES = group(f"g{number}", DEEP_BODIES)
WIDE = [say("hub"), *(say(f"n{number}", needs="hub") for number in range(51))]

WRONG: list[tuple[str, list[dict[str, Any]], dict[str, Any], tuple[str, str]]] = [
    ("no nodes", [], {}, ("nodes", "limit_exceeded")),
    ("too many", [say(f"n{n}") for n in range(1001)], {}, ("nodes", "limit_exceeded")),
    ("too many in bodies", [group("g", *(say(f"n{n}") for n in range(1000)))], {}, ("nodes", "limit_exceeded")),
    ("too deep", TOO_DEEP, {}, ("nodes", "limit_exceeded")),
    ("bodies too deep", [DEEP_BODIES], {}, ("nodes", "limit_exceeded")),
    ("too wide", WIDE, {}, ("nodes.hub", "limit_exceeded")),
    ("same id", [say("a"), say("a")], {}, ("nodes.a", "duplicate_id")),
    ("same id in a body", [say("a"), group("g", say("a"))], {}, ("nodes.g.nodes.a", "duplicate_id")),
    ("reserved id", [say("input")], {}, ("nodes.input", "reserved_name")),
    ("reserved branch", [choose("r", "config")], {}, ("nodes.r.config", "reserved_name")),
    ("odd input", [say("a")], {"inputs": {"a-b": {}}}, ("inputs.a-b", "field_invalid")),
    ("unknown type", [{"id": "a", "type": "sya"}], {}, ("nodes.a.type", "node_type_not_found")),
    (
        "unknown field",
        [say("a") | {"config": {"text": "", "txt": 1}}],
        {},
        ("nodes.a.config.txt", "config_field_unknown"),
    ),
    ("missing field", [{"id": "a", "type": "say"}], {}, ("nodes.a.config.text", "config_field_missing")),
    ("wrong type", [say("a") | {"config": {"text": 1}}], {}, ("nodes.a.config.text", "config_invalid")),
    ("needs itself", [say("a", needs="a")], {}, ("nodes.a.needs[0]", "cycle_detected")),
    ("reads itself", [say("a", "{{ nodes.a.output.text }}")], {}, ("nodes.a.config.text", "cycle_detected")),
    ("cycle", [say("a", needs="b"), say("b", needs="a")], {}, ("nodes.a", "cycle_detected")),
    (
        "cycle through expressions",
        [say("a", "{{ nodes.b.output.text }}"), say("b", "{{ nodes.a.output.text }}")],
        {},
        ("nodes.a", "cycle_detected"),
    ),
    (
        "a body reads its owner",
        [each("m", say("a", "{{ nodes.m.output }}!"))],
        {},
        ("nodes.m.nodes.a.config.text", "cycle_detected"),
    ),
    ("unknown need", [say("a", needs="b")], {}, ("nodes.a.needs[0]", "node_not_found")),
    ("need outside", [say("a"), group("g", say("b", needs="a"))], {}, ("nodes.g.nodes.b.needs[0]", "node_not_found")),
    ("need in a body", [group("g", say("b")), say("a", needs="b")], {}, ("nodes.a.needs[0]", "node_not_found")),
    ("double need", [say("a"), say("b", needs=["a", "a"])], {}, ("nodes.b.needs[1]", "duplicate_id")),
    ("branch of none", [say("a"), say("b", needs="a:yes")], {}, ("nodes.b.needs[0]", "invalid_router")),
    ("no such branch", [choose("r", "a"), say("b", needs="r:b")], {}, ("nodes.b.needs[0]", "invalid_router")),
    ("no branches", [choose("r")], {}, ("nodes.r", "invalid_router")),
    ("double branch", [choose("r", "a", "a")], {}, ("nodes.r.config", "invalid_router")),
    ("never runs", [choose("r", "a", "b"), say("b", needs=["r:a", "r:b"])], {}, ("nodes.b", "unreachable_nodes")),
    (
        "never runs, further down",
        [choose("r", "a", "b"), say("p", needs="r:a"), say("q", needs="r:b"), say("b", needs=["p", "q"])],
        {},
        ("nodes.b", "unreachable_nodes"),
    ),
    ("unused join", [say("a"), say("b", needs="a", join="any")], {}, ("nodes.b.join", "join_unused")),
    ("no body", [{"id": "g", "type": "parallel"}], {}, ("nodes.g.nodes", "body_missing")),
    ("a body", [say("a", nodes=[say("b")])], {}, ("nodes.a.nodes", "body_unexpected")),
    ("unknown input", [say("a", "{{ inputs.y }}")], {}, ("nodes.a.config.text", "input_not_found")),
    ("unknown node", [say("a", "{{ nodes.b.output }}")], {}, ("nodes.a.config.text", "node_not_found")),
    ("no node by name", [say("a", "{{ nodes[inputs.x] }}")], {}, ("nodes.a.config.text", "node_not_found")),
    ("no output", [say("a"), say("b", "{{ nodes.a.text }}")], {}, ("nodes.b.config.text", "output_not_found")),
    ("no such part", [say("a"), say("b", "{{ nodes.a.output.txt }}")], {}, ("nodes.b.config.text", "output_not_found")),
    (
        "no part of a number",
        [say("a"), say("b", "{{ nodes.a.output.count.x }}")],
        {},
        ("nodes.b.config.text", "output_not_found"),
    ),
    ("item outside", [say("a", "{{ item }}")], {}, ("nodes.a.config.text", "name_not_found")),
    (
        "own name of items",
        [each("m", say("a", "{{ item }}"), **{"as": "row"})],
        {},
        ("nodes.m.nodes.a.config.text", "name_not_found"),
    ),
    ("no such fact of the run", [say("a", "{{ run.secret }}")], {}, ("nodes.a.config.text", "name_not_found")),
    ("no expression", [say("a", "{{ 1 + }}")], {}, ("nodes.a.config.text", "expression_invalid")),
    ("no filter", [say("a", "{{ 1 | upperr }}")], {}, ("nodes.a.config.text", "expression_invalid")),
    (
        "bad condition",
        [choose("r", "a") | {"config": {"cases": [{"when": "{{ y > 1 }}", "branch": "a"}]}}],
        {},
        ("nodes.r.config.cases[0].when", "name_not_found"),
    ),
    (
        "types of ports",
        [say("a"), say("b") | {"config": {"text": "{{ nodes.a.output.count }}"}}],
        {},
        ("nodes.b.config.text", "type_mismatch"),
    ),
    (
        "type of an input",
        [say("a") | {"config": {"text": "", "times": "{{ inputs.x }}"}}],
        {"inputs": {"x": {"type": "object"}}},
        ("nodes.a.config.times", "type_mismatch"),
    ),
    ("bad output", [say("a")], {"outputs": {"o": ["{{ nodes.b.output }}"]}}, ("outputs.o[0]", "node_not_found")),
    (
        "unknown workflow",
        [{"id": "c", "type": "call", "config": {"workflow": "q"}}],
        {},
        ("nodes.c.config.workflow", "workflow_not_found"),
    ),
    (
        "workflow by expression",
        [{"id": "c", "type": "call", "config": {"workflow": "{{ inputs.x }}"}}],
        {},
        ("nodes.c.config.workflow", "config_invalid"),
    ),
    (
        "calls itself",
        [{"id": "c", "type": "call", "config": {"workflow": "w"}}],
        {},
        ("nodes.c.config.workflow", "cycle_detected"),
    ),
    (
        "default against limits",
        [say("a")],
        {"inputs": {"x": {"default": "abc", "max": 2}}},
        ("inputs.x.default", "input_invalid"),
    ),
    (
        "default of another type",
        [say("a")],
        {"inputs": {"x": {"type": "integer", "default": "1"}}},
        ("inputs.x.default", "type_mismatch"),
    ),
    ("min above max", [say("a")], {"inputs": {"x": {"min": 2, "max": 1}}}, ("inputs.x.min", "field_invalid")),
    ("pattern", [say("a")], {"inputs": {"x": {"pattern": "("}}}, ("inputs.x.pattern", "pattern_invalid")),
    ("look-around", [say("a")], {"inputs": {"x": {"pattern": "(?=a)"}}}, ("inputs.x.pattern", "pattern_invalid")),
    ("cron", [say("a")], {"schedule": "61 * * * *"}, ("schedule", "cron_invalid")),
    ("cron with seconds", [say("a")], {"schedule": "0 0 * * * *"}, ("schedule", "cron_invalid")),
    ("cron that never comes", [say("a")], {"schedule": "0 0 30 2 *"}, ("schedule", "cron_invalid")),
    (
        "time zone",
        [say("a")],
        {"triggers": [{"type": "schedule", "cron": "* * * * *", "timezone": "Mars/Base"}]},
        ("triggers[0].timezone", "timezone_invalid"),
    ),
    (
        "event",
        [say("a")],
        {"triggers": [{"type": "event", "event": "document.redy"}]},
        ("triggers[0].event", "event_not_found"),
    ),
    (
        "condition of a trigger",
        [say("a")],
        {"triggers": [{"type": "event", "event": "document.*", "when": "evnt.data"}]},
        ("triggers[0].when", "name_not_found"),
    ),
    (
        "trigger that reads nodes",
        [say("a")],
        {"triggers": [{"type": "event", "event": "document.*", "inputs": {"x": "{{ nodes.a.output }}"}}]},
        ("triggers[0].inputs.x", "name_not_found"),
    ),
    (
        "input of a trigger",
        [say("a")],
        {"triggers": [{"type": "webhook", "name": "h", "inputs": {"y": 1}}]},
        ("triggers[0].inputs.y", "input_not_found"),
    ),
    (
        "trigger without what is required",
        [say("a")],
        {"inputs": {"x": {}}, "triggers": [{"type": "webhook", "name": "h"}]},
        ("triggers[0].inputs", "input_missing"),
    ),
    (
        "two webhooks of one name",
        [say("a")],
        {"triggers": [{"type": "webhook", "name": "h"}] * 2},
        ("triggers", "duplicate_id"),
    ),
    (
        "starts itself",
        [say("a")],
        {"triggers": [{"type": "run", "workflow": "w"}]},
        ("triggers[0].workflow", "cycle_detected"),
    ),
    ("metadata too large", [say("a", metadata={"x": "y" * 1_000_000})], {}, ("nodes.a.metadata", "limit_exceeded")),
    ("tag too long", [say("a", tags=["x" * 101])], {}, ("nodes.a.tags[0]", "limit_exceeded")),
    ("tag with control characters", [say("a")], {"tags": ["a\x07"]}, ("tags[0]", "field_invalid")),
    ("description too long", [say("a", description="x" * 10_001)], {}, ("nodes.a.description", "limit_exceeded")),
    (
        "asset twice",
        [say("a", asset={"key": "x/y"}), say("b", asset={"key": ["x", "y"]})],
        {},
        ("nodes", "duplicate_id"),
    ),
]


@pytest.mark.parametrize(("nodes", "fields", "expected"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_this_is_refused(nodes: list[dict[str, Any]], fields: dict[str, Any], expected: tuple[str, str]) -> None:
    assert problems(*nodes, **fields) == [expected]


FIELDS = [
    ({"name": "Bad Name"}, "name", "field_invalid"),
    ({"name": "x" * 101}, "name", "field_invalid"),
    ({"nodes": [say("a", timeout=3601)]}, "nodes.a.timeout", "field_invalid"),
    ({"nodes": [say("a", timeout=0)]}, "nodes.a.timeout", "field_invalid"),
    ({"nodes": [say("a", retry={"attempts": 0})]}, "nodes.a.retry.attempts", "field_invalid"),
    ({"nodes": [say("a", retry={"attempts": 101})]}, "nodes.a.retry.attempts", "field_invalid"),
    ({"nodes": [say("a", retry={"attempts": 1, "delay": 0})]}, "nodes.a.retry.delay", "field_invalid"),
    ({"nodes": [say("a", priority=256)]}, "nodes.a.priority", "field_invalid"),
    ({"nodes": [say("a", tags=["t"] * 51)]}, "nodes.a.tags", "field_invalid"),
    ({"nodes": [say("a", need=["b"])]}, "nodes.a.need", "field_unknown"),
    ({"nodes": {"a-b": {"type": "say"}}}, "nodes.a-b.id", "field_invalid"),
    ({"nodes": {"a": {"typ": "say"}}}, "nodes.a.type", "field_missing"),
    ({"config": {"concurrency": 10_001}}, "config.concurrency", "field_invalid"),
    ({"triggers": [{"type": "event"}]}, "triggers[0].event", "field_missing"),
    ({"nodez": 1}, "nodez", "field_unknown"),
]


@pytest.mark.parametrize(("fields", "path", "code"), FIELDS, ids=[case[1] for case in FIELDS])
def test_fields_have_their_limits(fields: dict[str, Any], path: str, code: str) -> None:
    with pytest.raises(WorkflowInvalidError) as caught:
        parse(workflow(say("a")) | fields)
    assert (path, code) in [(problem.path, problem.code) for problem in caught.value.problems]


def test_values_are_not_nested_without_end() -> None:
    value: Any = 1
    for _ in range(5000):
        value = [value]
    with pytest.raises(WorkflowInvalidError, match="nested"):
        parse(workflow({"id": "a", "type": "any", "config": {"value": value}}))


@pytest.mark.parametrize(
    "key",
    [
        "password",
        "api_key",
        "apiToken",
        "x__system__y",
        "_internal_",
        "NODE_TYPE",
        "__proto__",
        "constructor",
        "my-credential",
    ],
)
def test_metadata_has_no_secrets_and_no_names_of_the_platform(key: str) -> None:
    assert problems(say("a", metadata={"deep": {key: 1}})) == [(f"nodes.a.metadata.deep.{key}", "content_banned")]


@pytest.mark.parametrize("key", ["monkey", "keyboard", "tokens", "constructors", "passwords_of"])
def test_words_that_only_contain_a_banned_one_are_fine(key: str) -> None:
    checked(say("a", metadata={key: 1}))


@pytest.mark.parametrize(
    ("value", "banned"),
    [
        ("<SCRIPT>", True),
        ("see javascript:x", True),
        ("rm -rf /", True),
        ("a ../ b", True),
        ("eval(1)", True),
        ("import subprocess", True),
        ("medieval(1)", False),
        ("subprocesses", False),
        ("farm -rf", False),
        ("model / view", False),
    ],
)
def test_values_are_searched_by_whole_words(value: str, *, banned: bool) -> None:
    if banned:
        assert problems(say("a", tags=[value])) == [("nodes.a.tags[0]", "content_banned")]
    else:
        checked(say("a", tags=[value]))


def test_all_problems_are_told_at_once_each_with_a_hint() -> None:
    with pytest.raises(WorkflowInvalidError) as caught:
        checked(
            say("a", "{{ inputs.xx }}"),
            say("b", needs="aa"),
            {"id": "c", "type": "sey"},
            say("d", needs="e"),
            say("e", needs="d"),
            choose("r", "yes", "no"),
            say("f", needs=["r:yes", "r:no"]),
            schedule="x",
        )
    error = caught.value
    assert {problem.code for problem in error.problems} == {
        "input_not_found", "node_not_found", "node_type_not_found", "cycle_detected", "unreachable_nodes", "cron_invalid",
    }  # fmt: skip
    assert all(problem.hint for problem in error.problems)
    assert error.code == "workflow_invalid"
    assert "did you mean 'x'?" in str([problem.hint for problem in error.problems])


def test_each_cycle_is_told_by_one_way_round() -> None:
    with pytest.raises(WorkflowInvalidError) as caught:
        checked(
            say("a", needs="c"),
            say("b", needs="a"),
            say("c", needs="b"),
            say("d", needs=["c", "e"]),
            say("e", needs="d"),
        )
    messages = sorted(problem.message for problem in caught.value.problems)
    assert [message.partition(": ")[2] for message in messages] == ["a → b → c → a", "d → e → d"]


def test_a_value_with_an_expression_is_not_measured_by_its_type() -> None:
    checked(say("a") | {"config": {"text": "x", "times": "{{ inputs.x }}", "tone": "{{ inputs.x }}"}})


def test_workflows_that_call_each_other_in_a_circle_are_refused() -> None:
    def lookup(name: str, revision: int | None) -> tuple[int, WorkflowSpec]:
        del revision
        other = {"one": "two", "two": "one"}[name]
        return 1, parse(workflow({"id": "c", "type": "call", "config": {"workflow": other}}, name=name))

    with pytest.raises(WorkflowInvalidError) as caught:
        check(lookup("one", None)[1], TYPES, lookup=lookup)
    assert "one → two → one" in str(caught.value)


def test_inputs_of_a_called_workflow_are_checked() -> None:
    inner = parse(workflow(say("n"), name="inner", inputs={"topic": {}, "size": {"default": "s"}}))
    call = {"id": "c", "type": "call", "config": {"workflow": "inner", "inputs": {"topik": 1}}}

    def lookup(name: str, revision: int | None) -> tuple[int, WorkflowSpec]:
        if (name, revision) != ("inner", None):
            raise NotFoundError("no")
        return 1, inner

    with pytest.raises(WorkflowInvalidError) as caught:
        check(workflow(call), TYPES, lookup=lookup)
    assert [(problem.path, problem.code) for problem in caught.value.problems] == [
        ("nodes.c.config.inputs.topik", "input_not_found"),
        ("nodes.c.config.inputs", "input_missing"),
    ]


def test_the_reserved_names_are_dagsters() -> None:
    from dagster._core.definitions.utils import DISALLOWED_NAMES

    assert set(DISALLOWED_NAMES) == RESERVED


@st.composite
def graphs(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Nodes that need, or read, nodes before them in some hidden order, written in another."""
    count = draw(st.integers(1, 12))
    nodes = []
    for number in range(count):
        before = draw(st.sets(st.integers(0, number - 1), max_size=3)) if number else set()
        read = draw(st.sets(st.integers(0, number - 1), max_size=2)) if number else set()
        text = " ".join(f"{{{{ nodes.n{one}.output.text }}}}" for one in sorted(read))
        nodes.append(say(f"n{number}", text or "x", needs=[f"n{one}" for one in sorted(before)]))
    return draw(st.permutations(nodes))


@given(graphs())
def test_every_node_comes_after_all_that_it_depends_on(nodes: list[dict[str, Any]]) -> None:
    level = checked(*nodes).level
    place = {node.id: position for position, node in enumerate(level.nodes)}
    assert len(place) == len(nodes)
    assert all(place[one.node] < place[name] for name, needs in level.dependencies.items() for one in needs)
