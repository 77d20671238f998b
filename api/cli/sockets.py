"""Realtime topics from the shell."""

from __future__ import annotations

import json
from itertools import islice
from typing import Annotated

import typer

from api.cli.output import AsJson, Commands, print_json, show
from api.cli.session import session_of
from resources.errors import InvalidInputError

app = typer.Typer(cls=Commands, help="Follow topics as it happens, and speak on them.", no_args_is_help=True)


@app.command("tail")
def tail(
    context: typer.Context,
    topics: Annotated[
        list[str], typer.Argument(help="Topics or patterns: orders.created, orders.*, runs.**, presence")
    ],
    after: Annotated[int | None, typer.Option(min=0, help="Begin after this position of the messages.")] = None,
    after_event: Annotated[int | None, typer.Option(min=0, help="Begin after this position of the events.")] = None,
    last: Annotated[bool, typer.Option("--last", help="Begin with the last value of each topic.")] = False,
    count: Annotated[int | None, typer.Option(min=1, help="End after so many.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print each as one line of JSON.")] = False,
) -> None:
    """Print what is said on topics, until Ctrl-C. A lost connection is made again, and nothing is lost or repeated."""
    positions = {"messages": after, "events": after_event}
    given = {log: position for log, position in positions.items() if position is not None}
    with session_of(context).socket() as client:
        for message in islice(client.follow(topics, after=given, last=last), count):
            if as_json:
                typer.echo(json.dumps(message))
                continue
            content = message.get("payload", message.get("status"))
            where = message.get("topic") or message.get("user_id")
            show(f"{message.get('position') or '-'}  {where}  {json.dumps(content)}")


@app.command("send")
def send(
    context: typer.Context,
    topic: Annotated[str, typer.Argument(help="Dotted name, such as orders.created.")],
    content: Annotated[str, typer.Argument(metavar="JSON", help='Such as {"n": 1}, or "text".')],
    as_json: AsJson = False,
) -> None:
    """Say something on a topic; prints its position."""
    try:
        value = json.loads(content)
    except ValueError as error:
        raise InvalidInputError(f"{content[:100]!r} is not JSON: {error}.", code="malformed_json") from error
    with session_of(context).socket() as client:
        position = client.publish(topic, value)
    if as_json:
        print_json({"topic": topic, "position": position})
    else:
        typer.echo(position)
