from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from resources.errors import InvalidInputError, NotFoundError
from resources.events.memory import MemoryEventStore
from resources.events.postgres import PostgresEventStore
from resources.prompts.bundled import bundled_prompts
from resources.prompts.engine import PromptEngine
from resources.prompts.includes import MAX_CHARS, MAX_DEPTH
from resources.prompts.library import PromptLibrary
from resources.prompts.model import PromptSpec

if TYPE_CHECKING:
    from resources.events.store import EventStore


@pytest.fixture(params=["memory", "postgres"])
def store(request: pytest.FixtureRequest) -> EventStore:
    if request.param == "memory":
        return MemoryEventStore()
    return PostgresEventStore(request.getfixturevalue("database"))


@pytest.fixture
def library(store: EventStore) -> PromptLibrary:
    return PromptLibrary(store, PromptEngine(), bundled=bundled_prompts())


def spec(content: str = "Hello {{who}}!", **fields: Any) -> PromptSpec:
    return PromptSpec.model_validate({"id": "greeting", "variables": {"who": "string"}, "content": content, **fields})


def test_versions_never_change_and_the_same_text_is_the_same_version(library: PromptLibrary, tenant: str) -> None:
    assert library.publish(spec(), tenant=tenant, user="ada", comment="first").version == 1
    assert library.publish(spec(), tenant=tenant).version == 1
    assert library.publish(spec("Hi {{who}}!"), tenant=tenant).version == 2
    first = library.get("greeting@1", tenant=tenant)
    assert (first.content, first.created_by, first.comment) == ("Hello {{who}}!", "ada", "first")
    assert [found.version for found in library.versions("greeting", tenant=tenant)] == [1, 2]


def test_a_label_moves_and_decides_what_the_bare_name_means(library: PromptLibrary, tenant: str) -> None:
    library.publish(spec(), tenant=tenant, labels=["production"])
    library.publish(spec("Hi {{who}}!"), tenant=tenant, labels=["staging"])
    who = {"who": "you"}
    assert library.render("greeting", who, tenant=tenant).text == "Hello you!"
    assert library.render("greeting@staging", who, tenant=tenant).text == "Hi you!"
    assert library.render("greeting@latest", who, tenant=tenant).prompt_version == "greeting@2"
    library.label("greeting@2", "production", tenant=tenant)
    assert library.render("greeting", who, tenant=tenant).text == "Hi you!"
    assert library.labels("greeting", tenant=tenant) == {"production": 2, "staging": 2}


def test_a_moved_label_tells_where_it_stood_before(library: PromptLibrary, store: EventStore, tenant: str) -> None:
    library.publish(spec(), tenant=tenant, labels=["production"])
    changed = library.publish(spec("Hi {{who}}!"), tenant=tenant)
    library.label("greeting@2", "production", tenant=tenant, user="ada")
    event = store.read_all(types={"prompt.labelled"}, tenant=tenant)[-1]
    assert event.data == {
        "prompt_id": "greeting",
        "label": "production",
        "version": 2,
        "former": 1,
        "sha256": changed.sha256,
        "user": "ada",
    }


@pytest.mark.parametrize("label", ["latest", "Production", "1", "", "a b"])
def test_names_that_cannot_be_labels(library: PromptLibrary, tenant: str, label: str) -> None:
    library.publish(spec(), tenant=tenant)
    with pytest.raises(InvalidInputError):
        library.label("greeting", label, tenant=tenant)


@pytest.mark.parametrize("reference", ["nothing", "greeting@9", "greeting@0", "greeting@nowhere", "a@b@c"])
def test_what_does_not_exist(library: PromptLibrary, tenant: str, reference: str) -> None:
    library.publish(spec(), tenant=tenant)
    with pytest.raises(NotFoundError):
        library.get(reference, tenant=tenant)


def test_tenants_do_not_see_each_other(library: PromptLibrary, tenant: str) -> None:
    library.publish(spec(), tenant=tenant)
    with pytest.raises(NotFoundError):
        library.get("greeting", tenant=f"{tenant}-other")
    assert "greeting" not in {found.spec.id for found in library.list(tenant=f"{tenant}-other")}
    assert "greeting" in {found.spec.id for found in library.list(tenant=tenant)}


def test_an_include_is_fixed_when_the_prompt_is_published(library: PromptLibrary, tenant: str) -> None:
    library.publish(spec("Be kind.", id="tone", variables={}), tenant=tenant)
    published = library.publish(spec("{{> tone}} Hello {{who}}!"), tenant=tenant)
    assert published.includes == {"tone": 1}
    library.publish(spec("Be brief.", id="tone", variables={}), tenant=tenant)
    assert library.render("greeting", {"who": "you"}, tenant=tenant).text == "Be kind. Hello you!"
    again = library.publish(spec("{{> tone}} Hello {{who}}!"), tenant=tenant)
    assert (again.version, again.content) == (2, "Be brief. Hello {{who}}!")
    pinned = library.publish(spec("{{> tone@1}} Hello {{who}}!"), tenant=tenant)
    assert pinned.content == "Be kind. Hello {{who}}!"


def test_prompts_that_include_each_other_are_refused(library: PromptLibrary, tenant: str) -> None:
    library.publish(spec("one", id="a", variables={}), tenant=tenant)
    library.publish(spec("{{> a}}", id="b", variables={}), tenant=tenant)
    with pytest.raises(InvalidInputError) as caught:
        library.publish(spec("{{> b}}", id="a", variables={}), tenant=tenant)
    assert caught.value.code == "circular_include"


def test_includes_are_bounded_in_depth_and_size(library: PromptLibrary, tenant: str) -> None:
    library.publish(spec("x", id="p0", variables={}), tenant=tenant)
    for number in range(1, MAX_DEPTH):
        library.publish(spec(f"{{{{> p{number - 1}}}}}", id=f"p{number}", variables={}), tenant=tenant)
    with pytest.raises(InvalidInputError) as caught:
        library.publish(spec(f"{{{{> p{MAX_DEPTH - 1}}}}}", id="deepest", variables={}), tenant=tenant)
    assert caught.value.code == "include_depth"
    library.publish(spec("x" * (MAX_CHARS // 2), id="long", variables={}), tenant=tenant)
    with pytest.raises(InvalidInputError) as caught:
        library.publish(spec("{{> long}}" * 3, id="longer", variables={}), tenant=tenant)
    assert caught.value.code == "prompt_too_large"


@pytest.mark.parametrize("partial", ["{{> a b=1}}", "{{#> a}}{{/a}}", "{{> (lookup . 'a')}}"])
def test_partials_take_no_arguments(library: PromptLibrary, tenant: str, partial: str) -> None:
    library.publish(spec("x", id="a", variables={}), tenant=tenant)
    with pytest.raises(InvalidInputError) as caught:
        library.publish(spec(partial), tenant=tenant)
    assert caught.value.code == "partial_form"


def test_a_missing_include_is_told(library: PromptLibrary, tenant: str) -> None:
    with pytest.raises(NotFoundError, match="nobody"):
        library.publish(spec("{{> nobody}}"), tenant=tenant)


def test_examples_are_golden_renders(library: PromptLibrary, tenant: str) -> None:
    examples = [{"variables": {"who": "you"}, "text": "Hello you!"}, {"variables": {"who": "me"}, "text": "Hello you!"}]
    library.publish(spec(examples=examples), tenant=tenant)
    good, bad = library.test("greeting", tenant=tenant)
    assert good.difference is None
    assert bad.difference is not None
    assert "+Hello me!" in bad.difference


@pytest.mark.parametrize("prompt", bundled_prompts(), ids=lambda prompt: prompt.id)
def test_bundled_prompts_render_as_they_should(prompt: PromptSpec) -> None:
    library = PromptLibrary(MemoryEventStore(), PromptEngine(), bundled=bundled_prompts())
    results = library.test(prompt.id)
    assert results
    assert [result.difference for result in results if result.difference] == []


def test_a_bundled_prompt_can_be_taken_over_and_labelled(library: PromptLibrary, tenant: str) -> None:
    assert library.label("user_message", "production", tenant=tenant).version == 1
    own = library.get("user_message", tenant=tenant).spec.model_copy(
        update={"content": "Q: {{message}}", "examples": ()}
    )
    library.publish(own, tenant=tenant)
    assert library.render("user_message", {"message": "why"}, tenant=tenant).text == "why"
    assert library.render("user_message@latest", {"message": "why"}, tenant=tenant).text == "Q: why"


def test_the_difference_between_versions(library: PromptLibrary, tenant: str) -> None:
    library.publish(spec(), tenant=tenant)
    library.publish(spec("Hi {{who}}!"), tenant=tenant)
    diff = library.diff("greeting@1", "greeting@2", tenant=tenant)
    assert "-Hello {{who}}!" in diff
    assert "+Hi {{who}}!" in diff
    assert library.diff("greeting@1", "greeting@1", tenant=tenant) == ""


def test_the_prompt_that_fits_the_variables_best_is_picked(library: PromptLibrary, tenant: str) -> None:
    both = {"who": "string", "age": "number"}
    library.publish(spec(id="one", context="greet"), tenant=tenant)
    library.publish(spec("{{who}} {{age}}", id="two", context="greet", variables=both), tenant=tenant)
    assert library.pick("greet", {"who": "you"}, tenant=tenant).spec.id == "one"
    assert library.pick("greet", {"who": "you", "age": 3}, tenant=tenant).spec.id == "two"
    with pytest.raises(NotFoundError):
        library.pick("nothing", {}, tenant=tenant)


def test_publishing_at_once_loses_nothing(library: PromptLibrary, tenant: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: library.publish(spec(f"{number} {{{{who}}}}"), tenant=tenant), range(4)))
    versions = library.versions("greeting", tenant=tenant)
    assert [found.version for found in versions] == [1, 2, 3, 4]
    assert {found.content for found in versions} == {f"{number} {{{{who}}}}" for number in range(4)}
