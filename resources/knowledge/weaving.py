"""A change of a document's contribution as one transaction: the Cypher half of weaving and retracting.

Every function may be run twice, because the driver's file repeats transactions that come into conflict: what is changed is
decided anew from what is there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from resources.knowledge import queries
from resources.knowledge.changelog import MAX_CHANGES, Change
from resources.knowledge.contribution import NOTHING, Claim, contribution_of, delta, roots_of
from resources.knowledge.model import Concept, Extraction, Merge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import neo4j

    from resources.knowledge.contribution import Contribution, Delta
    from resources.knowledge.model import SavedPath
    from resources.knowledge.state import LearnerProgress

Row = dict[str, Any]

# ArcadeDB keeps a statement's rows, each with all parameters, in a part of its heap: long lists must come in pieces.
BATCH: Final = 500


def revise(
    tx: neo4j.Transaction, document_id: str, make: Callable[[Extraction | None], Extraction | None], *, tenant: str
) -> bool:
    """Make what `make` says, given what was said before, the whole contribution. Rolls back, and returns False, if that is
    nothing new.
    """
    key = {"tenant": tenant, "document": document_id}
    begun = tx.run(queries.BEGIN, key).single(strict=True)
    saved = begun["extraction"]
    former = Extraction.model_validate_json(saved) if saved is not None else None
    new = make(former)
    if (former is None and new is None) or (former and new and former.says_the_same(new)):
        tx.rollback()
        return False
    roots = roots_of(merges(tx, tenant=tenant)) if begun["merges"] else {}
    before = contribution_of(former, roots) if former else NOTHING
    if new is not None:
        tx.run(queries.SAVE_DOCUMENT, key, sha256=new.sha256, title=new.title, extraction=new.model_dump_json())
    change = _apply(tx, before, contribution_of(new, roots) if new else NOTHING, **key)
    if new is None:
        tx.run(queries.DELETE_DOCUMENT, key)
    elif begun["learners"]:
        _join(tx, change.added_supports, roots, tenant=tenant)
    _log(tx, begun["revision"], [change], tenant=tenant)
    return True


def put_merge(tx: neo4j.Transaction, merge: Merge, *, tenant: str) -> None:
    """Log the decision, and weave the documents that name the concepts again."""
    begun = tx.run(queries.BEGIN_MERGE, tenant=tenant).single(strict=True)
    kept = {one.id: one for one in merges(tx, tenant=tenant)}
    before, after = roots_of(kept.values()), roots_of((kept | {merge.id: merge}).values())
    tx.run(queries.SAVE_MERGE, tenant=tenant, id=merge.id, merge=merge.model_dump_json())
    moved = {alias for alias in before.keys() | after.keys() if before.get(alias) != after.get(alias)}
    named = moved | {roots[alias] for roots in (before, after) for alias in moved if alias in roots}
    rows = each(tx, queries.CONTRIBUTIONS_TO, [{"id": key} for key in sorted(named)], tenant=tenant)
    deltas = []
    for document, saved in sorted({row["id"]: row["extraction"] for row in rows}.items()):
        said = Extraction.model_validate_json(saved)
        former, new = contribution_of(said, before), contribution_of(said, after)
        if former != new:
            deltas.append(_apply(tx, former, new, tenant=tenant, document=document))
    if begun["learners"]:
        _join(tx, named, after, tenant=tenant)
    _log(tx, begun["revision"], deltas, tenant=tenant)


def put_path(tx: neo4j.Transaction, path: SavedPath, *, tenant: str) -> None:
    """Keep a path in place of the one with its id, and join its steps to the concepts that are there."""
    told = path.model_dump_json()
    about: Row = {"name": path.name, "target": path.target, "custom": path.custom}
    tx.run(queries.SAVE_PATH, tenant=tenant, id=path.id, path=told, **about)
    steps = [{"concept": one.concept, "order": one.order, "optional": one.optional} for one in path.concepts]
    each(tx, queries.ADD_STEPS, steps, tenant=tenant, id=path.id)
    _pointed(tx, {one.concept for one in path.concepts}, tenant=tenant)


def put_progress(tx: neo4j.Transaction, said: Iterable[LearnerProgress], *, tenant: str) -> None:
    """Keep how far users have come, in place of what is kept of these users and concepts."""
    rows = [one.model_dump(mode="json") for one in said]
    each(tx, queries.SAVE_PROGRESS, rows, tenant=tenant)
    _pointed(tx, {row["concept"] for row in rows}, tenant=tenant)


def _pointed(tx: neo4j.Transaction, concepts: Iterable[str], *, tenant: str) -> None:
    tx.run(queries.MARK_LEARNERS, tenant=tenant)
    _join(tx, concepts, roots_of(merges(tx, tenant=tenant)), tenant=tenant)


def _join(tx: neo4j.Transaction, concepts: Iterable[str], roots: Mapping[str, str], *, tenant: str) -> None:
    """Let steps and progress that name these concepts, or are merged into them, point to what is there."""
    wanted = set(concepts)
    wanted |= {alias for alias, root in roots.items() if root in wanted}
    rows = [{"concept": key, "into": roots.get(key, key)} for key in sorted(wanted)]
    for label in queries.POINTING:
        each(tx, queries.UNLINK[label], rows, tenant=tenant)
        each(tx, queries.LINK[label], rows, tenant=tenant)


def merges(tx: neo4j.Transaction, *, tenant: str) -> list[Merge]:
    """The log of merges."""
    return [Merge.model_validate_json(row["merge"]) for row in tx.run(queries.MERGES, tenant=tenant).data()]


def _log(tx: neo4j.Transaction, revision: int, deltas: list[Delta], *, tenant: str) -> None:
    tx.run(queries.LOG_CHANGE, tenant=tenant, revision=revision, touched=Change.of(revision, deltas).to_json())
    tx.run(queries.FORGET_CHANGE, tenant=tenant, old=revision - MAX_CHANGES)


def _apply(tx: neo4j.Transaction, former: Contribution, new: Contribution, *, tenant: str, document: str) -> Delta:
    """Make the document's contribution `new` where it was `former`, and nothing else."""
    key = {"tenant": tenant, "document": document}
    change = delta(former, new)
    for kind, query in queries.REMOVE_EDGES.items():
        each(tx, query, [{"source": s, "target": t} for s, t, k in sorted(change.removed_edges) if k is kind], **key)
    each(tx, queries.REMOVE_SUPPORTS, [{"id": concept} for concept in sorted(change.removed_supports)], **key)
    added = [_row(claim) for claim in change.added_supports.values()]
    spoken: list[Row] = []
    for found in each(tx, queries.ADD_SUPPORTS, added, **key):
        claim = change.added_supports[found["id"]]
        if found["voice"] != document and claim.rank(document) < _claim(found).rank(found["voice"]):
            spoken.append(_row(claim) | {"voice": document})
    heirs, orphans = _succession(tx, change.removed_supports, **key)
    each(tx, queries.DELETE_CONCEPTS, orphans, tenant=tenant)
    each(tx, queries.SPEAK, spoken + heirs, tenant=tenant)
    for kind, query in queries.ADD_EDGES.items():
        rows = [{"source": s, "target": t, "weight": w} for (s, t, k), w in change.added_edges.items() if k is kind]
        each(tx, query, rows, **key)
    _teach(tx, change, new, **key)
    return change


def _teach(tx: neo4j.Transaction, change: Delta, new: Contribution, *, tenant: str, document: str) -> None:
    """What the document is to a learner, and which of its passages name which concept."""
    key = {"tenant": tenant, "document": document}
    if new.resource is None and change.resource_changed:
        tx.run(queries.DELETE_RESOURCE, key)
    elif new.resource is not None and change.resource_changed:
        tx.run(queries.SAVE_RESOURCE, key | new.resource.model_dump())
    each(tx, queries.REMOVE_LESSONS, [{"id": concept} for concept in sorted(change.removed_lessons)], **key)
    lessons = [
        {
            "id": concept,
            "weight": lesson.weight,
            "begins": [start for start, _ in lesson.passages],
            "ends": [end for _, end in lesson.passages],
        }
        for concept, lesson in change.added_lessons.items()
    ]
    each(tx, queries.ADD_LESSONS, lessons, **key)
    each(
        tx,
        queries.REMOVE_CHUNKS,
        [{"id": f"{document}#{one}"} for one in sorted(change.removed_passages)],
        tenant=tenant,
    )
    names = [{"chunk": f"{document}#{number}", "id": concept} for number, concept in sorted(change.removed_names)]
    each(tx, queries.REMOVE_NAMES, names, tenant=tenant)
    chunks = [
        {"id": f"{document}#{number}", "ordinal": number, "begins": start, "ends": end}
        for number, (start, end) in change.added_passages.items()
    ]
    each(tx, queries.ADD_CHUNKS, chunks, **key)
    named: dict[str, list[str]] = {}
    for number, concept in sorted(change.added_names):
        named.setdefault(concept, []).append(f"{document}#{number}")
    each(tx, queries.ADD_NAMES, [{"id": concept, "chunks": at} for concept, at in named.items()], tenant=tenant)


def _succession(
    tx: neo4j.Transaction, removed: Iterable[str], *, tenant: str, document: str
) -> tuple[list[Row], list[Row]]:
    """Who speaks for the concepts that `document` spoke for, and the concepts that nobody supports any more."""
    supports: dict[str, dict[str, Claim]] = {}
    ids = [{"id": concept} for concept in sorted(removed)]
    for row in each(tx, queries.SUPPORTS_OF_SPOKEN, ids, tenant=tenant, document=document):
        by_document = supports.setdefault(row["id"], {})
        if row["document"] is not None:
            by_document[row["document"]] = _claim(row)
    heirs = []
    for by_document in supports.values():
        if by_document:
            voice, claim = min(by_document.items(), key=lambda item: item[1].rank(item[0]))
            heirs.append(_row(claim) | {"voice": voice})
    return heirs, [{"id": concept} for concept, by_document in supports.items() if not by_document]


def each(tx: neo4j.Transaction, query: str, rows: list[Row], **key: Any) -> list[Row]:
    """What the query returns for all rows, which it is given in batches; nothing is sent when there are none."""
    return [
        found
        for start in range(0, len(rows), BATCH)
        for found in tx.run(query, key, rows=rows[start : start + BATCH]).data()
    ]


def _row(claim: Claim) -> Row:
    concept = claim.concept
    words = {field: getattr(concept, field) for field in queries.FIELDS}
    return words | {
        "id": concept.id,
        "folded": concept.name.casefold(),
        "aliased": claim.aliased,
        "tags": list(concept.tags),
        "weight": claim.weight,
    }


def _claim(row: Row) -> Claim:
    return Claim(concept_of(row), row["weight"], aliased=bool(row["aliased"]))


def concept_of(row: Row) -> Concept:
    """The concept in a row that tells all its fields."""
    words = {field: row[field] for field in queries.FIELDS}
    return Concept(**words | {"id": row["id"], "tags": tuple(row["tags"] or ())})
