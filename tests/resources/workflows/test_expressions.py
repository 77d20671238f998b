from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.errors import InvalidInputError, LimitExceededError
from resources.workflows.context import TaskContext
from resources.workflows.expressions import FILTERS, MARKERS, Expressions, Reference

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
TASK = TaskContext(
    event_id="run-1",
    workflow_type="summary",
    event_data={
        "n": 3,
        "name": "ada",
        "list": [3, 1, 2],
        "items": "a key",
        "flag": False,
        "none": None,
        "long": "x" * 400_000,
    },
    created_at=NOON,
    updated_at=NOON,
    nodes={
        "search": {"hits": [{"title": "one", "score": 0.5}, {"title": "two", "score": 1.5}], "keys": 7},
        "text": "plain",
    },
    metadata={"note": "m"},
    environment={"REGION": "eu"},
    tenant="acme",
)
EXPRESSIONS = Expressions(environment=frozenset({"AIW_TEST_VARIABLE"}))


def render(value: Any, **scope: Any) -> Any:
    return EXPRESSIONS.render(value, TASK, **scope)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no markers, { just } $braces", "no markers, { just } $braces"),
        ("{{ inputs.n }}", 3),
        ("  {{ inputs.list }}\n", [3, 1, 2]),
        ("{{ inputs.none }}", None),
        ("{{ inputs.flag }}", False),
        ("n={{ inputs.n }}", "n=3"),
        ("{{ inputs.flag }} {{ inputs.none }} {{ inputs.list }}", "false null [3,1,2]"),
        ('{"n": {{ inputs.n }}, "name": {{ inputs.name | tojson }}}', {"n": 3, "name": "ada"}),
        ("[{{ inputs.n }}, {{ inputs.flag }}]", [3, False]),
        ("{{ inputs.list | tojson }}", "[3,1,2]"),
        ("{not json {{ inputs.n }}", "{not json 3"),
        ("{{ nodes.search.output.hits[0].title }}", "one"),
        ("{{ nodes['search'].output['hits'][-1]['title'] }}", "two"),
        ("{{ inputs.items }}", "a key"),
        ("{{ nodes.search.output.keys }}", 7),
        ("{{ metadata.note }} {{ run.id }} {{ run.tenant }} {{ run.workflow }}", "m run-1 acme summary"),
        ("${REGION} {{ env.REGION }}", "eu eu"),
        ("${REGION}", "eu"),
        ("$${REGION} {{ 1 }}", "${REGION} 1"),
        ("{{ inputs.gone | default(4) }}", 4),
        ("{{ nodes.gone.output.deep.down | default('none') }}", "none"),
        ("{{ inputs.gone is defined }}", False),
        ("{{ inputs.list | length }}", 3),
        ("{{ 'a bc' | title }}", "A Bc"),
        ("{{ inputs.list | sort | join('-') }}", "1-2-3"),
        ("{{ inputs.list | first + inputs.list | last }}", 5),
        ("{{ nodes.search.output.hits | map(attribute='title') | list }}", ["one", "two"]),
        ("{{ nodes.search.output.hits | selectattr('score', '>', 1) | map(attribute='title') | first }}", "two"),
        ("{{ nodes.search.output.hits | sum(attribute='score') }}", 2.0),
        ("{{ nodes.search.output.hits | join(', ', attribute='title') }}", "one, two"),
        ("{{ [3, 3, 1] | unique | list }}", [3, 1]),
        ("{{ 2.345 | round(1) }}", 2.3),
        ("{{ 2.1 | round(0, 'ceil') }}", 3.0),
        ("{{ 'abc' | replace('b', 'x') | upper }}", "AXC"),
        ("{{ 'one two three' | truncate(8, end='.') }}", "one two."),
        ("{{ 'a b' | urlencode }} {{ 'a b' | wordcount }}", "a%20b 2"),
        ("{{ inputs.name ~ '-' ~ inputs.n ~ inputs.list }}", "ada-3[3,1,2]"),
        ("{{ inputs.name[1:] }}{{ inputs.list[:2] }}", "da[3,1]"),
        ("{{ 'yes' if inputs.n > 2 else 'no' }}", "yes"),
        ("{% for n in inputs.list if n > 1 %}{{ loop.index }}:{{ n }} {% endfor %}", "1:3 2:2 "),
        ("{% set s = namespace(n=0) %}{% for n in inputs.list %}{% set s.n = s.n + n %}{% endfor %}{{ s.n }}", "6"),
        ("{{ range(3) }}", [0, 1, 2]),
        ("{{ {'a': 1}.items() }}", [["a", 1]]),
        ("{{ 'a,b'.split(',') }}", ["a", "b"]),
        ("{{ {'a': inputs.list} }}", {"a": [3, 1, 2]}),
        ("line\n", "line\n"),
        ("{{ inputs.n }} line\n", "3 line\n"),
    ],
)
def test_an_expression_becomes_its_value(text: str, value: Any) -> None:
    assert render(text) == value


def test_all_strings_of_a_json_value_are_filled_in() -> None:
    assert render({"a": ["{{ inputs.n }}", {"b": "x {{ inputs.name }}"}], "c": 1.5, "d": None}) == {
        "a": [3, {"b": "x ada"}],
        "c": 1.5,
        "d": None,
    }


def test_names_of_a_body_come_with_the_task_or_the_call() -> None:
    task = TASK.within(item={"id": 4}, index=1)
    assert EXPRESSIONS.render("{{ item.id + index + state }}", task, state=10) == 15


def test_a_large_output_is_passed_on_as_it_is() -> None:
    large = {"text": "x" * 3_000_000}
    assert (
        EXPRESSIONS.render("{{ nodes.big.output }}", TASK.merge([], at=NOON), nodes={"big": {"output": large}}) is large
    )


def test_now_is_a_time() -> None:
    assert datetime.fromisoformat(render("{{ now() }}")).tzinfo is UTC
    assert render("{{ now().year >= 2026 }}") is True


def test_only_the_named_variables_of_the_process_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIW_TEST_VARIABLE", "yes")
    monkeypatch.setenv("AIW_TEST_SECRET", "hidden")
    assert render("${AIW_TEST_VARIABLE}") == "yes"
    with pytest.raises(InvalidInputError, match=r"env\.AIW_TEST_SECRET is undefined"):
        render("{{ env.AIW_TEST_SECRET }}")
    assert "AIW_TEST_SECRET" not in render("{{ env }}")


@pytest.mark.parametrize(
    ("text", "missing", "known"),
    [
        ("{{ inputs.nam }}", "inputs.nam", "inputs has n, name, list"),
        ("{{ nodes.serch.output }}", "nodes.serch", "nodes has search, text"),
        ("{{ nodes.search.output.hits[9].title }}", "nodes.search.output.hits[9]", "has 2 items"),
        ("{{ nodes.search.output.hits[0].tilte.x }}", "nodes.search.output.hits[0].tilte", "has title, score"),
        ("text {{ inptus.n }}", "inptus", "there is inputs, nodes"),
        ("{{ inputs.gone + 1 }}", "inputs.gone", "inputs has"),
        ("{{ inputs.gone | upper }}", "inputs.gone", "inputs has"),
        ("{% for x in inputs.gone %}{{ x }}{% endfor %}", "inputs.gone", "inputs has"),
        ("{{ inputs.ok | default(1) }}{{ inputs.gone }}", "inputs.gone", "inputs has"),
    ],
)
def test_what_is_undefined_is_told_with_its_path_and_the_names_there_are(text: str, missing: str, known: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        render({"deep": [text]})
    error = caught.value
    (problem,) = error.problems
    assert (error.code, problem.code, problem.path) == ("expression_undefined", "expression_undefined", "deep[0]")
    assert problem.message == f"{missing} is undefined"
    assert known in (problem.hint or "")


@pytest.mark.parametrize(
    "text",
    [
        "{{ inputs.n",
        "{% if %}",
        "{{ 1 | nofilter }}",
        "{{ 1 is notest }}",
        "{% macro m() %}{% endmacro %}",
        "{% include 'x' %}",
        "{% import 'x' as y %}",
        "{% extends 'x' %}",
        "{% block b %}{% endblock %}",
        "{% call x() %}{% endcall %}",
        "{% for a in b recursive %}{% endfor %}",
        "{{ " + "(" * 5000 + ")" * 5000 + " }}",
        "{{ " + "-" * 50_000 + "1 }}",
    ],
)
def test_what_is_no_expression_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        render(text)
    assert caught.value.code == "expression_invalid"
    with pytest.raises(InvalidInputError):
        EXPRESSIONS.references(text)


@pytest.mark.parametrize(
    "text",
    [
        "{{ ''.__class__ }}",
        "{{ ''['__class__'] }}",
        "{{ ().__class__.__bases__[0].__subclasses__() }}",
        "{{ inputs.__class__ }}",
        "{{ now.__globals__ }}",
        "{{ range.__self__ }}",
        "{{ inputs | attr('__class__') }}",
        "{{ [''] | map(attribute='__class__') | list }}",
        "{{ self.__init__ }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ lipsum.__globals__ }}",
        "{{ joiner }}",
        "{{ namespace.__init__ }}",
        "{{ '{0.__class__}'.format(1) }}",
        "{{ '%s' % 1 }}",
        "{{ '' | format }}",
        "{{ inputs.list.append(1) }}",
        "{{ inputs.update({}) }}",
        "{{ inputs.list.__iter__ }}",
        "{{ namespace(a=1) }}",
        "{{ now }}",
        "{{ inputs.list | map('attr', '__class__') | list }}",
        "{{ loop }}",
        "{% for x in [1] %}{{ loop.__class__ }}{% endfor %}",
        "{% for x in [1] %}{{ loop._iterator }}{% endfor %}",
        "{{ inputs.name.join([]) }}",
        "{{ inputs.name.encode() }}",
        "{{ none.__class__ }}",
        "{{ (1).real }}",
        "{{ import }}",
        "{{ range(2).__class__ }}",
        "{{ ([1] | groupby('x')) }}",
        "{{ inputs | dictsort | map(attribute='0.__class__') | list }}",
    ],
)
def test_nothing_of_python_can_be_reached(text: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        render(text)
    assert caught.value.code in {"expression_undefined", "expression_invalid", "expression_failed"}


@pytest.mark.parametrize(
    "text",
    [
        "{{ 'x' * 10**9 }}",
        "{{ [0] * 10**9 }}",
        "{{ range(10**9) }}",
        "{{ range(10**9) | list | length }}",
        "{{ 9 ** 99999 }}",
        "{{ (9 ** 1000) * (9 ** 1000) * (9 ** 1000) }}",
        "{{ [inputs.long] * 1000 }}",
        "{{ ([inputs.long] * 1000) | tojson }}",
        "{{ ([inputs.long] * 1000) | join }}",
        "{{ ([inputs.long] * 1000) | upper }}",
        "{{ ([inputs.long] * 1000) | string }}",
        "a{{ [inputs.long] * 1000 }}",
        "{{ inputs.long }}{{ inputs.long }}{{ inputs.long }}",
        "{{ inputs.long | replace('x', 'xxxxx') }}",
        "{{ inputs.long ~ inputs.long ~ inputs.long }}",
        "{{ [inputs.long, inputs.long, inputs.long] | join }}",
        "{% for a in range(10000) %}{{ inputs.long }}{% endfor %}",
        "{% set n = namespace(s='x') %}{% for a in range(10000) %}{% set n.s = n.s ~ n.s %}{% endfor %}",
        "{% set n = namespace(s='x') %}{% for a in range(10000) %}{% set n.s = n.s + n.s %}{% endfor %}",
        "{% set n = namespace(l=[]) %}{% for a in range(10000) %}{% set n.l = n.l + [inputs.long[a:]] %}{% endfor %}",
        "{% set n = namespace(l=[]) %}{% for a in range(10000) %}{% set n.l = n.l + [inputs.long.upper()] %}{% endfor %}",
        "{{ range(10000) | map('string') | map('replace', '', inputs.long) | list }}",
    ],
)
def test_what_an_expression_makes_is_bounded(text: str) -> None:
    with pytest.raises(LimitExceededError) as caught:
        render(text)
    assert caught.value.code == "expression_limit"


def test_an_expression_that_never_ends_is_stopped() -> None:
    nested = "{% for a in range(9999) %}" * 4 + "{% endfor %}" * 4
    with pytest.raises(LimitExceededError, match="too long"):
        Expressions(max_seconds=0.05).render(nested, TASK)


def test_every_filter_of_the_list_exists() -> None:
    for name in FILTERS:
        EXPRESSIONS.references(f"{{{{ inputs.x | {name} }}}}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("inputs.n > 2", True),
        ("{{ inputs.n > 2 and not inputs.flag }}", True),
        ("nodes.search.output.hits | length == 1", False),
        ("inputs.none", False),
    ],
)
def test_a_condition_may_lack_its_braces(text: str, *, expected: bool) -> None:
    assert EXPRESSIONS.condition(text, TASK) is expected


@pytest.mark.parametrize("text", ["a {{ inputs.n }}", "{{ 1 }}{{ 2 }}", "{% if inputs.n %}yes{% endif %}", ""])
def test_a_condition_is_one_expression(text: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        EXPRESSIONS.condition(text, TASK)
    assert caught.value.code == "expression_invalid"


def test_references_are_told_without_evaluating() -> None:
    found = EXPRESSIONS.references(
        {
            "a": "{{ inputs.x.y + nodes.a.output['b'][0].c }} ${KEY}",
            "b": ["{% for row in item.rows %}{{ row.id }} {{ nodes[inputs.z].output }}{% endfor %}", "plain", 1],
            "c": "{{ event.data | default(1) }} {{ nodes.n.output.items() }}",
        }
    )
    assert found.inputs == {"x", "z"}
    assert found.nodes == {"a": {("output", "b", 0, "c")}, "n": {("output",)}}
    assert found.env == {"KEY"}
    assert found.scope == {"item", "event"}
    assert Reference("event", ("data",), optional=True) in found.found
    assert Reference("nodes") in found.found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ nodes.a.output.b[0] }}", "nodes.a.output.b[0]"),
        (" {{ inputs.x }} ", "inputs.x"),
        ("{{ inputs.x | upper }}", None),
        ("{{ inputs.x + 1 }}", None),
        ("a {{ inputs.x }}", None),
        ("{{ inputs[inputs.x] }}", None),
    ],
)
def test_one_plain_reference_is_recognised(text: str, expected: str | None) -> None:
    found = EXPRESSIONS.sole_reference(text)
    assert (None if found is None else str(found)) == expected


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text().filter(lambda text: not MARKERS.search(text)),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
def test_json_without_markers_stays_what_it_is(value: Any) -> None:
    assert render(value) == value


@given(JSON, st.text())
def test_text_from_outside_is_never_taken_for_an_expression(value: Any, text: str) -> None:
    given = {"value": value, "text": text, "trick": "{{ inputs.secret }}"}
    task = TaskContext(event_id="r", workflow_type="w", event_data=given, created_at=NOON, updated_at=NOON)
    assert EXPRESSIONS.render("{{ inputs.trick }}!", task) == "{{ inputs.secret }}!"
    assert EXPRESSIONS.render("{{ inputs.text }}", task) == text
    assert EXPRESSIONS.render("{{ inputs.value }}", task) == value
