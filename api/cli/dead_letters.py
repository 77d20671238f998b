"""Subscriptions, and the events that they gave up on."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from api.cli.output import AsJson, Commands, print_json, remark, show, table
from api.cli.session import session_of
from resources.errors import InvalidInputError

app = typer.Typer(
    cls=Commands, help="See subscriptions and their dead letters, and settle these.", no_args_is_help=True
)

Subscription = Annotated[str, typer.Argument(help="Name of the subscription.")]
Letter = Annotated[int, typer.Argument(min=1, help="Id of the dead letter.")]


@app.command("subscriptions")
def list_subscriptions(context: typer.Context, as_json: AsJson = False) -> None:
    """List subscriptions, with their lag and the number of their open letters."""
    with session_of(context).client() as client:
        found = client.subscriptions()
    if as_json:
        print_json([one.model_dump(mode="json") for one in found])
        return
    rows = [
        (
            one.name,
            "paused" if one.paused else "active",
            one.position,
            one.lag.events,
            f"{one.lag.seconds:.1f}",
            one.dead_letters,
        )
        for one in found
    ]
    show(table(["name", "state", "position", "behind", "seconds", "open letters"], rows))


@app.command("pause")
def pause(context: typer.Context, subscription: Subscription) -> None:
    """Deliver nothing more to a subscription, once the event at hand is done."""
    with session_of(context).client() as client:
        client.pause_subscription(subscription)
    show(f"{subscription}: paused")


@app.command("resume")
def resume(context: typer.Context, subscription: Subscription) -> None:
    """Let a subscription go on."""
    with session_of(context).client() as client:
        client.resume_subscription(subscription)
    show(f"{subscription}: active")


@app.command("list")
def list_letters(
    context: typer.Context,
    subscription: Subscription,
    status: Annotated[str | None, typer.Option(help="failed, retrying, resolved or discarded. [default: all]")] = None,
    after: Annotated[int, typer.Option(min=0, help="Only ids above this one.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Letters to show at most.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List the dead letters of a subscription."""
    with session_of(context).client() as client:
        page = client.dead_letters(subscription, status=status, after=after, limit=limit)
    if as_json:
        print_json(page)
        return
    rows = [
        (one.id, one.status, one.position, one.type, one.stream, one.attempts, one.error) for one in page.dead_letters
    ]
    show(table(["id", "status", "position", "type", "stream", "attempts", "error"], rows))
    if page.next_after is not None:
        remark(f"there are more: --after {page.next_after}")


@app.command("retry")
def retry(
    context: typer.Context,
    subscription: Subscription,
    letter: Letter,
    data: Annotated[str | None, typer.Option(help="JSON to deliver instead of the event's data.")] = None,
    as_json: AsJson = False,
) -> None:
    """Ask for one more try, with other data if some is given. The stored event stays as it is."""
    edited = None
    if data is not None:
        try:
            edited = json.loads(data)
        except ValueError as error:
            raise InvalidInputError(f"The data is not valid JSON: {error}.", code="malformed_json") from error
    with session_of(context).client() as client:
        found = client.retry_dead_letter(subscription, letter, data=edited)
    if as_json:
        print_json(found)
    else:
        show(f"letter {found.id}: {found.status}")


@app.command("discard")
def discard(context: typer.Context, subscription: Subscription, letter: Letter, as_json: AsJson = False) -> None:
    """Give a dead letter up for good. The event itself stays in its stream."""
    with session_of(context).client() as client:
        found = client.discard_dead_letter(subscription, letter)
    if as_json:
        print_json(found)
    else:
        show(f"letter {found.id}: {found.status}")
