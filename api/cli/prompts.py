"""`aiw prompts`: publish, label, render, compare and test prompts."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from api.cli.output import FAILED, AsJson, Commands, print_json, show, table
from api.cli.session import session_of
from resources.errors import InvalidInputError

app = typer.Typer(
    cls=Commands, no_args_is_help=True, help="Prompts: versions that never change, under labels that move."
)

Reference = Annotated[
    str, typer.Argument(help="A prompt: id, id@3 or id@label. The bare id means production, else the newest version.")
]
PromptFile = Annotated[Path, typer.Argument(help="YAML or JSON with id, content, variables…; - = standard input.")]
Variables = Annotated[
    list[str] | None, typer.Option("--var", "-v", help="A variable, as name=value; JSON values are understood.")
]


@app.command("list")
def list_prompts(
    context: typer.Context,
    made_for: Annotated[str | None, typer.Option("--context", help="Only prompts made for this.")] = None,
    tag: Annotated[str | None, typer.Option(help="Only prompts with this tag.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the prompts."""
    with session_of(context).client() as client:
        found = client.prompts(context=made_for, tag=tag)
    if as_json:
        print_json(found)
        return
    rows = [
        (
            one["prompt"]["spec"]["id"],
            one["prompt"]["version"],
            ", ".join(one["labels"]),
            ", ".join(one["prompt"]["spec"]["variables"]),
            one["prompt"]["spec"]["description"],
        )
        for one in found
    ]
    show(table(["id", "newest", "labels on it", "variables", "description"], rows))


@app.command("show")
def show_prompt(context: typer.Context, reference: Reference, as_json: AsJson = False) -> None:
    """Show one version of a prompt, with what it includes filled in."""
    with session_of(context).client() as client:
        found = client.prompt(reference)
    if as_json:
        print_json(found)
        return
    prompt = found["prompt"]
    show(f"{found['reference']}  {' '.join(found['labels'])}\n{prompt['spec']['description']}\n")
    if prompt["system"]:
        show(f"system:\n{prompt['system']}\n")
    show(prompt["content"])


@app.command("publish")
def publish(
    context: typer.Context,
    file: PromptFile,
    label: Annotated[list[str] | None, typer.Option(help="A label to move to the version; repeatable.")] = None,
    comment: Annotated[str | None, typer.Option(help="Why it changed.")] = None,
    as_json: AsJson = False,
) -> None:
    """Store a new version. The same text again gives the version that is there."""
    with session_of(context).client() as client:
        found = client.publish_prompt(_read(file), comment=comment, labels=label or [])
    if as_json:
        print_json(found)
    else:
        show(f"{found['reference']}  {' '.join(found['labels'])}")


@app.command("label")
def move_label(
    context: typer.Context,
    reference: Annotated[str, typer.Argument(help="The version, as id@3.")],
    label: Annotated[str, typer.Argument(help="The label, such as production.")],
    as_json: AsJson = False,
) -> None:
    """Move a label to a version."""
    prompt_id, _, version = reference.partition("@")
    if not version.isdecimal():
        raise InvalidInputError(f"{reference!r} names no version; write it as {prompt_id}@3.", code="reference_invalid")
    with session_of(context).client() as client:
        found = client.label_prompt(prompt_id, label, version=int(version))
    if as_json:
        print_json(found)
    else:
        show(f"{label} → {found['reference']}")


@app.command("render")
def render(context: typer.Context, reference: Reference, var: Variables = None, as_json: AsJson = False) -> None:
    """Fill a prompt in."""
    with session_of(context).client() as client:
        found = client.render_prompt(reference, _variables(var))
    if as_json:
        print_json(found)
        return
    if found["system"]:
        show(f"system:\n{found['system']}\n")
    show(found["text"])


@app.command("diff")
def diff(
    context: typer.Context,
    one: Annotated[str, typer.Argument(help="id@version or id@label.")],
    other: Annotated[
        str, typer.Argument(help="A version or label of the same prompt, with or without id@.")
    ] = "latest",
    as_json: AsJson = False,
) -> None:
    """Show what changed between two versions."""
    prompt_id, _, which = one.partition("@")
    with session_of(context).client() as client:
        found = client.diff_prompt(prompt_id, which or "production", other.removeprefix(f"{prompt_id}@"))
    if as_json:
        print_json({"diff": found})
    else:
        show(found or "no difference")


@app.command("test")
def compare_examples(context: typer.Context, reference: Reference, as_json: AsJson = False) -> None:
    """Render the examples of a prompt and compare; ends with 1 when one differs."""
    with session_of(context).client() as client:
        found = client.test_prompt(reference)
    failed = [one for one in found if one["difference"] is not None]
    if as_json:
        print_json(found)
    else:
        for one in failed:
            show(f"example {one['number']}:\n{one['difference']}")
        show(f"{len(found) - len(failed)} of {len(found)} examples render as they should")
    if failed:
        raise typer.Exit(FAILED)


def _variables(given: list[str] | None) -> dict[str, Any]:
    import orjson

    variables: dict[str, Any] = {}
    for one in given or ():
        name, equals, text = one.partition("=")
        if not equals:
            raise InvalidInputError(f"{one!r} is not a variable; write it as name=value.", code="variable_form")
        try:
            variables[name] = orjson.loads(text)
        except ValueError:
            variables[name] = text
    return variables


def _read(file: Path) -> dict[str, Any]:
    import yaml

    try:
        value = yaml.safe_load(sys.stdin.read() if str(file) == "-" else file.read_text())
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InvalidInputError(f"{str(file)!r} holds no prompt: {error}", code="malformed_yaml") from error
    if not isinstance(value, dict):
        raise InvalidInputError(f"{str(file)!r} holds no mapping.", code="malformed_yaml")
    return value
