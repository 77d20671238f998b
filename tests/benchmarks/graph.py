"""The graph of knowledge: loading it, following it, and each algorithm beside networkx.

Graphs are random: prerequisites mostly lead from later concepts to earlier ones, so that a few cycles are left. `p95` is over
queries as a user makes them, answer objects included, on a graph that is resident (10k concepts, 50k edges); `first` is the first
such query after a change. Figures without p95 are one computation over the whole graph. All are milliseconds unless they say
otherwise. The store is ArcadeDB over Bolt, woven by one writer, a transaction a document, for three and a half minutes at most:
`load_edges` says how far it came. Beside them are ArcadeDB's own procedures, on a database of its own that holds this graph of
10k concepts and nothing else (they compute over all there is in a database, whosever it is): the call over Bolt that counts
their results.
"""

from __future__ import annotations

import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import neo4j
import networkx as nx
import numpy as np

from resources.content.retrieval.model import Mode
from resources.knowledge.algorithms.centrality import centralities
from resources.knowledge.algorithms.communities import communities
from resources.knowledge.algorithms.paths import shortest
from resources.knowledge.algorithms.ranking import pagerank
from resources.knowledge.algorithms.structure import components, order, strong_components
from resources.knowledge.learning_path import LearningPaths
from resources.knowledge.memory import MemoryGraphStore
from resources.knowledge.model import Concept, Edge, Extraction, PathWishes
from resources.knowledge.neo4j import BoltGraphStore
from resources.knowledge.projection import GraphProjections
from resources.knowledge.questions import GraphQuestions
from resources.knowledge.view import KINDS, REQUIRES, GraphView
from resources.servers.arcadedb import EmbeddedArcadeDB, create_database
from resources.telemetry.logging import configure_logging
from tests.benchmarks import harness, multihop

if TYPE_CHECKING:
    from collections.abc import Callable

    from resources.knowledge.answers import Algorithm
    from resources.knowledge.model import Difficulty
    from resources.servers.arcadedb import BoltEndpoint
    from tests.benchmarks.harness import Report

LEVELS: tuple[Difficulty, ...] = ("beginner", "intermediate", "advanced", "expert")
WAIT_MS = 50
PER_DOCUMENT = 200
LOAD_SECONDS = 210
TENANT = "bench"
_BATCH = 5000


def main(report: Report, quick: bool) -> None:
    configure_logging(level="error")
    report.versions |= harness.version_of("rustworkx", "scipy", "graspologic-native", "networkx", "neo4j")
    view = random_view(10_000, 50_000)
    waited = _queries(report, view, count=20 if quick else 100)
    _whole(report, view, "10k", rounds=2 if quick else 4)
    _multihop(report)
    if not quick:
        _whole(report, random_view(200_000, 1_000_000), "200k", rounds=2)
    with (
        tempfile.TemporaryDirectory(prefix="aiw-bench-") as folder,
        EmbeddedArcadeDB(Path(folder) / "graph", heap="2g") as server,
    ):
        _procedures(report, view, server.endpoint, rounds=1 if quick else 2)
        _store(report, server.endpoint, *((2_000, 10_000) if quick else (100_000, 500_000)))
    report.bar(
        "every query that a user waits for at p95", max(waited.values()), WAIT_MS, better="less", why=str(waited)
    )
    times_faster = report.median("pagerank_10k", peer="networkx") / report.median("pagerank_10k")
    report.bar("PageRank is faster than networkx's", times_faster, 10, better="more")


def random_view(concepts: int, edges: int, *, seed: int = 7) -> GraphView:
    """The same graph each time."""
    random = np.random.default_rng(seed)
    known = [
        Concept(
            id=f"c{number:07}",
            name=f"Concept {number}",
            difficulty=LEVELS[number % 4],
            category=f"category {number % 12}",
            tags=(f"tag {number % 30}", f"tag {number % 7}"),
            quality=(number % 10) / 10,
            minutes=number % 90,
        )
        for number in range(concepts)
    ]
    sources, targets = random.integers(0, concepts, edges), random.integers(0, concepts, edges)
    kinds = random.integers(0, len(KINDS), edges).astype(np.int8)
    turned = (kinds == REQUIRES) & (sources < targets) & (random.random(edges) < 0.999)
    columns = (
        np.where(turned, targets, sources),
        np.where(turned, sources, targets),
        kinds,
        random.random(edges) * 0.9 + 0.1,
    )
    return GraphView(known, columns)


class _Resident:
    """The views of one graph that does not change, in a process without a server."""

    def __init__(self, view: GraphView) -> None:
        self._view = view
        self.store = MemoryGraphStore()

    def view(self, tenant: str) -> GraphView:
        del tenant
        return self._view


def _queries(report: Report, view: GraphView, *, count: int) -> dict[str, float]:
    """The 95th percentile of each query."""
    views = cast("GraphProjections", _Resident(view))
    asked, planner = GraphQuestions(views), LearningPaths(views)
    wishes = PathWishes(max_minutes=3000, optional=5, style="easy", alternatives=3)
    names = [view.ids[place] for place in np.random.default_rng(1).integers(0, len(view), 2 * count)]
    pairs = list(zip(names[:count], names[count:], strict=True))

    def way(algorithm: Algorithm, alternatives: int = 1) -> Callable[[str, str], object]:
        return lambda one, other: asked.ways(one, other, tenant=TENANT, algorithm=algorithm, count=alternatives)

    queries: dict[str, Callable[[str, str], object]] = {
        "three_hops": lambda one, _: asked.neighbours(one, tenant=TENANT, depth=3),
        "dijkstra": way("dijkstra"),
        "astar": way("astar"),
        "bfs": way("bfs"),
        "alternatives": way("dijkstra", 4),
        "filtered": lambda one, other: asked.ways(one, other, tenant=TENANT, count=3, min_quality=0.2),
        "ranking": lambda _, __: asked.ranking(tenant=TENANT),
        "personal_ranking": lambda one, other: asked.ranking(tenant=TENANT, seeds={one: 1.0, other: 0.5}),
        "similar_company": lambda one, _: asked.similar(one, tenant=TENANT),
        "similar_attributes": lambda one, _: asked.similar(one, tenant=TENANT, by="attributes"),
        "spanning": lambda one, _: asked.spanning(one, tenant=TENANT),
        "structure": lambda _, __: asked.structure(tenant=TENANT),
        "learning_path": lambda one, other: planner.plan(one, known=[other], tenant=TENANT),
        "learning_path_with_wishes": lambda one, _: planner.plan(one, wishes=wishes, tenant=TENANT),
        "communities": lambda _, __: asked.communities(tenant=TENANT),
        "search": lambda one, _: asked.concepts(one[-3:], tenant=TENANT),
    }
    found = {}
    for name, query in queries.items():
        times = [_ms(lambda query=query, pair=pair: query(*pair)) for pair in pairs]  # type: ignore[misc]  # bound now
        found[name] = float(np.percentile(times[1:], 95))
        report.add({f"{name}_p95": found[name], f"{name}_first": times[0]})
    return {name: round(value, 1) for name, value in found.items()}


def _multihop(report: Report) -> None:
    """Search along the graph beside plain full text and vectors alone, over questions that no document answers alone."""
    from resources.ai.minilm import MiniLmEmbedder

    embedder = MiniLmEmbedder()
    for world in (multihop.CHOSEN_BY, multihop.HELD_OUT):
        search = multihop.search_over(embedder, world)
        found = {mode.value: multihop.measure(search, mode, world) for mode in Mode}
        found["bm25"] = multihop.plain_bm25(world)
        for side, outcome in found.items():
            told = {
                f"{world}_recall_at_5": outcome.recall,
                f"{world}_all_at_5": outcome.whole,
                f"{world}_p95": outcome.p95,
            }
            report.add(told, peer=None if side == Mode.GRAPH else side)
    report.add({"multihop_tokens": 0})
    for side in ("bm25", Mode.MEANING.value):
        report.bar(
            f"multi-hop recall@5 along the graph, held out, at no tokens, against {side} alone",
            found[Mode.GRAPH.value].recall,
            found[side].recall,
            better="more",
        )


def _whole(report: Report, view: GraphView, size: str, *, rounds: int) -> None:
    """Each algorithm over the whole graph, beside networkx where that ends in seconds."""
    graph, directed = _networkx(view)
    cut = {(edge.source, edge.target) for edge in order(view).cut}
    pairs = ((edge.source, edge.target) for edge in view.prerequisite_edges())
    required = nx.DiGraph(pair for pair in pairs if pair not in cut)
    goal = len(view) - 1
    ours: dict[str, Callable[[GraphView], object]] = {
        "pagerank": pagerank,
        "personal_pagerank": lambda one: pagerank(one, seeds={one.ids[0]: 1.0}),
        "dijkstra_pair": lambda one: shortest(one, 0, goal),
        "components": components,
        "strong_components": strong_components,
        "order": order,
        "communities": communities,
    }
    if size == "10k":
        ours["centralities"] = centralities
    theirs: dict[str, Callable[[], object]] = {
        "pagerank": lambda: nx.pagerank(directed),
        "dijkstra_pair": lambda: nx.dijkstra_path_length(graph, 0, goal, weight="cost"),
        "components": lambda: list(nx.connected_components(graph)),
        "strong_components": lambda: list(nx.strongly_connected_components(directed)),
        "order": lambda: list(nx.topological_generations(required)),
    }
    for _ in range(rounds):
        for name, compute in ours.items():
            once = name in {"communities", "centralities"}
            if once and report.rounds.get(f"{name}_{size}_first"):
                continue
            fresh = GraphView(view.concepts, (view.sources, view.targets, view.kinds, view.weights))
            report.add({f"{name}_{size}_first": _ms(lambda c=compute, v=fresh: c(v))})  # type: ignore[misc]
            if not once:
                report.add({f"{name}_{size}": _ms(lambda c=compute, v=fresh: c(v))})  # type: ignore[misc]
            if name in theirs and (size == "10k" or f"{name}_{size}" not in report.peer_rounds["networkx"]):
                report.add({f"{name}_{size}": _ms(theirs[name])}, peer="networkx")


def _networkx(view: GraphView) -> tuple[nx.Graph, nx.DiGraph]:
    graph, directed = nx.Graph(), nx.DiGraph()
    graph.add_nodes_from(range(len(view)))
    directed.add_nodes_from(range(len(view)))
    table = view.costs.tocoo()
    pairs = zip(table.row.tolist(), table.col.tolist(), table.data.tolist(), strict=True)
    graph.add_weighted_edges_from(pairs, weight="cost")
    steps = view.attention.tocoo()
    directed.add_weighted_edges_from(zip(steps.row.tolist(), steps.col.tolist(), steps.data.tolist(), strict=True))
    return graph, directed


def _procedures(report: Report, view: GraphView, server: BoltEndpoint, *, rounds: int) -> None:
    """What the server computes itself of the graph of 10k concepts."""
    here = create_database(server, "procedures")
    rows = zip(*(column.tolist() for column in (view.sources, view.targets, view.kinds, view.weights)), strict=True)
    edges = [{"s": source, "t": target, "kind": kind, "w": weight} for source, target, kind, weight in rows]
    pair = "MATCH (a:Concept {id: 0}), (b:Concept {id: $goal}) CALL algo.dijkstra(a, b, '', 'cost') YIELD weight"
    calls = {
        "pagerank": "CALL algo.pagerank({tolerance: 0.000001, weightProperty: 'weight'}) YIELD node",
        "personal_pagerank": "MATCH (a:Concept {id: 0}) CALL algo.personalizedPageRank(a) YIELD nodeId",
        "components": "CALL algo.wcc() YIELD node",
        "strong_components": "CALL algo.scc() YIELD node",
        "communities": "CALL algo.leiden() YIELD nodeId",
        "dijkstra_pair": pair,
    }
    with neo4j.GraphDatabase.driver(here.url, auth=(here.user, here.password)) as driver:

        def ask(query: str, **parameters: Any) -> int:
            done = driver.execute_query(query, parameters, database_=here.database)
            return int(done.records[0]["total"]) if done.records else 0

        ask("CREATE CONSTRAINT known IF NOT EXISTS FOR (c:Concept) REQUIRE c.id IS UNIQUE")
        for start in range(0, len(view), _BATCH):
            ask("UNWIND $ids AS id CREATE (:Concept {id: id})", ids=list(range(len(view)))[start : start + _BATCH])
        for number, kind in enumerate(KINDS):
            own = [edge for edge in edges if edge["kind"] == number]
            statement = (
                "UNWIND $rows AS row MATCH (a:Concept {id: row.s}) MATCH (b:Concept {id: row.t}) "
                f"CREATE (a)-[:{kind} {{weight: row.w, cost: 2 - row.w}}]->(b)"
            )
            for start in range(0, len(own), _BATCH):
                ask(statement, rows=own[start : start + _BATCH])
        goal = len(view) - 1
        for call in calls.values():
            ask(f"{call} RETURN count(*) AS total", goal=goal)  # the first call reads the graph into memory
        for _ in range(rounds):
            for name, call in calls.items():
                took = _ms(lambda call=call: ask(f"{call} RETURN count(*) AS total", goal=goal))  # type: ignore[misc]
                key = f"{name}_10k_first" if name == "communities" else f"{name}_10k"
                report.add({key: took}, peer="arcadedb")


def _store(report: Report, at: BoltEndpoint, concepts: int, edges: int) -> None:
    """Weave a graph document by document, read it, and follow a change."""
    view = random_view(concepts, edges)
    store = BoltGraphStore(at.url, user=at.user, password=at.password, database=at.database, http_url=at.http_url)
    with closing(store):
        store.prepare()
        documents = _documents(view)
        started = time.perf_counter()
        for document in documents:
            if time.perf_counter() - started > LOAD_SECONDS:
                break
            store.weave(document, tenant=TENANT)
        seconds = time.perf_counter() - started
        counts = store.counts(tenant=TENANT)
        report.add(
            {
                "load_concepts": counts.concepts,
                "load_edges": counts.edges,
                "load_s": seconds,
                "load_edges_per_s": counts.edges / seconds,
            }
        )
        views = GraphProjections(store)
        report.add({"read_whole_graph": _ms(lambda: views.view(TENANT)), "unchanged": _ms(lambda: views.view(TENANT))})
        changed = documents[0].model_copy(update={"edges": documents[0].edges[:-1]})
        report.add({"weave_a_change": _ms(lambda: store.weave(changed, tenant=TENANT))})
        report.add({"follow_a_change": _ms(lambda: views.view(TENANT))})
        asked = GraphQuestions(views)
        names = [view.ids[place] for place in np.random.default_rng(2).integers(0, len(view), 30)]
        times = [_ms(lambda name=name: asked.neighbours(name, tenant=TENANT, depth=3)) for name in names]  # type: ignore[misc]
        report.add({"three_hops_with_store_p95": float(np.percentile(times[1:], 95))})


def _documents(view: GraphView) -> list[Extraction]:
    """The graph in documents: each is about so many concepts, and names what these point to."""
    by_document: dict[int, list[Edge]] = {}
    for number in np.flatnonzero(view.sources != view.targets).tolist():
        by_document.setdefault(int(view.sources[number]) // PER_DOCUMENT, []).append(view.edge(number))
    found = []
    for number in range(-(-len(view) // PER_DOCUMENT)):
        edges = by_document.get(number, [])
        own = view.concepts[number * PER_DOCUMENT : (number + 1) * PER_DOCUMENT]
        named = {concept.id: concept for concept in own}
        for edge in edges:
            named.setdefault(edge.target, Concept(id=edge.target, name=view.concepts[view.place[edge.target]].name))
        found.append(
            Extraction(
                document_id=f"document {number}",
                sha256=f"{number:064}",
                title=None,
                concepts=tuple(named.values()),
                mentions={concept.id: 0.5 for concept in own},
                edges=tuple(edges),
            )
        )
    return found


def _ms(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1000


if __name__ == "__main__":
    harness.run("graph", main)
