"""Asking what was learned: search, answers with citations, and learning paths."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from api.cli.output import FAILED, AsJson, print_json, remark, show, table
from api.cli.paths import show_kept
from api.cli.session import session_of
from resources.content.model import MediaType
from resources.content.retrieval.model import Filters, Mode
from resources.knowledge.model import PathWishes
from resources.knowledge.progress.model import ProgressStatus

_EXCERPT = 160


def search(
    context: typer.Context,
    query: Annotated[str, typer.Argument(help="What to look for, in your own words.")],
    mode: Annotated[
        Mode, typer.Option(help="By words, by meaning, by both, or along the graph as well.")
    ] = Mode.HYBRID,
    media_type: Annotated[
        list[MediaType] | None, typer.Option("--type", help="Only this type; may be repeated.")
    ] = None,
    difficulty: Annotated[list[str] | None, typer.Option(help="Only this level; may be repeated.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="Only with this tag; may be repeated.")] = None,
    min_quality: Annotated[
        float | None, typer.Option(min=0, max=1, help="Only of this quality or a better one.")
    ] = None,
    since: Annotated[datetime | None, typer.Option(help="Only received then or later (UTC).")] = None,
    until: Annotated[datetime | None, typer.Option(help="Only received before then (UTC).")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="Passages to show at most.")] = 10,
    cursor: Annotated[str | None, typer.Option(help="Go on after the page that gave it.")] = None,
    rerank: Annotated[
        bool, typer.Option("--rerank", help="Order the first 50 by nearness and words together.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Search the documents by words and by meaning."""
    given = {
        "types": media_type or (),
        "difficulties": difficulty or (),
        "tags": tag or (),
        "min_quality": min_quality,
        "since": since and since.replace(tzinfo=UTC),
        "until": until and until.replace(tzinfo=UTC),
    }
    try:
        filters = Filters.model_validate(given)
    except ValidationError as error:
        raise typer.BadParameter("; ".join(problem["msg"] for problem in error.errors())) from error
    with session_of(context).client() as client:
        found = client.search(query, mode=mode, filters=filters, limit=limit, cursor=cursor, rerank=rerank)
    if as_json:
        print_json(found)
        return
    if not found.hits:
        remark("nothing found. Are there documents yet? `aiw ingest PATH` brings some in.")
        return
    rows = [
        (f"{hit.score:.3f}", hit.document_title or hit.document_id, hit.section, _excerpt(hit.text), hit.citation)
        for hit in found.hits
    ]
    show(table(["score", "document", "section", "passage", "citation"], rows))
    counts = [f"{value} {count}" for counts in found.facets.values() for value, count in counts.items()]
    remark(f"{found.total} passages in all" + (f" ({', '.join(counts)})" if counts else ""))
    if found.next_cursor is not None:
        remark(f"there are more: --cursor {found.next_cursor}")


def ask(
    context: typer.Context,
    question: Annotated[str, typer.Argument(help="The question.")],
    provider: Annotated[str, typer.Option(help="Who answers; offline takes sentences by rule.")] = "offline",
    model: Annotated[str | None, typer.Option(help="The provider's name for the model.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="Only from documents with this tag; may be repeated.")] = None,
    mode: Annotated[Mode, typer.Option(help="How passages are found.")] = Mode.HYBRID,
    as_json: AsJson = False,
) -> None:
    """Ask a question; the answer comes from the documents, each sentence with where it stands. Ends with 1 if there is none."""
    more = {} if model is None else {"model": model}
    with session_of(context).client() as client:
        answer = client.ask(question, provider=provider, filters=Filters(tags=tuple(tag or ())), mode=mode, **more)
    if as_json:
        print_json(answer)
    elif answer.found is None:
        remark(f"it takes longer: aiw workflow status {answer.run_id}")
    else:
        typer.echo(answer.answer)
        for number, sentence in enumerate(answer.sentences, 1):
            for cited in sentence.citations:
                title = cited.document_title or cited.document_id
                typer.echo(f"  [{number}] {title} ({cited.document_id}:{cited.start}-{cited.end})")
        if answer.notice:
            remark(answer.notice)
    if not answer.found:
        raise typer.Exit(FAILED)


def path(
    context: typer.Context,
    target: Annotated[str, typer.Argument(help="The concept to learn.")],
    source: Annotated[str | None, typer.Option("--from", help="A concept that is already known.")] = None,
    known: Annotated[list[str] | None, typer.Option(help="A concept that is known; may be repeated.")] = None,
    max_steps: Annotated[int | None, typer.Option(min=1, help="Steps at most.")] = None,
    max_minutes: Annotated[int | None, typer.Option(min=1, help="Estimated minutes at most.")] = None,
    max_difficulty: Annotated[str | None, typer.Option(help="Nothing harder than this level.")] = None,
    prefer: Annotated[list[str] | None, typer.Option(help="A category to come first; may be repeated.")] = None,
    avoid: Annotated[list[str] | None, typer.Option(help="A category to leave out; may be repeated.")] = None,
    optional: Annotated[int, typer.Option(min=0, max=50, help="So many related concepts besides.")] = 0,
    style: Annotated[str, typer.Option(help="Where order is free: breadth, depth or easy.")] = "breadth",
    alternatives: Annotated[int, typer.Option(min=0, max=10, help="Shorter paths that presume something.")] = 0,
    from_scratch: Annotated[bool, typer.Option("--from-scratch", help="Do not count what you have learned.")] = False,
    keep: Annotated[str | None, typer.Option(help="Keep the path under this name (`aiw paths`).")] = None,
    as_json: AsJson = False,
) -> None:
    """Show a learning path from where you stand: every prerequisite before what needs it."""
    given = {
        "max_steps": max_steps,
        "max_minutes": max_minutes,
        "max_difficulty": max_difficulty,
        "prefer": prefer or (),
        "avoid": avoid or (),
        "optional": optional,
        "style": style,
        "alternatives": alternatives,
    }
    try:
        wishes = PathWishes.model_validate(given)
    except ValidationError as error:
        raise typer.BadParameter("; ".join(problem["msg"] for problem in error.errors())) from error
    with session_of(context).client() as client:
        if keep is not None:
            asked = {"source": source, "known": known or [], "wishes": given, "use_progress": not from_scratch}
            show_kept(client.keep_path(keep, target, **asked), as_json)
            return
        found = client.plan_path(target, source=source, known=known or (), wishes=wishes, use_progress=not from_scratch)
    if as_json:
        print_json(found)
        return
    rows = [
        (
            step.order,
            step.concept.name,
            step.concept.difficulty,
            step.minutes,
            ", ".join(step.requires) or None,
            step.reason,
        )
        for step in found.steps
    ]
    show(table(["step", "concept", "difficulty", "minutes", "needs", "why"], rows))
    for note in found.notes:
        remark(note)
    for one in found.left_out:
        remark(f"left out: {one.concept} {one.reason}")
    for other in found.alternatives:
        presumed = ", ".join(f"{edge.target} for {edge.source}" for edge in other.presumes)
        remark(f"or {len(other.steps)} steps in {other.minutes} minutes, without {presumed}: {', '.join(other.steps)}")


def progress(
    context: typer.Context,
    concept: Annotated[str | None, typer.Argument(help="The concept; without it all of them are shown.")] = None,
    status: Annotated[
        ProgressStatus | None, typer.Option(help="Where you stand with it.", case_sensitive=False)
    ] = None,
    percent: Annotated[int | None, typer.Option(min=0, max=100, help="How much of it you have learned.")] = None,
    minutes: Annotated[int, typer.Option(min=0, help="Time spent since the last time; adds up.")] = 0,
    notes: Annotated[str | None, typer.Option(help="What you want to remember.")] = None,
    forget: Annotated[bool, typer.Option("--forget", help="Remove what you have said about it.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say what you have learned, or show it; `aiw path` leaves it out."""
    if concept is None and (status is not None or forget):
        raise typer.BadParameter("name the concept.")
    if concept is not None and (status is None) != forget:
        raise typer.BadParameter("say --status, or --forget.")
    with session_of(context).client() as client:
        if concept is not None and forget:
            client.forget_progress(concept)
            remark(f"forgotten: {concept}")
            return
        if concept is not None and status is not None:
            said = {"percent": percent, "notes": notes}
            known: dict[str, Any] = {name: value for name, value in said.items() if value is not None}
            found = [client.set_progress(concept, status, minutes=minutes, **known)]
        else:
            found = client.progress()
    if as_json:
        print_json([one.model_dump(mode="json") for one in found])
        return
    rows = [(one.concept, one.status.value, one.percent, one.minutes_spent, one.notes or None) for one in found]
    show(table(["concept", "status", "percent", "minutes", "notes"], rows))


def _excerpt(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _EXCERPT else line[:_EXCERPT].rsplit(" ", 1)[0] + " …"
