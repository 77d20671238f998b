"""`aiw analyse`: what a file is about, for whom it is, and what would make it better. By rule, or by a model."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.output import FAILED, USAGE, AsJson, print_json, remark, show, table
from api.cli.session import session_of
from resources.errors import InvalidInputError, LimitExceededError, NotFoundError

if TYPE_CHECKING:
    from api.client import ApiClient
    from api.content import JobOut
    from resources.content.model import Analysis

_LOOK_EVERY = 0.5
pause = time.sleep


def analyse(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="The document: HTML, PDF, DOCX, EPUB, Markdown, CSV, code and more.")],
    provider: Annotated[
        str | None, typer.Option(help="Have a model of this provider analyse it, through the platform.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="The provider's name for the model.")] = None,
    timeout: Annotated[float, typer.Option(min=1, max=300, help="Seconds for the document.")] = 60.0,
    as_json: AsJson = False,
) -> None:
    """Analyse a document: concepts, summary, quality, difficulty and more."""
    if (provider is None) != (model is None):
        remark("`--provider` and `--model` go together.")
        raise typer.Exit(USAGE)
    content = _read(file, session_of(context).settings.content.max_bytes)
    if provider is None:
        _here(content, file, timeout, as_json)
        return
    with session_of(context).client() as client:
        job = client.analyze_file(content, name=file.name, provider=provider, model=model, timeout_seconds=timeout)
        job = _followed(client, job, timeout)
    if as_json:
        print_json(job)
    elif job.result is not None:
        _show_job(job)
    for problem in job.errors:
        remark(f"{problem.code}: {problem.message}")
    if job.status not in {"completed", "partial"}:
        raise typer.Exit(FAILED)


def _read(file: Path, largest: int) -> bytes:
    """The bytes. What is too large is not even read."""
    try:
        size = file.stat().st_size
        content = file.read_bytes() if size <= largest else b""
    except OSError as error:
        raise NotFoundError(f"{str(file)!r} cannot be read: {error.strerror}.", code="source_unreadable") from error
    if size > largest:
        raise LimitExceededError(
            f"{str(file)!r} has {size:,} bytes; {largest:,} are accepted.", code="CONTENT_TOO_LARGE"
        )
    return content


def _here(content: bytes, file: Path, timeout: float, as_json: bool) -> None:
    """By rule, in this process: nothing needs to run for it."""
    from resources.content.analysers import analyse as by_rule
    from resources.content.parse import parse_document
    from resources.content.parsers.base import ParseLimits

    try:
        parsed = parse_document(content, name=file.name, limits=ParseLimits(timeout=timeout))
    except (InvalidInputError, LimitExceededError) as error:
        remark(f"{error.code}: {error.message}")
        raise typer.Exit(FAILED) from error
    found = by_rule(parsed)
    if as_json:
        print_json(found)
        return
    _show(
        [
            ("title", parsed.title),
            ("format", parsed.media_type.value),
            ("structure", f"{len(parsed.sections)} sections, {len(parsed.links)} links, {len(parsed.tables)} tables"),
            *_rows(found),
        ]
    )


def _followed(client: ApiClient, job: JobOut, timeout: float) -> JobOut:
    until = time.monotonic() + 2 * timeout
    while not job.status.ended and time.monotonic() < until:
        pause(_LOOK_EVERY)
        job = client.analysis(job.job_id)
    return job


def _show_job(job: JobOut) -> None:
    result = job.result
    assert result is not None
    _show(
        [
            ("title", result.content_metadata.title),
            ("format", result.content_metadata.content_type.value),
            ("by", result.model or "rules"),
            ("notice", result.notice),
            ("summary", result.summary),
            ("concepts", _listed([term.text for term in result.concepts or ()])),
            ("quality", None if result.quality_metrics is None else f"{result.quality_metrics.score:.2f}"),
            ("difficulty", None if result.difficulty_analysis is None else result.difficulty_analysis.level),
        ]
    )


def _rows(found: Analysis) -> list[tuple[str, str | None]]:
    tone = found.sentiment
    return [
        ("language", f"{found.language} ({found.language_confidence:.0%})"),
        (
            "words",
            f"{found.words:,} in {found.sentences:,} sentences, {max(1, round(found.reading_seconds / 60))} min to read",
        ),
        ("summary", found.summary),
        ("concepts", _listed([term.text for term in found.concepts[:10]])),
        ("keywords", _listed([term.text for term in found.keywords[:10]])),
        ("entities", _listed([f"{item.text} ({item.kind})" for item in found.entities if item.kind != "concept"][:10])),
        ("objectives", "\n".join(item.text for item in found.objectives) or None),
        ("needs", _listed(found.prerequisites)),
        ("difficulty", f"{found.difficulty:.2f} ({found.difficulty_level})"),
        ("quality", f"{found.quality:.2f}"),
        ("to mend", "\n".join(f"{issue.message} {issue.suggestion}" for issue in found.issues) or None),
        ("tone", None if tone is None else f"{tone.label} ({tone.score:+.2f})"),
    ]


def _listed(texts: list[str] | tuple[str, ...]) -> str | None:
    return ", ".join(texts) or None


def _show(rows: list[tuple[str, str | None]]) -> None:
    show(table(["", "document"], [row for row in rows if row[1]]))
