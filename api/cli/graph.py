"""`aiw graph`: ask the graph of knowledge, and decide which concepts are one."""

from __future__ import annotations

from typing import Annotated

import typer

from api.cli import curation
from api.cli.output import AsJson, Commands, print_json, remark, show, table
from api.cli.session import session_of
from resources.knowledge.answers import MAX_ALTERNATIVES, Algorithm, Measure, ScoredConcept
from resources.knowledge.model import EdgeType, Merge

app = typer.Typer(cls=Commands, no_args_is_help=True, help="The graph of knowledge: ways, ranks, communities, merges.")

Concept = Annotated[str, typer.Argument(help="A concept, by name or id.")]
Limit = Annotated[int, typer.Option(min=1, max=1000, help="Rows to show at most.")]
MergeId = Annotated[str, typer.Argument(help="Id of the merge.")]


@app.command("show")
def show_structure(context: typer.Context, as_json: AsJson = False) -> None:
    """Show how the graph hangs together: parts, cycles and the edges to cut, levels."""
    with session_of(context).client() as client:
        found = client.graph()
    if as_json:
        print_json(found)
        return
    rows: list[tuple[str, object]] = [
        ("concepts", found.concepts),
        ("edges", found.edges),
        ("revision", found.revision),
        ("parts", found.component_count),
        ("concepts by level", ", ".join(map(str, found.levels)) or None),
        ("cycles", "; ".join(" ↔ ".join(group) for group in found.cycles) or None),
        ("edges to cut", "; ".join(f"{edge.source} → {edge.target}" for edge in found.cut) or None),
    ]
    show(table(["what", "value"], rows))


@app.command("concepts")
def concepts(
    context: typer.Context,
    text: Annotated[str, typer.Argument(help="A part of the name or the description.")] = "",
    limit: Limit = 20,
    as_json: AsJson = False,
) -> None:
    """Find concepts, the most central first."""
    with session_of(context).client() as client:
        found = client.graph_concepts(text, limit=limit)
    if as_json:
        print_json(found)
        return
    rows = [(one.id, one.name, one.kind, one.difficulty, one.description) for one in found.concepts]
    show(table(["id", "name", "kind", "difficulty", "description"], rows))
    remark(f"{len(rows)} of {found.total} concepts")


@app.command("rank")
def rank(
    context: typer.Context,
    seed: Annotated[
        list[str] | None, typer.Option(help="Rank by nearness to this concept; may be given often.")
    ] = None,
    limit: Limit = 20,
    as_json: AsJson = False,
) -> None:
    """Rank concepts by PageRank."""
    with session_of(context).client() as client:
        found = client.graph_ranking(seeds=seed or (), limit=limit)
    _scored(found, as_json)


@app.command("near")
def near(
    context: typer.Context,
    concept: Concept,
    depth: Annotated[int, typer.Option(min=1, max=10, help="Edges away at most.")] = 2,
    type: Annotated[list[EdgeType] | None, typer.Option(help="Types of edges; may be given often.")] = None,
    limit: Limit = 20,
    as_json: AsJson = False,
) -> None:
    """Show what is near a concept."""
    with session_of(context).client() as client:
        found = client.graph_neighbours(concept, depth=depth, types=type or (), limit=limit)
    if as_json:
        print_json(found)
        return
    rows = [(one.concept.id, one.concept.name, one.distance, f"{one.strength:.2f}") for one in found]
    show(table(["id", "name", "edges away", "strength"], rows))


@app.command("ways")
def ways(
    context: typer.Context,
    source: Annotated[str, typer.Argument(help="The concept to come from.")],
    target: Annotated[str, typer.Argument(help="The concept to go to.")],
    algorithm: Annotated[Algorithm, typer.Option(help="bfs counts steps; the others add up costs.")] = "dijkstra",
    count: Annotated[int, typer.Option(min=1, max=MAX_ALTERNATIVES, help="The best way, and alternatives.")] = 3,
    as_json: AsJson = False,
) -> None:
    """Find the best ways between two concepts."""
    with session_of(context).client() as client:
        found = client.graph_ways(source, target, algorithm=algorithm, count=count)
    if as_json:
        print_json(found)
        return
    if not found.ways:
        remark(f"there is no way from {found.source} to {found.target}.")
        return
    show(
        table(
            ["cost", "way"], [(f"{way.cost:.2f}", " → ".join(one.name for one in way.concepts)) for way in found.ways]
        )
    )


@app.command("similar")
def similar(
    context: typer.Context,
    concept: Concept,
    by: Annotated[Measure, typer.Option(help="Neighbours and documents, or category, tags, difficulty.")] = "company",
    limit: Limit = 20,
    as_json: AsJson = False,
) -> None:
    """Find similar concepts."""
    with session_of(context).client() as client:
        found = client.graph_similar(concept, by=by, limit=limit)
    _scored(found, as_json)


@app.command("communities")
def communities(context: typer.Context, limit: Limit = 20, as_json: AsJson = False) -> None:
    """Show the largest communities with their most central concepts."""
    with session_of(context).client() as client:
        found = client.graph_communities(limit=limit)
    if as_json:
        print_json(found)
        return
    rows = [(one.number, one.size, ", ".join(concept.name for concept in one.concepts)) for one in found.communities]
    show(table(["community", "concepts", "most central"], rows))


@app.command("span")
def span(
    context: typer.Context,
    concept: Concept,
    limit: Annotated[int, typer.Option(min=1, max=100, help="Concepts at most.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Show the few concepts that span a topic."""
    with session_of(context).client() as client:
        found = client.graph_spanning(concept, limit=limit)
    if as_json:
        print_json(found)
        return
    rows = [(one.concept.id, one.concept.name, f"{one.score:.0%}") for one in found.concepts]
    show(table(["id", "name", "covered so far"], rows))


@app.command("support")
def support(
    context: typer.Context,
    concept: Concept,
    target: Annotated[str | None, typer.Option("--to", help="Show who supports the edge to this concept.")] = None,
    type: Annotated[EdgeType, typer.Option(help="Type of that edge.")] = EdgeType.REQUIRES,
    as_json: AsJson = False,
) -> None:
    """Show the documents, passages, runs and calls that support a concept or an edge."""
    with session_of(context).client() as client:
        found = client.graph_support(concept, target=target, type=type if target else None)
    if as_json:
        print_json(found)
        return
    rows = [
        (
            one.title or one.document_id,
            one.weight,
            ", ".join(evidence.origin for evidence in one.evidence) or None,
            ", ".join(str(chunk) for evidence in one.evidence for chunk in evidence.chunks) or None,
            one.run_id,
        )
        for one in found
    ]
    show(table(["document", "weight", "origin", "passages", "run"], rows))


@app.command("resources")
def resources(
    context: typer.Context,
    concept: Concept,
    limit: Annotated[int, typer.Option(min=1, max=100, help="Documents at most.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Show what to read on a concept, the document most about it first."""
    with session_of(context).client() as client:
        found = client.graph_resources(concept, limit=limit)
    if as_json:
        print_json(found)
        return
    rows = [
        (one.title or one.document_id, one.url, one.resource_type, one.difficulty, one.minutes, f"{one.weight:.2f}")
        for one in found
    ]
    show(table(["document", "address", "kind", "difficulty", "minutes", "weight"], rows))


@app.command("learners")
def learners(context: typer.Context, concept: Concept, as_json: AsJson = False) -> None:
    """Count the users who have said where they stand with a concept."""
    with session_of(context).client() as client:
        found = client.graph_learners(concept)
    if as_json:
        print_json(found)
        return
    show(table(["status", "users"], sorted(found.items())))


@app.command("merges")
def merges(
    context: typer.Context,
    status: Annotated[str | None, typer.Option(help="proposed, merged, rejected or undone.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show which concepts were merged, and which may be."""
    with session_of(context).client() as client:
        found = client.graph_merges(status=status)
    _merges(found, as_json)


@app.command("scan")
def scan(
    context: typer.Context,
    meaning: Annotated[bool, typer.Option(help="Compare what names mean, too.")] = True,
    as_json: AsJson = False,
) -> None:
    """Look for concepts that may be one. Names of the same letters are merged, others proposed."""
    with session_of(context).client() as client:
        found = client.scan_merges(meaning=meaning)
    _merges(found, as_json)


@app.command("merge")
def merge(
    context: typer.Context,
    alias: Annotated[str, typer.Argument(help="The concept that goes.")],
    into: Annotated[str, typer.Argument(help="The concept that stays.")],
    reason: Annotated[str, typer.Option(help="Why.")] = "decided by hand",
    as_json: AsJson = False,
) -> None:
    """Let one concept stand for another."""
    with session_of(context).client() as client:
        found = client.merge_concepts(alias, into, reason=reason)
    _merges([found], as_json)


@app.command("accept")
def accept(context: typer.Context, merge_id: MergeId, as_json: AsJson = False) -> None:
    """Accept a proposal."""
    with session_of(context).client() as client:
        _merges([client.decide_merge(merge_id, "accept")], as_json)


@app.command("reject")
def reject(context: typer.Context, merge_id: MergeId, as_json: AsJson = False) -> None:
    """Reject a proposal. It is not made again."""
    with session_of(context).client() as client:
        _merges([client.decide_merge(merge_id, "reject")], as_json)


@app.command("undo")
def undo(context: typer.Context, merge_id: MergeId, as_json: AsJson = False) -> None:
    """Undo a merge: the graph is then as if it had never been."""
    with session_of(context).client() as client:
        _merges([client.decide_merge(merge_id, "undo")], as_json)


for command in (curation.add, curation.edit, curation.remove, curation.stated):
    app.command()(command)


def _scored(found: list[ScoredConcept], as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    show(table(["score", "id", "name"], [(f"{one.score:.5f}", one.concept.id, one.concept.name) for one in found]))


def _merges(found: list[Merge], as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    rows = [(one.id, one.status, one.alias, one.into, one.score, one.reason, one.by) for one in found]
    show(table(["id", "status", "alias", "into", "score", "reason", "by"], rows))
