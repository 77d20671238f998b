"""`aiw ai`: what models were asked, what it cost, and what may be spent."""

from __future__ import annotations

import sys
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer

from api.cli.output import AsJson, Commands, print_json, remark, show, table
from api.cli.session import session_of

app = typer.Typer(cls=Commands, no_args_is_help=True, help="Models: usage, budgets, prices.")
budgets = typer.Typer(cls=Commands, no_args_is_help=True, help="What may be spent, and how it stands.")
prices = typer.Typer(cls=Commands, no_args_is_help=True, help="What models cost.")
app.add_typer(budgets, name="budgets")
app.add_typer(prices, name="prices")

Days = Annotated[int, typer.Option(min=1, max=3650, help="How far back.")]


@app.command("usage")
def usage(context: typer.Context, days: Days = 30, as_json: AsJson = False) -> None:
    """Show what was used: in all, and by model, user and workflow."""
    with session_of(context).client() as client:
        found = client.get_json("/usage/summary", since=_ago(days))
    if as_json:
        print_json(found)
        return
    total = found["total"]
    show(
        f"{total['calls']} calls, {total['input_tokens']:,} + {total['output_tokens']:,} tokens, ${_money(total['cost'])} "
        f"({found['trend']}); {total['hits']} answers were recalled and saved ${_money(total['saved_cost'])}; "
        f"{total['unpriced']} calls have no known price\n"
    )
    for title, shares in (("model", "models"), ("user", "users"), ("workflow", "workflows")):
        rows = [
            (
                share["name"],
                share["calls"],
                f"${_money(share['cost'])}",
                None if share["error_rate"] is None else f"{share['error_rate']:.1%}",
                None if share["latency_ms"] is None else f"{share['latency_ms']:.0f} ms",
            )
            for share in found[shares]
        ]
        show(table([title, "calls", "cost", "failed", "mean latency"], rows))
        show("")


@app.command("eval")
def evaluate(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A golden set, as YAML or JSON.")],
    as_json: AsJson = False,
) -> None:
    """Ask a model the cases of a golden set and judge its answers. Answers that were recorded cost nothing."""
    import yaml

    from api.evaluating import evaluated

    session = session_of(context)
    results = evaluated(session.settings, session.database_url(), yaml.safe_load(file.read_text(encoding="utf-8")))
    if as_json:
        print_json([result.model_dump(mode="json") for result in results])
    else:
        rows = [
            (
                result.name,
                "passed" if result.passed else "failed",
                result.error or "; ".join(f"{one.kind}: {one.reason}" for one in result.verdicts if not one.passed),
                result.prompt_version,
                result.cost,
                result.notice,
            )
            for result in results
        ]
        show(table(["case", "result", "why", "prompt", "cost", "notice"], rows))
    if not all(result.passed for result in results):
        raise typer.Exit(1)


@app.command("calls")
def calls(
    context: typer.Context,
    run: Annotated[str | None, typer.Option(help="Only calls of this run.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List the newest calls."""
    with session_of(context).client() as client:
        found = client.get_json("/usage/calls", run_id=run, limit=limit)
    if as_json:
        print_json(found)
        return
    rows = [
        (
            one["created_at"][:19],
            f"{one['provider']}/{one['model']}",
            one["outcome"],
            one["memo"],
            None if one["usage"] is None else one["usage"]["input"] + one["usage"]["output"],
            None if one["cost"] is None else f"${_money(one['cost'])}",
            one["prompt_version"],
            one["context"].get("run_id"),
        )
        for one in found
    ]
    show(table(["at", "model", "outcome", "memo", "tokens", "cost", "prompt", "run"], rows))


@app.command("forecast")
def forecast(
    context: typer.Context,
    days: Annotated[int, typer.Option(min=1, max=366, help="Days to come.")] = 30,
    as_json: AsJson = False,
) -> None:
    """Tell what the days to come will probably cost."""
    with session_of(context).client() as client:
        found = client.get_json("/usage/forecast", days=days)
    if as_json:
        print_json(found or {})
    elif found is None:
        show("fewer than 7 of the last 30 days saw a call: nothing can be foretold")
    else:
        show(
            f"${_money(found['expected'])} in {days} days (${_money(found['per_day'])} a day, confidence "
            f"{found['confidence']:.0%}, from {found['based_on_days']} days)"
        )


@app.command("estimate")
def estimate(
    context: typer.Context,
    units: Annotated[int, typer.Argument(min=1, help="How many runs or partitions.")],
    workflow: Annotated[str | None, typer.Option(help="Runs of this workflow.")] = None,
    asset: Annotated[str | None, typer.Option(help="Partitions of this asset.")] = None,
    as_json: AsJson = False,
) -> None:
    """Tell what a run or a backfill will probably cost, from what the like has cost."""
    with session_of(context).client() as client:
        found = client.get_json("/usage/estimate", units=units, workflow=workflow, asset=asset)
    if as_json:
        print_json(found or {})
    else:
        show("nothing of the like was paid for yet" if found is None else found["text"])


@app.command("advice")
def advice(context: typer.Context, days: Days = 30, as_json: AsJson = False) -> None:
    """Tell what could cost less."""
    with session_of(context).client() as client:
        found = client.get_json("/usage/recommendations", since=_ago(days))
    if as_json:
        print_json(found)
        return
    rows = [(one["message"], None if one["saves"] is None else f"${_money(one['saves'])}") for one in found]
    show(table(["what", "saves"], rows) if rows else "nothing to say")


@app.command("report")
def report(
    context: typer.Context, month: Annotated[str, typer.Argument(help="Such as 2026-11.")], as_json: AsJson = False
) -> None:
    """Show a month beside the one before."""
    with session_of(context).client() as client:
        found = client.get_json(f"/usage/months/{month}")
    if as_json:
        print_json(found)
        return
    total = found["summary"]["total"]
    change = "" if found["change_of_cost"] is None else f", {found['change_of_cost']:+.0%} against the month before"
    show(f"{month}: {total['calls']} calls, ${_money(total['cost'])}{change}")
    for insight in found["insights"]:
        show(f"- {insight}")


@app.command("export")
def export(
    context: typer.Context,
    to: Annotated[Path, typer.Option("--to", help="File; - = standard output.")] = Path("-"),
    format: Annotated[str, typer.Option(help="csv or jsonl.")] = "csv",
    days: Days = 30,
) -> None:
    """Write every call of a period, the oldest first."""
    with session_of(context).client() as client:
        parts = client.download("/usage/export", format=format, since=_ago(days))
        if str(to) == "-":
            for part in parts:
                sys.stdout.buffer.write(part)
            sys.stdout.flush()
            return
        with to.open("wb") as file:
            for part in parts:
                file.write(part)
    remark(f"written to {to}")


@budgets.command("status")
def budget_status(context: typer.Context, as_json: AsJson = False) -> None:
    """Show how the budgets stand."""
    with session_of(context).client() as client:
        found = client.get_json("/budgets/status")
    if as_json:
        print_json(found)
        return
    rows = [
        (
            one["budget"]["budget_id"],
            f"{one['budget']['scope']} {one['subject']}",
            one["budget"]["period"],
            f"{_amount(one['spent'], one['budget'])} of {_amount(one['budget']['limit'], one['budget'])}",
            _amount(one["reserved"], one["budget"]),
            one["health"],
            "hard" if one["budget"]["hard"] else "soft",
        )
        for one in found
    ]
    show(table(["id", "of", "period", "spent", "reserved", "health", "limit"], rows))


@budgets.command("set")
def set_budget(
    context: typer.Context,
    limit: Annotated[str, typer.Argument(help="How many of the unit.")],
    unit: Annotated[str, typer.Option(help="usd, requests or tokens.")] = "usd",
    scope: Annotated[str, typer.Option(help="tenant, provider, project, user, workflow or run.")] = "tenant",
    subject: Annotated[str, typer.Option(help="Which one; * = each for itself.")] = "*",
    period: Annotated[
        str, typer.Option(help="minute or hour (requests and tokens; they slide), day, week, month, year or total.")
    ] = "month",
    soft: Annotated[bool, typer.Option("--soft", help="Tell, but refuse nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Set a budget, or change the one with the same scope, subject and period."""
    body = {"scope": scope, "subject": subject, "unit": unit, "period": period, "limit": limit, "hard": not soft}
    with session_of(context).client() as client:
        found = client.send_json("PUT", "/budgets", body)
    if as_json:
        print_json(found)
    else:
        show(
            f"{found['budget_id']}: {_amount(found['limit'], found)} a {found['period']} for {found['scope']} {found['subject']}"
        )


@budgets.command("remove")
def remove_budget(context: typer.Context, budget_id: Annotated[str, typer.Argument(help="Its id.")]) -> None:
    """Remove a budget."""
    with session_of(context).client() as client:
        client.send_json("DELETE", f"/budgets/{budget_id}", None)
    remark("removed")


@prices.command("list")
def list_prices(context: typer.Context, as_json: AsJson = False) -> None:
    """List the prices that differ from the bundled tables."""
    with session_of(context).client() as client:
        found = client.get_json("/prices")
    if as_json:
        print_json(found)
        return
    rows = [
        (
            one["version"],
            one["provider"],
            one["model"],
            one["input_mtok"],
            one["output_mtok"],
            one["effective_from"][:10],
        )
        for one in found
    ]
    show(table(["version", "provider", "model", "$ per M input", "$ per M output", "from"], rows))


@prices.command("show")
def show_price(
    context: typer.Context,
    provider: Annotated[str, typer.Argument(help="Such as openai.")],
    model: Annotated[str, typer.Argument(help="Such as gpt-4o.")],
    input: Annotated[int, typer.Option(min=0, help="Tokens.")] = 1_000_000,
    output: Annotated[int, typer.Option(min=0, help="Tokens.")] = 1_000_000,
    as_json: AsJson = False,
) -> None:
    """Tell what so many tokens cost now."""
    with session_of(context).client() as client:
        found = client.get_json("/prices/quote", provider=provider, model=model, input=input, output=output)
    if as_json:
        print_json(found)
    elif found["cost"] is None:
        show(f"nobody knows what {provider}/{model} costs; add a price with `aiw ai prices add`")
    else:
        show(f"${_money(found['cost'])} for {input:,} + {output:,} tokens ({found['price_source']})")


@prices.command("add")
def add_price(
    context: typer.Context,
    provider: Annotated[str, typer.Argument(help="Such as openai.")],
    model: Annotated[str, typer.Argument(help="The provider's name for it.")],
    input: Annotated[str, typer.Option(help="US dollars per million tokens of input.")],
    output: Annotated[str, typer.Option(help="US dollars per million tokens of output.")],
    note: Annotated[str | None, typer.Option(help="Where the price comes from.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Whose price it is; your own tenant's without it.")] = None,
    as_json: AsJson = False,
) -> None:
    """Add a price, from now on. For those who run the platform: what is spent of quotas goes by it."""
    body = {
        "provider": provider,
        "model": model,
        "input_mtok": input,
        "output_mtok": output,
        "note": note,
        "tenant": tenant,
    }
    with session_of(context).client() as client:
        found = client.send_json("POST", "/prices", body)
    if as_json:
        print_json(found)
    else:
        show(f"version {found['version']}")


def _ago(days: int) -> str:
    from datetime import UTC, datetime, timedelta

    return (datetime.now(UTC) - timedelta(days=days)).isoformat()


def _amount(text: Any, budget: dict[str, Any]) -> str:
    """In the budget's unit."""
    return f"${_money(text)}" if budget["unit"] == "usd" else f"{Decimal(str(text)):,f} {budget['unit']}"


def _money(text: Any) -> str:
    """At least two digits behind the point, and as many as it takes."""
    amount = Decimal(str(text)).normalize()
    return f"{amount:.2f}" if amount == amount.quantize(Decimal("0.01")) else f"{amount:f}"
