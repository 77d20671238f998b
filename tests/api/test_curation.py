"""Concepts that people state, over HTTP and from the client: beside what documents say, and never in their place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from resources.errors import ConflictError, NotFoundError, StaleError
from resources.knowledge.curation import Relation, Statement

if TYPE_CHECKING:
    from collections.abc import Callable

    from api.client import ApiClient
    from api.dependencies import Services

pytestmark = pytest.mark.usefixtures("taught")


def test_a_stated_concept_lives_until_it_is_taken_back(client: ApiClient) -> None:
    made = client.state_concept(Statement(name="Gong fu", relations=(Relation(target="Tea"),)))
    assert (made.version, client.learning_path("gong fu").steps[-1].requires) == (1, ("tea",))
    changed = client.change_concept("gong fu", Statement(name="Gong Fu", minutes=40), if_match=made)
    assert (changed.version, client.concept("gong-fu").concept.minutes) == (2, 40)
    assert client.concept("gong-fu").requires == ()
    with pytest.raises(StaleError):
        client.change_concept("gong fu", Statement(name="Gong fu"), if_match=made)
    assert client.change_concept("gong fu", Statement(name="Gong Fu", minutes=40)).version == 2
    assert [one.id for one in client.curations()] == ["gong-fu"]
    client.remove_concept("gong fu", if_match=changed)
    with pytest.raises(NotFoundError):
        client.concept("gong-fu")


def test_what_documents_say_speaks_again_when_the_statement_goes(
    client: ApiClient, services: Services, tenant: str
) -> None:
    before = client.concept("tea")
    client.state_concept(Statement(name="TEA", description="Leaves in water", difficulty="beginner"))
    assert client.concept("tea").concept.description == "Leaves in water"
    assert client.concept("tea").documents == before.documents
    assert client.curation("tea").statement.name == "TEA"
    stated = [one.stated for one in client.graph_support("tea")]
    assert [one.by for one in stated if one] == ["local"]
    client.remove_concept("tea")
    assert client.concept("tea") == before
    told = services.events.read_all(types=("concept.stated", "concept.withdrawn"), tenant=tenant)
    assert [event.type for event in told][-2:] == ["concept.stated", "concept.withdrawn"]


def test_mistakes_are_named(client: ApiClient) -> None:
    client.state_concept(Statement(name="Cup"))
    client.merge_concepts("mug", "cup")
    wrong: dict[str, Callable[[], object]] = {
        "concept_exists": lambda: client.state_concept(Statement(name="cup")),
        "concept_renamed": lambda: client.change_concept("cup", Statement(name="Saucer")),
        "concept_merged": lambda: client.state_concept(Statement(name="Mug")),
        "concept_supported": lambda: client.remove_concept("water"),
    }
    for code, mistake in wrong.items():
        with pytest.raises(ConflictError) as caught:
            mistake()
        assert caught.value.code == code
    with pytest.raises(NotFoundError):
        client.remove_concept("zebra")
    with pytest.raises(NotFoundError):
        client.change_concept("z", Statement(name="Z"))


def test_recommendations_follow_what_the_user_has_learned(client: ApiClient) -> None:
    first, *_ = client.recommendations()
    assert (first.concept.id, first.unlocks) == ("fire", ("water",))
    client.set_progress("fire", "completed")
    client.set_progress("tea", "in_progress", percent=20)
    next_, *_ = client.recommendations()
    assert (next_.concept.id, next_.reason) == ("water", "needed by Tea, which you have begun")
    assert "tea" not in [one.concept.id for one in client.recommendations("me")]
    with pytest.raises(NotFoundError):
        client.recommendations("somebody-else")
