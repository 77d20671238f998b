"""`aiw workflow`: from a file to a run. What needs no platform (validate, graph, schema) works without one."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.output import FAILED, AsJson, Commands, print_json, progress_console, remark, show, table
from api.cli.session import session_of
from resources.errors import InvalidInputError, NotFoundError

if TYPE_CHECKING:
    from rich.table import Table

    from api.client import ApiClient
    from api.workflows.schemas import ExecutionOut, WorkflowOut
    from resources.workflows.graph import CheckedWorkflow
    from resources.workflows.spec import WorkflowSpec

app = typer.Typer(
    cls=Commands, no_args_is_help=True, help="Workflows: described in a file, published without a deploy, run at once."
)

LOOK_SECONDS = 0.2
_COLOURS = {"completed": "green", "failed": "red", "running": "cyan", "retrying": "yellow", "skipped": "dim"}

File = Annotated[Path, typer.Argument(help="The workflow in YAML or JSON; - = standard input.")]
Name = Annotated[str, typer.Argument(help="Name of the workflow.")]
RunId = Annotated[str, typer.Argument(help="Id of the run.")]
Revision = Annotated[int | None, typer.Option(min=0, help="[default: the newest; 0: the platform's own]")]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Follow the run to its end, and end as it does.")]


@app.command("validate")
def validate(
    files: Annotated[list[Path], typer.Argument(help="Workflows in YAML or JSON; - = standard input.")],
    as_json: AsJson = False,
) -> None:
    """Say everything that is wrong with workflows, each with its place. Ends with 1 if anything is."""
    results = []
    for file in files:
        try:
            spec = _checked(file).spec
            results.append(
                {"file": str(file), "valid": True, "name": spec.name, "nodes": len(spec.nodes), "errors": []}
            )
        except InvalidInputError as error:
            results.append({"file": str(file), "valid": False, "errors": [_problem(one) for one in error.problems]})
            if not as_json:
                typer.echo(f"{file}: {error.message if not error.problems else 'is not valid:'}", err=True)
                for problem in error.problems:
                    typer.echo(f"  {problem}", err=True)
    if as_json:
        print_json(results)
    else:
        for one in results:
            if one["valid"]:
                show(f"{one['file']}: the workflow {one['name']!r} with {one['nodes']} nodes is valid")
    if not all(one["valid"] for one in results):
        raise typer.Exit(FAILED)


@app.command("publish")
def publish(
    context: typer.Context,
    file: File,
    note: Annotated[str | None, typer.Option(help="Why it changed.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only let the platform check it.")] = False,
    as_json: AsJson = False,
) -> None:
    """Store a new revision, which can be run at once. The same text again changes nothing."""
    with session_of(context).client() as client:
        found = client.publish_workflow(_text(file), note=note, dry_run=dry_run)
    if as_json:
        print_json(found)
    elif dry_run:
        show(f"{found['name']} is valid" + ("" if found["would_create"] else ", and published already"))
    else:
        show(f"{found['name']} revision {found['revision']}" + ("" if found["created"] else ": nothing has changed"))


@app.command("list")
def list_workflows(context: typer.Context, as_json: AsJson = False) -> None:
    """List the workflows."""
    with session_of(context).client() as client:
        found = client.workflows()
    if as_json:
        print_json([one.model_dump(mode="json") for one in found])
        return
    rows = [(one.name, _revision(one), one.nodes, ", ".join(one.triggers), one.description) for one in found]
    show(table(["name", "revision", "nodes", "triggers", "description"], rows))


@app.command("show")
def show_workflow(context: typer.Context, name: Name, revision: Revision = None, as_json: AsJson = False) -> None:
    """Show a workflow as YAML, ready to be changed and published again."""
    import yaml

    with session_of(context).client() as client:
        found = client.workflow(name, revision=revision)
    if as_json:
        print_json(found)
        return
    assert found.spec is not None
    typer.echo(f"# {found.name} revision {_revision(found)}")
    typer.echo(yaml.safe_dump(found.spec, sort_keys=False, allow_unicode=True, width=120).rstrip())


@app.command("versions")
def versions(context: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """List the revisions of a workflow, the newest first."""
    with session_of(context).client() as client:
        found = client.workflow_versions(name)
    if as_json:
        print_json([one.model_dump(mode="json") for one in found])
        return
    rows = [(one.revision, one.published_at, one.published_by, one.nodes, one.sha256[:12], one.note) for one in found]
    show(table(["revision", "published", "by", "nodes", "sha256", "note"], rows))


@app.command("diff")
def diff(
    context: typer.Context,
    name: Name,
    one: Annotated[int, typer.Argument(min=0, help="The older revision.")],
    other: Annotated[int | None, typer.Argument(min=0, help="[default: the newest]")] = None,
    as_json: AsJson = False,
) -> None:
    """Show what changed between two revisions."""
    with session_of(context).client() as client:
        found = client.workflow_diff(name, one, other)
    if as_json:
        print_json(found)
        return
    signs = {"added": "+", "removed": "-", "changed": "~"}
    changes = [*found.nodes, *found.edges, *found.inputs, *found.outputs, *found.others]
    for change in changes:
        values = {"added": f"{change.after!r}", "removed": f"{change.before!r}"}
        show(f"{signs[change.kind]} {change.path}: " + values.get(change.kind, f"{change.before!r} → {change.after!r}"))
    if not changes:
        show("no difference")


@app.command("graph")
def graph(
    context: typer.Context,
    workflow: Annotated[str, typer.Argument(help="A file, or the name of a published or bundled workflow.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write to this file: .svg, .png or .mmd.")
    ] = None,
    revision: Revision = None,
) -> None:
    """Draw a workflow: as Mermaid on standard output, or as SVG or PNG into a file. A file needs no platform."""
    drawing = {".svg": "svg", ".png": "png"}.get(output.suffix if output else "", "mermaid")
    if Path(workflow).is_file() or workflow == "-":
        content = _drawn(_checked(Path(workflow)), drawing)
    elif workflow.endswith((".yaml", ".yml", ".json")):
        raise NotFoundError(f"There is no file {workflow!r}.", code="file_not_found")
    else:
        with session_of(context).client() as client:
            content = client.workflow_graph(workflow, format=drawing, revision=revision)
    if output is None:
        typer.echo(content.decode(), nl=False)
    else:
        output.write_bytes(content)
        show(f"wrote {output}")


@app.command("schema")
def schema(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="Inputs of this workflow. [default: workflow files]")] = None,
) -> None:
    """Print the JSON Schema with which editors complete and check workflow files, or that of a workflow's inputs."""
    from assets.nodes import NODES
    from resources.workflows.schema import inputs_json_schema, json_schema

    if name is None:
        print_json(json_schema(NODES))
        return
    from resources.workflows.spec import WorkflowSpec

    with session_of(context).client() as client:
        print_json(inputs_json_schema(WorkflowSpec.model_validate(client.workflow(name).spec)))


@app.command("run")
def run(
    context: typer.Context,
    name: Name,
    given: Annotated[
        list[str] | None, typer.Option("--input", "-i", help="An input, as name=value; JSON values are understood.")
    ] = None,
    inputs: Annotated[Path | None, typer.Option(help="A JSON or YAML file of inputs; - = standard input.")] = None,
    revision: Revision = None,
    key: Annotated[str | None, typer.Option(help="The same key again starts nothing anew.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="A tag of the run, as name=value.")] = None,
    wait: Wait = True,
    as_json: AsJson = False,
) -> None:
    """Run a workflow. Ends with 0 if it was completed, with 1 if not."""
    values = {**(_mapping(inputs) if inputs is not None else {}), **pairs(given)}
    tags = {one: str(value) for one, value in pairs(tag, plain=True).items()}
    with session_of(context).client() as client:
        started = client.run_workflow(name, values, revision=revision, key=key, tags=tags)
        if not wait:
            if as_json:
                print_json(started)
            else:
                show(started.run_id)
            return
        _end(client, started.run_id, as_json=as_json)


@app.command("status")
def status(
    context: typer.Context,
    run_id: Annotated[str | None, typer.Argument(help="Id of the run. [default: the newest runs]")] = None,
    workflow: Annotated[str | None, typer.Option(help="Of the newest runs, only those of this workflow.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="Runs to show at most.")] = 20,
    wait: Annotated[bool, typer.Option("--wait", help="Follow the run to its end, and end as it does.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show how far a run is, node by node; or list the newest runs."""
    with session_of(context).client() as client:
        if run_id is None:
            page = client.executions(workflow=workflow, limit=limit)
            if as_json:
                print_json(page)
                return
            rows = [
                (one.run_id, one.workflow, one.status, f"{one.progress.percentage:.0f}%", one.created_at, one.error)
                for one in page.executions
            ]
            show(table(["run", "workflow", "status", "done", "created", "error"], rows))
        elif wait:
            _end(client, run_id, as_json=as_json)
        else:
            found = client.execution(run_id)
            if as_json:
                print_json(found)
            else:
                show(_picture(found), *_told(found))


@app.command("cancel")
def cancel(context: typer.Context, run_id: RunId, as_json: AsJson = False) -> None:
    """End a run."""
    with session_of(context).client() as client:
        cancelling = client.cancel_run(run_id)
    if as_json:
        print_json({"run_id": run_id, "cancelling": cancelling})
    else:
        show(f"{run_id}: " + ("is being ended" if cancelling else "had ended already"))


@app.command("rerun")
def rerun(
    context: typer.Context,
    run_id: RunId,
    begin: Annotated[str, typer.Option("--from", help="`failure`, `all`, or the node to begin with.")] = "failure",
    revision: Annotated[
        int | None, typer.Option(min=0, help="[default: that of the run; 0: the platform's own]")
    ] = None,
    newest: Annotated[bool, typer.Option("--newest", help="With the newest revision.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell which nodes would run, and start nothing.")] = False,
    wait: Wait = True,
    as_json: AsJson = False,
) -> None:
    """Execute a run again, from where it failed; what came before is taken as it was recorded."""
    with session_of(context).client() as client:
        if newest:
            revision = client.workflow(client.execution(run_id).workflow).revision
        if dry_run:
            plan = client.plan_rerun(run_id, begin=begin, revision=revision)
            if as_json:
                print_json(plan)
            else:
                show(f"{plan.workflow} revision {plan.revision}")
                show(f"runs:   {', '.join(plan.runs) or 'nothing'}\nreused: {', '.join(plan.reused) or 'nothing'}")
            return
        started = client.rerun(run_id, begin=begin, revision=revision)
        if wait:
            _end(client, started.run_id, as_json=as_json)
        elif as_json:
            print_json(started)
        else:
            show(started.run_id)


@app.command("archive")
def archive(context: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """Offer a workflow no longer, nor start it by its triggers. Publishing it again restores it."""
    with session_of(context).client() as client:
        found = client.archive_workflow(name)
    if as_json:
        print_json(found)
    else:
        show(f"{found.name} is archived")


# ---------------------------------------------------------------------------------------------------- runs


def _end(client: ApiClient, run_id: str, *, as_json: bool) -> None:
    """Show the run until it has ended, then what it gave; ends the program as the run did."""
    found = _followed(client, run_id)
    if as_json:
        print_json(found)
    elif found.status == "completed":
        print_json({"run_id": run_id, "status": found.status, "outputs": client.outputs(run_id)})
    else:
        remark(
            f"the run {run_id} has {found.status}" if found.status == "failed" else f"the run {run_id} was cancelled"
        )
        for line in _told(found):
            typer.echo(line, err=True)
        if found.failed_node:
            typer.echo(f"  after mending it: aiw workflow rerun {run_id}", err=True)
    if found.status != "completed":
        raise typer.Exit(FAILED)


def _followed(client: ApiClient, run_id: str) -> ExecutionOut:
    from rich.live import Live

    found = client.execution(run_id)
    console = progress_console()
    with Live(_picture(found), console=console, refresh_per_second=8, transient=not console.is_terminal) as live:
        while found.status in {"created", "running"}:
            time.sleep(LOOK_SECONDS)
            found = client.execution(run_id)
            live.update(_picture(found))
    return found


def _picture(found: ExecutionOut) -> Table:
    from rich.text import Text

    rows = [
        (
            node.id,
            node.type,
            Text(node.status, style=_COLOURS.get(node.status, "")),
            f"{node.duration_ms} ms" if node.duration_ms is not None else None,
            node.attempt if node.attempt > 1 else "",
        )
        for node in found.nodes
    ]
    title = f"{found.workflow} {found.run_id}: {found.status}, {found.progress.percentage:.0f}%"
    return table(["node", "type", "status", "time", "attempt"], rows, title=title)


def _told(found: ExecutionOut) -> list[str]:
    if found.error is None:
        return []
    return [f"  {found.failed_node or found.workflow}: {found.error}"]


# ---------------------------------------------------------------------------------------------------- files


def _checked(file: Path) -> CheckedWorkflow:
    """The workflow in the file, with what it calls from files beside it and from the platform's own."""
    from assets.nodes import NODES
    from resources.workflows.loading import load, load_file, read
    from resources.workflows.validation import WorkflowInvalidError, check

    text = _text(file)
    spec = load(text)
    folders = [file.parent, Path(__file__).parents[2] / "definitions" / "specs"]

    def lookup(name: str, revision: int | None) -> tuple[int, WorkflowSpec]:
        for folder in folders:
            for path in folder.glob(f"{name}.y*ml"):
                return revision or 0, load_file(path)
        raise NotFoundError(f"There is no workflow {name!r}.", code="workflow_not_found", name=name)

    try:
        return check(spec, NODES, lookup=lookup)
    except WorkflowInvalidError as error:
        raise read(text).located(error) from error


def _drawn(checked: CheckedWorkflow, drawing: str) -> bytes:
    from resources.workflows import diagram

    match drawing:
        case "svg":
            return diagram.svg(checked).encode()
        case "png":
            return diagram.png(checked)
    return diagram.mermaid(checked).encode()


def _text(file: Path) -> bytes:
    if str(file) == "-":
        return sys.stdin.buffer.read()
    try:
        return file.read_bytes()
    except OSError as error:
        message = f"{str(file)!r} cannot be read: {error.strerror or error}."
        raise InvalidInputError(message, code="file_unreadable") from error


def _mapping(file: Path) -> dict[str, Any]:
    from resources.workflows.loading import read

    return read(_text(file)).raw


def pairs(given: list[str] | None, *, plain: bool = False) -> dict[str, Any]:
    """`name=value` pairs; values are read as JSON where they are JSON, unless `plain`."""
    import orjson

    found: dict[str, Any] = {}
    for one in given or ():
        name, equals, text = one.partition("=")
        if not equals:
            raise InvalidInputError(f"{one!r} is not a value; write it as name=value.", code="value_form")
        try:
            found[name] = text if plain else orjson.loads(text)
        except ValueError:
            found[name] = text
    return found


def _problem(problem: Any) -> dict[str, Any]:
    return {"path": problem.path, "message": problem.message, "hint": problem.hint, "code": problem.code}


def _revision(found: WorkflowOut) -> str:
    return "bundled" if found.bundled else str(found.revision)
