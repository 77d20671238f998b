from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.errors import InvalidInputError
from resources.events.memory import MemoryEventStore
from resources.prompts.engine import MAX_CHARS, PromptEngine
from resources.prompts.library import PromptLibrary
from resources.prompts.model import PromptSpec

NOW = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)


def engine() -> PromptEngine:
    return PromptEngine(now=lambda: NOW)


def render(content: str, variables: dict[str, Any], types: dict[str, Any] | None = None, **fields: Any) -> str:
    given_types = dict.fromkeys(variables, "any") if types is None else types
    spec = PromptSpec.model_validate({"id": "p", "content": content, "variables": given_types, **fields})
    return PromptLibrary(MemoryEventStore(), engine()).preview(spec, variables).text


@pytest.mark.parametrize(
    ("content", "variables", "text"),
    [
        ("{{json a}}", {"a": {"b": [1]}}, '{"b": [1]}'),
        ("{{uppercase a}}{{lowercase a}}{{capitalize b}}", {"a": "Ab", "b": "one two"}, "ABabOne two"),
        ("{{#if (eq a 1)}}one{{else}}other{{/if}}", {"a": 1}, "one"),
        ("{{#if (ne a 1)}}other{{else}}one{{/if}}", {"a": 2}, "other"),
        ("{{#if (gt a 1)}}more{{/if}}{{#if (lt a 9)}} less{{/if}}", {"a": 5}, "more less"),
        ("{{len a}}{{len b}}", {"a": [1, 2], "b": "abc"}, "23"),
        ("{{#if (contains a 'x')}}has{{/if}}", {"a": ["x"]}, "has"),
        ("{{now '%Y-%m-%d'}} {{now}}", {}, "2026-03-01 2026-03-01T09:30:00+00:00"),
        ("{{format_date a '%d.%m.%Y'}}", {"a": "2026-02-03T04:05:06Z"}, "03.02.2026"),
        ("{{format_date a '%d'}}", {"a": "soon"}, "soon"),
        ("{{#each a}}{{@index}}{{this}}{{/each}}", {"a": ["x", "y"]}, "0x1y"),
        ("a\n{{#if b}}\nc\n{{/if}}\nd", {"b": True}, "a\nc\nd"),
    ],
)
def test_helpers_and_blocks(content: str, variables: dict[str, Any], text: str) -> None:
    assert render(content, variables) == text


def test_a_missing_variable_is_nothing_unless_the_prompt_is_strict() -> None:
    assert render("Hello {{who}}!", {}, {"who": "string"}) == "Hello !"
    with pytest.raises(InvalidInputError) as caught:
        render("Hello {{who}}!", {}, {"who": "string"}, strict=True)
    assert caught.value.code == "prompt_variables"
    assert [problem.path for problem in caught.value.problems] == ["variables.who"]


def test_all_wrong_variables_are_told_at_once() -> None:
    types = {
        "a": "number",
        "b": {"type": "array", "items": "string"},
        "c": {"type": "object", "properties": {"d": "boolean"}},
    }
    with pytest.raises(InvalidInputError) as caught:
        render("{{a}}{{#each b}}{{this}}{{/each}}{{c.d}}", {"a": True, "b": ["x", 1], "c": {}, "e": 1}, types)
    assert {problem.path for problem in caught.value.problems} == {
        "variables.a",
        "variables.b[1]",
        "variables.c.d",
        "variables.e",
    }


def test_what_a_user_writes_is_never_read_as_a_template() -> None:
    assert (
        render("{{a}}", {"a": "{{#each x}}{{json this}}{{/each}} {{b}}"}) == "{{#each x}}{{json this}}{{/each}} {{b}}"
    )


@given(st.text(max_size=200))
def test_values_come_out_as_they_went_in(text: str) -> None:
    assert render("<{{a}}>", {"a": text}, {"a": "string"}) == f"<{text}>"


def test_html_is_escaped_in_prompts_that_give_html() -> None:
    assert render("<p>{{a}}</p>", {"a": "<b>"}, output_format="html") == "<p>&lt;b&gt;</p>"
    assert render("<p>{{a}}</p>", {"a": "<b>"}) == "<p><b></p>"


@pytest.mark.parametrize(("output_format", "good", "bad"), [("json", "[1]", "[1"), ("yaml", "a: 1", "a: [1")])
def test_the_output_must_be_of_its_format(output_format: str, good: str, bad: str) -> None:
    assert render("{{a}}", {"a": good}, output_format=output_format) == good
    with pytest.raises(InvalidInputError) as caught:
        render("{{a}}", {"a": bad}, output_format=output_format)
    assert caught.value.code == "prompt_output"


@pytest.mark.parametrize(
    ("content", "variables", "wrong"),
    [
        ("<script>x</script>", {}, "script"),
        ("[x](javascript:alert(1))", {}, "javascript"),
        ("<img onload=x>", {}, "event handler"),
        ("{{a.__proto__}}", {"a": "object"}, "__proto__"),
        ("{{a}}", {"a__b": "string", "a": "any"}, "name of a variable"),
        ("{{constructor}}", {"constructor": "any"}, "name of a variable"),
        ("x" * (MAX_CHARS + 1), {}, "characters"),
        ("{{#if a}}" * 11 + "{{/if}}" * 11, {"a": "any"}, "nested 11 deep"),
        ("{{#if a}}", {"a": "any"}, "content"),
        ("{{nmae}}", {"name": "string"}, "nmae"),
        ("{{#each a}}{{title}}{{/each}}", {"a": {"type": "array", "items": "string"}}, "title"),
        ("{{unknown_helper a}}", {"a": "any"}, "unknown_helper"),
    ],
)
def test_what_cannot_be_published(content: str, variables: dict[str, Any], wrong: str) -> None:
    spec = PromptSpec.model_validate({"id": "p", "content": content, "variables": variables})
    with pytest.raises(InvalidInputError, match=wrong) as caught:
        PromptLibrary(MemoryEventStore(), engine()).publish(spec)
    assert caught.value.code == "prompt_invalid"


def test_the_size_of_a_render_is_bounded() -> None:
    content = "{{#each a}}{{#each ../a}}{{#each ../../a}}0123456789{{/each}}{{/each}}{{/each}}"
    with pytest.raises(InvalidInputError) as caught:
        render(content, {"a": list(range(200))})
    assert caught.value.code == "prompt_render"
