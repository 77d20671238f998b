"""What is composed when, and what is kept when composition fails."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import httpx
import pytest

from api.gateway.registry import Heart, Subgraph, Subgraphs
from api.gateway.serving import PATH, supergraph_app
from api.gateway.supergraph import Supergraph
from resources.errors import InvalidInputError, NotFoundError, Problem
from resources.registry.memory import MemoryAgentRegistry
from resources.registry.model import LOST_AFTER

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

NOW = datetime.now(UTC)
BOOKS = Subgraph("books", "http://127.0.0.1:9/graphql", "type Query { books: [String] }")
BROKEN = Subgraph("broken", "http://127.0.0.1:9/graphql", "type Query { broken: Nothing }")


@pytest.fixture
def subgraphs() -> Subgraphs:
    return Subgraphs(MemoryAgentRegistry())


def composed(subgraphs: Sequence[Subgraph]) -> str:
    """The composer that finds a fault in what is called broken."""
    if any(it.name == "broken" for it in subgraphs):
        raise InvalidInputError("No.", problems=(Problem("subgraphs", 'Unknown type "Nothing".'),))
    return "\n".join(it.sdl for it in subgraphs)


def test_a_subgraph_that_registers_is_composed(subgraphs: Subgraphs, tmp_path: Path) -> None:
    supergraph = Supergraph(subgraphs, composed, file=tmp_path / "supergraph.graphql")
    assert supergraph.look().text is None
    subgraphs.register(BOOKS, now=NOW)
    assert supergraph.look().text == BOOKS.sdl


def test_nothing_is_composed_twice(subgraphs: Subgraphs, tmp_path: Path) -> None:
    times: list[int] = []

    def counted(found: Sequence[Subgraph]) -> str:
        times.append(1)
        return composed(found)

    supergraph = Supergraph(subgraphs, counted, file=tmp_path / "supergraph.graphql")
    subgraphs.register(BOOKS, now=NOW)
    supergraph.look()
    supergraph.look()
    assert len(times) == 1


def test_subgraphs_that_do_not_fit_leave_the_last_good_supergraph(subgraphs: Subgraphs, tmp_path: Path) -> None:
    supergraph = Supergraph(subgraphs, composed, file=tmp_path / "supergraph.graphql")
    subgraphs.register(BOOKS, now=NOW)
    good = supergraph.look()
    subgraphs.register(BROKEN, now=NOW)
    state = supergraph.look()
    assert (state.text, state.composed_at) == (good.text, good.composed_at)
    assert state.errors == ('Unknown type "Nothing".',)


def test_the_fault_is_forgotten_when_it_is_mended(subgraphs: Subgraphs, tmp_path: Path) -> None:
    supergraph = Supergraph(subgraphs, composed, file=tmp_path / "supergraph.graphql")
    subgraphs.register(BOOKS, now=NOW)
    subgraphs.register(BROKEN, now=NOW)
    supergraph.look()
    subgraphs.remove("broken")
    assert supergraph.look().errors == ()


def test_the_last_good_supergraph_survives_a_restart(subgraphs: Subgraphs, tmp_path: Path) -> None:
    subgraphs.register(BOOKS, now=NOW)
    Supergraph(subgraphs, composed, file=tmp_path / "supergraph.graphql").look()
    subgraphs.register(BROKEN, now=NOW)
    later = Supergraph(subgraphs, composed, file=tmp_path / "supergraph.graphql")
    assert later.look().text == BOOKS.sdl


def test_a_silent_subgraph_stays_and_is_told_as_lost(subgraphs: Subgraphs) -> None:
    subgraphs.register(BOOKS, now=NOW)
    (found,) = subgraphs.all(now=NOW + LOST_AFTER * 2)
    assert (found.name, found.sdl, found.status) == ("books", BOOKS.sdl, "lost")


def test_a_beat_of_a_stranger_is_refused(subgraphs: Subgraphs) -> None:
    with pytest.raises(NotFoundError):
        subgraphs.beat("books", "healthy", now=NOW)


def test_a_subgraph_that_ends_says_so(subgraphs: Subgraphs) -> None:
    heart = Heart(subgraphs, BOOKS)
    heart.start()
    heart.stop()
    assert [it.status for it in subgraphs.all(now=datetime.now(UTC))] == ["draining"]


async def test_the_supergraph_is_served_with_a_tag(subgraphs: Subgraphs, tmp_path: Path) -> None:
    supergraph = Supergraph(subgraphs, composed, file=tmp_path / "supergraph.graphql")
    transport = httpx.ASGITransport(supergraph_app(supergraph, subgraphs))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        assert (await http.get(PATH)).status_code == 503
        assert (await http.get("/health")).json()["status"] == "unhealthy"
        subgraphs.register(BOOKS, now=datetime.now(UTC))
        supergraph.look()
        answer = await http.get(PATH)
        assert answer.text == BOOKS.sdl
        again = await http.get(PATH, headers={"if-none-match": answer.headers["etag"]})
        assert again.status_code == 304
        health = (await http.get("/health")).json()
        assert health["status"] == "healthy"
        assert health["subgraphs"] == [{"name": "books", "url": BOOKS.url, "status": "healthy"}]


async def test_pages_of_other_sites_do_not_get_the_supergraph(subgraphs: Subgraphs, tmp_path: Path) -> None:
    supergraph = Supergraph(subgraphs, composed, file=tmp_path / "supergraph.graphql")
    transport = httpx.ASGITransport(supergraph_app(supergraph, subgraphs))
    async with httpx.AsyncClient(transport=transport, base_url="http://elsewhere.example") as http:
        assert (await http.get(PATH)).status_code == 403


def test_composition_goes_on_in_the_background(subgraphs: Subgraphs, tmp_path: Path) -> None:
    done = threading.Event()
    stop = threading.Event()

    def told(found: Sequence[Subgraph]) -> str:
        done.set()
        return composed(found)

    supergraph = Supergraph(subgraphs, told, file=tmp_path / "supergraph.graphql")
    thread = threading.Thread(target=supergraph.run, args=(stop,))
    thread.start()
    try:
        subgraphs.register(BOOKS, now=NOW)
        assert done.wait(30)
    finally:
        stop.set()
        thread.join(30)
