"""`aiw demo`: the main job on real documents, from an empty folder to answers, with figures that the platform itself gives."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from api.cli.corpus import installed_documents
from api.cli.ingest import document_progress
from api.cli.output import FAILED, remark, show, table
from api.cli.session import session_of
from resources.errors import ConflictError, InvalidInputError, LimitExceededError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.progress import Progress

    from api.cli.corpus import CorpusDocument
    from api.client import ApiClient
    from api.schemas import RunOut

QUERY = "How do I validate data with type hints?"
TARGET = "fastapi"
_JOB = "ingest_document"
_ENDS = ("run.succeeded", "run.failed")
_PACKAGES = 107
_THREADS = 4
_LOOK_EVERY = 0.25
_PAGE = 500


def demo(
    context: typer.Context,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the platform running afterwards, until Ctrl-C.")] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the figures as JSON, too.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Take only the first so many documents.")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Take every document of every package that the platform stands on.")
    ] = False,
    query: Annotated[str, typer.Option(help="What to search for at the end.")] = QUERY,
    target: Annotated[str, typer.Option(help="The package that the learning path leads to.")] = TARGET,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait while nothing moves on.")] = 120.0,
) -> None:
    """Run the main job: the documentation of the installed Python packages becomes searchable, connected knowledge.

    Starts the platform (or uses the one that runs here), hands the documents in as events, follows their runs, then
    searches and asks for a learning path. Documents that are known already cost nothing.
    """
    from api.cli.up import foreground

    began = time.monotonic()
    if everything:
        corpus = list(installed_documents(shipped=None))
    else:
        corpus = list(installed_documents(packages=None if limit else _PACKAGES))[:limit]
    with foreground(session_of(context), keep=keep) as client:
        started = time.monotonic()
        figures = _ingest(client, corpus, timeout=timeout)
        ingested = time.monotonic()
        figures |= client.statistics().model_dump(mode="json", include={"documents", "chunks", "concepts", "edges"})
        figures |= _answers(client, query=query, target=target)
        figures["seconds"] |= {
            "start": round(started - began, 2),
            "ingest": round(ingested - started, 2),
            "total": round(time.monotonic() - began, 2),
        }
        _report(figures)
        if json_file is not None:
            json_file.write_bytes(orjson.dumps(figures, option=orjson.OPT_INDENT_2))
            remark(f"figures written to {str(json_file)!r}.")
    if figures["runs"]["failed"] or figures["refused"]:
        raise typer.Exit(FAILED)


def _ingest(client: ApiClient, corpus: Sequence[CorpusDocument], *, timeout: float) -> dict[str, Any]:
    """Hand the documents in, follow their events until each one's run has ended, and add up what the runs tell."""
    position = client.read_events(limit=1).head
    with document_progress() as progress, ThreadPoolExecutor(_THREADS, thread_name_prefix="demo") as threads:
        task = progress.add_task("handing in", total=len(corpus))
        outcomes: Counter[str] = Counter()
        waiting = set()
        refused = []
        for document, (outcome, identity) in zip(corpus, threads.map(partial(_hand_in, client), corpus), strict=True):
            outcomes[outcome] += 1
            if outcome == "received":
                waiting.add(identity)
            elif outcome == "refused":
                refused.append({"uri": document.source.uri, "reason": identity})
            progress.advance(task)
        ended = _follow(client, waiting, position, progress, timeout=timeout)
        task = progress.add_task("adding up", total=len(ended))
        runs = []
        for run in threads.map(client.run, ended):
            runs.append(run)
            progress.advance(task)
    failed = [run.id for run in runs if run.status != "success"]
    return {
        "handed_in": dict(sorted(outcomes.items())),
        "refused": refused,
        "runs": {"total": len(runs), "failed": len(failed), "failed_ids": failed, "ids": [run.id for run in runs]},
        "seconds": {"by_step": _seconds_by_step(runs)},
    }


def _hand_in(client: ApiClient, document: CorpusDocument) -> tuple[str, str]:
    """What became of it (received, unchanged, duplicate, refused), and its id, or the reason of the refusal."""
    source = document.source
    try:
        accepted = client.upload(
            document.content,
            name=source.name,
            uri=source.uri,
            media_type=source.media_type,
            title=source.title,
            subject=source.subject,
            requires=source.requires,
            tags=source.tags,
        )
    except ConflictError as error:
        return "duplicate", str(error.details.get("document_id"))
    except (InvalidInputError, LimitExceededError) as error:
        return "refused", error.message
    return accepted.outcome, accepted.document.id


def _follow(client: ApiClient, waiting: set[str], position: int, progress: Progress, *, timeout: float) -> list[str]:
    """Follow the event store until a run of each waiting document has ended; returns the runs' ids."""
    task = progress.add_task("understanding", total=len(waiting))
    ended = []
    moved_at = time.monotonic()
    while waiting:
        page = client.read_events(after=position, types=_ENDS, limit=_PAGE)
        position = max(position, page.next_after)
        for event in page.events:
            if event.data["job"] == _JOB and event.data["partition"] in waiting:
                waiting.remove(event.data["partition"])
                ended.append(event.data["run_id"])
                progress.advance(task)
                moved_at = time.monotonic()
        if time.monotonic() - moved_at > timeout:
            raise UnavailableError(
                f"{len(waiting)} documents are not ready, and nothing moved for {timeout:g} s. `aiw health` says why.",
                dependency="dagster",
            )
        if waiting and not page.events:
            time.sleep(_LOOK_EVERY)
    return ended


def _seconds_by_step(runs: Sequence[RunOut]) -> dict[str, float]:
    """Where the time goes: seconds of all runs together, by step, and what the runs took around their steps."""
    seconds: defaultdict[str, float] = defaultdict(float)
    for run in runs:
        within = 0.0
        for step in run.steps:
            seconds[step.key] += step.seconds or 0.0
            within += step.seconds or 0.0
        if run.started_at and run.ended_at:
            seconds["between steps"] += max(0.0, (run.ended_at - run.started_at).total_seconds() - within)
    return {key: round(value, 2) for key, value in sorted(seconds.items(), key=lambda item: -item[1])}


def _answers(client: ApiClient, *, query: str, target: str) -> dict[str, Any]:
    found = client.search(query, limit=5)
    path = client.learning_path(target)
    return {
        "query": query,
        "search": [hit.model_dump(mode="json") for hit in found.hits],
        "search_milliseconds": found.milliseconds,
        "learning_path": [step.model_dump(mode="json") for step in path.steps],
    }


def _report(figures: dict[str, Any]) -> None:
    runs, seconds = figures["runs"], figures["seconds"]
    documents = sum(figures["handed_in"].get(outcome, 0) for outcome in ("received", "unchanged"))
    rows = [
        ("documents", figures["documents"]),
        ("chunks", figures["chunks"]),
        ("concepts", figures["concepts"]),
        ("edges", figures["edges"]),
        ("runs", f"{runs['total']} ({runs['failed']} failed)"),
        ("handed in", ", ".join(f"{count} {outcome}" for outcome, count in figures["handed_in"].items())),
        ("seconds", f"{seconds['total']:.1f} in all; start {seconds['start']:.1f}, ingest {seconds['ingest']:.1f}"),
        ("documents a second", f"{documents / max(seconds['ingest'], 0.001):.1f}"),
    ]
    show(table(("", "demonstration"), rows))
    if seconds["by_step"]:
        steps = [(step, f"{value:.1f}") for step, value in seconds["by_step"].items()]
        show(table(("step", "seconds, all runs together"), steps))
    hits = [
        (f"{hit['score']:.2f}", hit["document_title"], " ".join(hit["text"].split())[:100]) for hit in figures["search"]
    ]
    show(table(("score", "document", f"search: {figures['query']}"), hits))
    way = [(step["order"], step["concept"]["name"], step["reason"]) for step in figures["learning_path"]]
    show(table(("step", "learning path", "why"), way))
