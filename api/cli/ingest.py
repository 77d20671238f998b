"""`aiw ingest`: hand the user's own files and pages in, and follow them until they are ready."""

from __future__ import annotations

import fnmatch
import glob as globbing
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import unquote, urlsplit

import typer

from api.cli.output import FAILED, USAGE, AsJson, print_json, progress_console, remark, show, table
from api.cli.session import session_of
from resources.content.model import DocumentStatus, MediaType, document_id
from resources.content.sniff import EXTENSIONS
from resources.errors import ConflictError, InvalidInputError, LimitExceededError, NotFoundError, UpstreamError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rich.progress import Progress

    from api.client import ApiClient

READABLE_SUFFIXES = frozenset(name for name, kind in EXTENSIONS.items() if kind is not MediaType.CODE)
"""Of folders. Program code is read too, but whoever names a folder seldom means it: `--code` asks for it."""

IGNORED_FOLDERS = frozenset({"node_modules", "__pycache__", "venv"})
_UPLOADS_AT_ONCE = 4
_LOOK_EVERY = 0.25
_LOOKS_AT_ONCE = 16
_FETCH_TIMEOUT = 30.0
pause = time.sleep
_FINAL = frozenset({DocumentStatus.READY, DocumentStatus.REJECTED})


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file or page. `outcome` is received, unchanged, duplicate, rejected or failed."""

    item: str
    outcome: str
    document_id: str | None = None
    status: DocumentStatus | None = None
    code: str | None = None
    reason: str | None = None

    @property
    def good(self) -> bool:
        return self.outcome not in {"rejected", "failed"}


def ingest(
    context: typer.Context,
    sources: Annotated[list[str], typer.Argument(help="Files, folders, glob patterns or http(s) addresses.")],
    recursive: Annotated[bool, typer.Option(help="Look into the folders of folders, too.")] = True,
    glob: Annotated[
        str | None, typer.Option(help="Of folders, take only files with names like this, e.g. '*.md'.")
    ] = None,
    code: Annotated[bool, typer.Option("--code", help="Of folders, take program code, too.")] = False,
    tag: Annotated[list[str] | None, typer.Option(help="Tag for each document; may be repeated.")] = None,
    subject: Annotated[str | None, typer.Option(help="The concept that the documents are about.")] = None,
    wait: Annotated[bool, typer.Option(help="Follow the documents until they are ready or rejected.")] = True,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait while nothing moves on.")] = 120.0,
    as_json: AsJson = False,
) -> None:
    """Hand documents in: files, folders, glob patterns or web pages."""
    items = list(
        dict.fromkeys(item for source in sources for item in expand(source, recursive=recursive, glob=glob, code=code))
    )
    if not items:
        remark(f"nothing to ingest: no readable document in {', '.join(map(repr, sources))}.")
        raise typer.Exit(USAGE)
    session = session_of(context)
    largest, tenant = session.settings.content.max_bytes, session.settings.tenant
    with session.client() as client, document_progress() as progress:
        client.health()

        def hand_in(item: str) -> Outcome:
            return _hand_in(client, item, largest=largest, tags=tag or (), subject=subject, tenant=tenant)

        outcomes: list[Outcome] = []
        try:
            outcomes.extend(_uploaded(items, hand_in, progress))
            if wait:
                outcomes = _follow(client, outcomes, progress, timeout=timeout)
        except KeyboardInterrupt:
            remark(
                f"{len(outcomes)} of {len(items)} are handed in, and are worked on without this command: see "
                "`aiw documents list`. The same command again takes nothing twice."
            )
            raise
    _report(outcomes, as_json=as_json)
    if not all(outcome.good for outcome in outcomes):
        raise typer.Exit(FAILED)


def expand(source: str, *, recursive: bool = True, glob: str | None = None, code: bool = False) -> Iterator[str]:
    """The files and addresses that `source` names, in order.

    Of a folder only files of readable types; nothing hidden, nothing in folders that hold no documents of the user's. What
    is named itself is always taken. Raises NotFoundError when `source` names nothing.
    """
    if urlsplit(source).scheme in {"http", "https"}:
        yield source
        return
    path = Path(source).expanduser()
    if path.is_file():
        yield str(path)
    elif path.is_dir():
        yield from _walk(
            path, recursive=recursive, glob=glob, suffixes=frozenset(EXTENSIONS) if code else READABLE_SUFFIXES
        )
    elif globbing.has_magic(source):
        for found in sorted(globbing.glob(str(path), recursive=True)):  # noqa: PTH207 - Path.glob takes no absolute pattern
            if Path(found).is_file():
                yield found
    else:
        raise NotFoundError(f"There is no file or folder {source!r}.", code="source_not_found")


def _walk(folder: Path, *, recursive: bool, glob: str | None, suffixes: frozenset[str]) -> Iterator[str]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            if recursive and not path.is_symlink() and path.name not in IGNORED_FOLDERS:
                yield from _walk(path, recursive=recursive, glob=glob, suffixes=suffixes)
        elif path.is_file() and (fnmatch.fnmatch(path.name, glob) if glob else path.suffix.lower() in suffixes):
            yield str(path)


def _uploaded(items: Sequence[str], hand_in: Callable[[str], Outcome], progress: Progress) -> Iterator[Outcome]:
    task = progress.add_task("handing in", total=len(items))
    with ThreadPoolExecutor(_UPLOADS_AT_ONCE, thread_name_prefix="ingest") as threads:
        try:
            for outcome in threads.map(hand_in, items):
                progress.advance(task)
                yield outcome
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            raise


def _hand_in(
    client: ApiClient, item: str, *, largest: int, tags: Sequence[str], subject: str | None, tenant: str
) -> Outcome:
    try:
        content, name, uri, media_type = _fetch(item, largest) if "://" in item else _read(Path(item), largest)
    except LimitExceededError as error:
        _record_refusal(client, item, error, tenant=tenant)
        return Outcome(item, "rejected", code=error.code, reason=error.message)
    except (UpstreamError, NotFoundError) as error:
        return Outcome(item, "failed", code=error.code, reason=error.message)
    try:
        accepted = client.upload(content, name=name, uri=uri, media_type=media_type, tags=tags, subject=subject)
    except (InvalidInputError, LimitExceededError) as error:
        return Outcome(item, "rejected", code=error.code, reason=error.message)
    except ConflictError as error:
        twin = error.details.get("document_id")
        return Outcome(item, "duplicate", document_id=twin, code=error.code, reason=error.message)
    except (UpstreamError, NotFoundError) as error:
        return Outcome(item, "failed", code=error.code, reason=error.message)
    return Outcome(item, accepted.outcome, document_id=accepted.document.id, status=accepted.document.status)


def _record_refusal(client: ApiClient, item: str, error: LimitExceededError, *, tenant: str) -> None:
    """What is too large is not sent, but its refusal is on record as any other's."""
    uri = item if "://" in item else Path(item).resolve().as_uri()
    identity = document_id(uri, tenant=tenant)
    fact = {"document_id": identity, "code": error.code, "reason": error.message, "uri": uri}
    client.append_event("document.rejected", fact, stream=f"document/{identity}")


def _read(path: Path, largest: int) -> tuple[bytes, str, str, str | None]:
    try:
        size = path.stat().st_size
        if size > largest:
            raise _too_large(str(path), largest)
        return path.read_bytes(), path.name, path.resolve().as_uri(), None
    except OSError as error:
        message = f"{str(path)!r} cannot be read: {error.strerror}."
        raise NotFoundError(message, code="source_unreadable") from error


def _fetch(address: str, largest: int) -> tuple[bytes, str, str, str | None]:
    import httpx

    content = bytearray()
    try:
        with httpx.stream("GET", address, follow_redirects=True, timeout=_FETCH_TIMEOUT) as answer:
            if answer.is_error:
                raise UpstreamError(f"{address!r} answered {answer.status_code}.", code="source_refused")
            for part in answer.iter_bytes():
                content += part
                if len(content) > largest:
                    raise _too_large(address, largest)
            media_type = answer.headers.get("Content-Type", "").partition(";")[0].strip() or None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise UpstreamError(f"{address!r} cannot be fetched: {error}.", code="source_unreachable") from error
    parts = urlsplit(address)
    name = unquote(PurePosixPath(parts.path).name) or parts.hostname or address
    return bytes(content), name[:255], address, media_type


def _too_large(item: str, largest: int) -> LimitExceededError:
    return LimitExceededError(f"{item!r} has more than {largest} bytes.", code="CONTENT_TOO_LARGE")


def _follow(client: ApiClient, outcomes: Sequence[Outcome], progress: Progress, *, timeout: float) -> list[Outcome]:
    """The outcomes once each document stands where it stays, or nothing has moved for `timeout` seconds."""
    latest = {outcome.document_id: outcome for outcome in outcomes if outcome.document_id and outcome.status}
    pending = [key for key, outcome in latest.items() if outcome.status not in _FINAL]
    task = progress.add_task("understanding", total=len(pending))
    moved_at = time.monotonic()
    while pending and time.monotonic() - moved_at < timeout:
        for key in pending[:_LOOKS_AT_ONCE]:
            document = client.document(key)
            if document.status == latest[key].status:
                continue
            moved_at = time.monotonic()
            latest[key] = replace(latest[key], status=document.status)
            if document.status in _FINAL:
                progress.advance(task)
            if document.status is DocumentStatus.REJECTED:
                latest[key] = replace(
                    latest[key],
                    outcome="rejected",
                    code=document.rejection_code,
                    reason=document.rejection_reason,
                )
        still = [key for key in pending if latest[key].status not in _FINAL]
        # Those that were looked at go to the end, so that a stuck one does not hide the others.
        looked_at = [key for key in pending[:_LOOKS_AT_ONCE] if key in still]
        pending = [key for key in still if key not in looked_at] + looked_at
        if pending:
            pause(_LOOK_EVERY)
    for key in pending:
        latest[key] = replace(
            latest[key],
            outcome="failed",
            code="TIMEOUT",
            reason=f"not ready, and nothing moved for {timeout:g} s; its run in the Dagster UI says why",
        )
    return [latest[outcome.document_id or ""] if outcome.status else outcome for outcome in outcomes]


def document_progress() -> Progress:
    """A progress bar on standard error; silent where that is no terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = progress_console()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _report(outcomes: Sequence[Outcome], *, as_json: bool) -> None:
    counts = dict(sorted(Counter(outcome.outcome for outcome in outcomes).items()))
    if as_json:
        documents: list[dict[str, Any]] = [asdict(outcome) for outcome in outcomes]
        print_json({"counts": counts, "documents": documents})
        return
    rows = [(item.outcome, item.status, item.item, item.document_id, item.reason) for item in outcomes]
    show(table(["outcome", "status", "source", "document", "reason"], rows))
    remark(", ".join(f"{count} {outcome}" for outcome, count in counts.items()))
