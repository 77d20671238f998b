"""The event store, by hand."""

from __future__ import annotations

import json
import time
from typing import Annotated, Any

import typer

from api.cli.output import AsJson, Commands, print_json, show, table
from api.cli.session import session_of
from resources.errors import InvalidInputError

app = typer.Typer(cls=Commands, help="Append events and read them.", no_args_is_help=True)

_PAGE = 1000

Types = Annotated[list[str] | None, typer.Option("--type", help="Only events of this type; may be repeated.")]


@app.command("append")
def append(
    context: typer.Context,
    type: Annotated[str, typer.Argument(help="Type of the event, such as order.placed.")],
    data: Annotated[str, typer.Argument(help="Its data, a JSON object.")] = "{}",
    stream: Annotated[str | None, typer.Option(help="TYPE/ID of the stream. [default: one of its own]")] = None,
    event_id: Annotated[str | None, typer.Option(help="A UUID that makes repeating the command safe.")] = None,
    as_json: AsJson = False,
) -> None:
    """Append one event."""
    fields = {} if event_id is None else {"event_id": event_id}
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
    limit: Annotated[int, typer.Option(min=1, max=_PAGE, help="Events to show at most.")] = 100,
    as_json: AsJson = False,
) -> None:
    """Read events in order of position."""
    with session_of(context).client() as client:
        page = client.read_events(after=after, types=types or (), limit=limit)
    if as_json:
        print_json(page)
        return
    rows = [
        (
            event.position,
            event.recorded_at.isoformat(timespec="milliseconds"),
            event.type,
            event.stream,
            _line(event.data),
        )
        for event in page.events
    ]
    show(table(["position", "recorded", "type", "stream", "data"], rows))


@app.command("tail")
def tail(
    context: typer.Context,
    after: Annotated[int | None, typer.Option(min=0, help="Begin after this position. [default: now]")] = None,
    types: Types = None,
    interval: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks.")] = 1.0,
    count: Annotated[int | None, typer.Option(min=1, help="End after this many events. [default: never]")] = None,
) -> None:
    """Follow new events, one JSON object a line, until interrupted."""
    remaining = count
    with session_of(context).client() as client:
        position = client.read_events(limit=1).head if after is None else after
        while remaining is None or remaining > 0:
            page = client.read_events(after=position, types=types or (), limit=min(remaining or _PAGE, _PAGE))
            for event in page.events:
                typer.echo(event.model_dump_json())
            position = page.next_after
            remaining = None if remaining is None else remaining - len(page.events)
            if not page.events:
                time.sleep(interval)


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise InvalidInputError(f"The data is not valid JSON: {error}.", code="malformed_json") from error
    if not isinstance(value, dict):
        raise InvalidInputError(f"The data must be a JSON object, not {text!r}.", code="malformed_json")
    return value


def _line(data: dict[str, Any]) -> str:
    return json.dumps(data, ensure_ascii=False)
