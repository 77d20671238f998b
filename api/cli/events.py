"""The event store, by hand."""

from __future__ import annotations

import json
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli import dead_letters, event_routes, projections, replays
from api.cli.output import AsJson, Commands, print_json, progress_console, show, table
from api.cli.session import session_of
from resources.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

app = typer.Typer(cls=Commands, help="Append events, read them, and see what follows from them.", no_args_is_help=True)
app.add_typer(projections.app, name="projections")
app.add_typer(event_routes.app, name="route")
app.add_typer(replays.app, name="replay")
app.add_typer(dead_letters.app, name="dlq")

_PAGE = 1000

Types = Annotated[
    list[str] | None,
    typer.Option("--type", help="Only events of this type, or pattern like 'document.*'; may be repeated."),
]
Tenant = Annotated[str | None, typer.Option(help="Name of the tenant. [default: that of the settings]")]


@app.command("append")
def append(
    context: typer.Context,
    type: Annotated[str, typer.Argument(help="Type of the event, such as run.started.")],
    data: Annotated[str, typer.Argument(help="Its data, a JSON object.")] = "{}",
    stream: Annotated[str | None, typer.Option(help="TYPE/ID of the stream. [default: one of its own]")] = None,
    event_id: Annotated[str | None, typer.Option(help="A UUID that makes repeating the command safe.")] = None,
    expected_version: Annotated[
        int | None, typer.Option(min=0, help="Refuse unless the stream is at this version; 0 = no stream yet.")
    ] = None,
    tags: Annotated[list[str] | None, typer.Option("--tag", help="NAME=VALUE; may be repeated.")] = None,
    as_json: AsJson = False,
) -> None:
    """Append one event."""
    given = {"event_id": event_id, "expected_version": expected_version}
    fields: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if tags:
        fields["metadata"] = {"tags": dict(_pair(tag) for tag in tags)}
    with session_of(context).client() as client:
        stored = client.append_event(type, _object(data), stream=stream, **fields)
    if as_json:
        print_json(stored)
    else:
        show(f"{stored.type} stored at position {stored.position} ({stored.stream}, version {stored.version})")


@app.command("read")
def read(
    context: typer.Context,
    after: Annotated[int, typer.Option(min=0, help="Only events with a position above this one.")] = 0,
    types: Types = None,
    stream: Annotated[str | None, typer.Option(help="Only this stream, TYPE/ID.")] = None,
    stream_type: Annotated[str | None, typer.Option(help="Only streams of this type.")] = None,
    tags: Annotated[
        list[str] | None, typer.Option("--tag", help="NAME=VALUE that must be there; may be repeated.")
    ] = None,
    correlation_id: Annotated[str | None, typer.Option(help="Only events of this story.")] = None,
    up_to_version: Annotated[int | None, typer.Option(min=1, help="With --stream: as it was at this version.")] = None,
    up_to_time: Annotated[
        str | None, typer.Option(help="With --stream: as it was then, such as 2026-01-01T12:00Z.")
    ] = None,
    backwards: Annotated[bool, typer.Option("--backwards", help="With --stream: newest first.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=_PAGE, help="Events to show at most.")] = 100,
    as_json: AsJson = False,
) -> None:
    """Read events in order of position, or one stream in order of version."""
    of_all = {"--after": after or None, "--type": types, "--stream-type": stream_type, "--tag": tags}
    of_all["--correlation-id"] = correlation_id
    of_one = {"--up-to-version": up_to_version, "--up-to-time": up_to_time, "--backwards": backwards or None}
    wrong = [name for name, value in (of_one if stream is None else of_all).items() if value is not None]
    if wrong:
        raise typer.BadParameter(f"{', '.join(wrong)} {'needs' if stream is None else 'cannot be used with'} --stream")
    with session_of(context).client() as client:
        if stream is not None:
            found = client.read_stream(
                stream, up_to_version=up_to_version, up_to_time=up_to_time, backwards=backwards, limit=limit
            )
            events, answer = found.events, found.model_dump(mode="json")
        else:
            page = client.read_events(
                after=after,
                types=types or (),
                stream_type=stream_type,
                tags=tags or (),
                correlation_id=correlation_id,
                limit=limit,
            )
            events, answer = page.events, page.model_dump(mode="json")
    if as_json:
        print_json(answer)
        return
    rows = [
        (
            event.position,
            event.recorded_at.isoformat(timespec="milliseconds"),
            event.type,
            event.stream,
            event.version,
            _line(event.data),
        )
        for event in events
    ]
    show(table(["position", "recorded", "type", "stream", "version", "data"], rows))


@app.command("show")
def show_aggregate(
    context: typer.Context,
    stream: Annotated[str, typer.Argument(help="TYPE/ID of the aggregate, such as workflow/w-1.")],
    at_version: Annotated[int | None, typer.Option(min=1, help="As it was at this version.")] = None,
    at_position: Annotated[int | None, typer.Option(min=1, help="As it was at this global position.")] = None,
    at_time: Annotated[str | None, typer.Option(help="As it was then, such as 2026-01-01T12:00Z.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show what a stream's events add up to, now or at a moment of the past."""
    with session_of(context).client() as client:
        found = client.aggregate(stream, at_version=at_version, at_position=at_position, at_time=at_time)
    if as_json:
        print_json(found)
        return
    rows = [(name, _line(value) if isinstance(value, dict | list) else value) for name, value in found.state.items()]
    show(table(["field", "value"], rows, title=f"{found.stream}, version {found.version}"))


@app.command("tail")
def tail(
    context: typer.Context,
    after: Annotated[int | None, typer.Option(min=0, help="Begin after this position. [default: now]")] = None,
    types: Types = None,
    count: Annotated[int | None, typer.Option(min=1, help="End after this many events. [default: never]")] = None,
) -> None:
    """Follow new events, one JSON object a line, until interrupted."""
    with session_of(context).client() as client, closing(client.tail(after=after, types=types or ())) as events:
        for event in islice(events, count):
            typer.echo(event.model_dump_json())


@app.command("stats")
def stats(context: typer.Context, as_json: AsJson = False) -> None:
    """Count events by type, and show how far those who work them off are."""
    with session_of(context).client() as client:
        found, subscriptions = client.event_statistics(), client.subscriptions()
        models = client.projections()
    if as_json:
        lag = {"subscriptions": subscriptions, "projections": models}
        behind = {kind: {one.name: one.lag.model_dump() for one in ones} for kind, ones in lag.items()}  # type: ignore[attr-defined]  # both have a name and a lag
        print_json(found.model_dump(mode="json") | {"lag": behind})
        return
    title = (
        f"{found.events:,} events in {found.streams:,} streams; {found.bytes / 1e6:,.1f} MB with those of all tenants"
    )
    rows = [
        (one.type, one.events, one.last_position, one.last_recorded_at.isoformat("T", "seconds")) for one in found.types
    ]
    show(table(["type", "events", "last position", "last recorded"], rows, title=title))
    lags = [("subscription", one.name, one.lag.events, f"{one.lag.seconds:.1f}") for one in subscriptions]
    lags += [("projection", one.name, one.lag.events, f"{one.lag.seconds:.1f}") for one in models]
    show(table(["who", "name", "events behind", "seconds behind"], lags))


@app.command("export")
def export(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="Folder to write to; created, and must be empty.")],
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Write a tenant's events into a folder: one JSON object a line, and a manifest that tells whether all are there."""
    from resources.database.postgres import Database
    from resources.events.postgres import PostgresEventStore
    from resources.events.transfer import export_events

    session = session_of(context)
    name = tenant or session.settings.tenant
    with (
        closing(Database(session.database_url(), application_name="aiw-export")) as database,
        closing(PostgresEventStore(database)) as store,
        _counting("exporting") as count,
    ):
        manifest = export_events(store, folder, tenant=name, progress=count)
    if as_json:
        import msgspec

        print_json(msgspec.to_builtins(manifest))
    else:
        show(f"{manifest.events} events of {name!r} written to {folder}")


@app.command("import")
def import_(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="Folder that an export has written.")],
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Write an export into a tenant of this platform. Safe to repeat, also after it was interrupted."""
    from resources.database.postgres import Database
    from resources.events.postgres import PostgresEventStore
    from resources.events.transfer import import_events

    session = session_of(context)
    name = tenant or session.settings.tenant
    with (
        closing(Database(session.database_url(), application_name="aiw-import")) as database,
        closing(PostgresEventStore(database)) as store,
        _counting("importing") as count,
    ):
        new = import_events(store, folder, tenant=name, progress=count)
    if as_json:
        print_json({"tenant": name, "new": new})
    else:
        show(f"{new} new events imported into {name!r}")


@contextmanager
def _counting(what: str) -> Iterator[Callable[[int], None]]:
    """A line that tells how many events are done, on a terminal."""
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = progress_console()
    columns = (SpinnerColumn(), TextColumn("{task.description} {task.completed:,.0f} events"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done: progress.update(task, completed=done)


def _pair(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not name or not sign:
        raise typer.BadParameter(f"{text!r} is not NAME=VALUE", param_hint="--tag")
    return name, value


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise InvalidInputError(f"The data is not valid JSON: {error}.", code="malformed_json") from error
    if not isinstance(value, dict):
        raise InvalidInputError(f"The data must be a JSON object, not {text!r}.", code="malformed_json")
    return value


def _line(data: Any) -> str:
    return json.dumps(data, ensure_ascii=False)
