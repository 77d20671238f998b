"""`aiw plugins`: install, enable, configure and run modules of WebAssembly."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import orjson
import typer

from api.cli.output import AsJson, Commands, print_json, remark, show, table
from api.cli.session import session_of
from resources.errors import InvalidInputError
from resources.plugins.model import CAPABILITIES

app = typer.Typer(
    cls=Commands, no_args_is_help=True, help="Plugins: modules of WebAssembly that work on documents, sandboxed."
)

Name = Annotated[str, typer.Argument(help="Name of the plugin.")]
Config = Annotated[str | None, typer.Option(help="Its configuration: JSON, or @FILE.")]


@app.command("list")
def list_plugins(context: typer.Context, as_json: AsJson = False) -> None:
    """List the plugins that are installed."""
    with session_of(context).client() as client:
        found = client.plugins()
    if as_json:
        print_json(found)
        return
    rows = [
        (
            one["name"],
            one["version"],
            "enabled" if one["enabled"] else "disabled",
            ", ".join(one["grants"]),
            one["description"],
        )
        for one in found
    ]
    show(table(["name", "version", "state", "grants", "description"], rows))


@app.command("show")
def show_plugin(context: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """Show one plugin, and what it did last."""
    with session_of(context).client() as client:
        plugin, runs = client.plugin(name), client.plugin_runs(name, limit=10)
    if as_json:
        print_json({**plugin, "runs": runs})
        return
    show(table(["field", "value"], [(key, value) for key, value in plugin.items() if value not in (None, "", [], {})]))
    if runs:
        rows = [(run["at"], run["outcome"], f"{run['milliseconds']:.1f}", run["fuel"], run["cached"]) for run in runs]
        show(table(["at", "outcome", "ms", "fuel", "cached"], rows))


@app.command("install")
def install(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The module, a .wasm file.")],
    grant: Annotated[
        list[str] | None, typer.Option(help=f"Something it may use: {', '.join(CAPABILITIES)}; repeatable.")
    ] = None,
    config: Config = None,
    enable: Annotated[bool, typer.Option("--enable", help="Enable it at once.")] = False,
    as_json: AsJson = False,
) -> None:
    """Install a plugin, or replace the one of its name. It is disabled unless told otherwise."""
    with session_of(context).client() as client:
        plugin = client.install_plugin(file.read_bytes(), grants=grant or [], config=_json(config))
        if enable:
            plugin = client.enable_plugin(plugin["name"])
    if as_json:
        print_json(plugin)
        return
    show(f"{plugin['name']} {plugin['version']} is installed ({plugin['sha256'][:12]}).")
    if not enable:
        remark(f"Enable it with `aiw plugins enable {plugin['name']}`.")


@app.command("enable")
def enable_plugin(context: typer.Context, name: Name) -> None:
    """Let it run."""
    with session_of(context).client() as client:
        client.enable_plugin(name)
    show(f"{name} is enabled.")


@app.command("disable")
def disable_plugin(context: typer.Context, name: Name) -> None:
    """Let it run no more."""
    with session_of(context).client() as client:
        client.enable_plugin(name, enabled=False)
    show(f"{name} is disabled.")


@app.command("configure")
def configure(
    context: typer.Context, name: Name, config: Annotated[str, typer.Argument(help="All of it: JSON, or @FILE.")]
) -> None:
    """Replace its configuration."""
    with session_of(context).client() as client:
        client.configure_plugin(name, _json(config))
    show(f"{name} is configured.")


@app.command("run")
def run(
    context: typer.Context,
    name: Name,
    file: Annotated[str, typer.Argument(help="The text to work on; - = standard input.")] = "-",
    content_type: Annotated[str, typer.Option("--type", help="What the text is.")] = "text/plain",
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Run it once, on one text."""
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{file!r} cannot be read as text: {error}", code="file_unreadable") from error
    with session_of(context).client() as client:
        found = client.run_plugin(name, text, content_type=content_type, config=_json(config))
    if as_json:
        print_json(found)
        return
    if found["modified_content"] is not None:
        show(found["modified_content"])
    rows = [(key, value) for key, value in (found["extracted_data"] | found["metadata_updates"]).items()]
    if rows:
        show(table(["field", "value"], rows))
    for line in found["logs"]:
        remark(f"{line['level']}: {line['line']}")


@app.command("remove")
def remove(context: typer.Context, name: Name) -> None:
    """Remove it, with the journal of its calls."""
    with session_of(context).client() as client:
        client.remove_plugin(name)
    show(f"{name} is removed.")


def _json(text: str | None) -> dict[str, object]:
    if text is None:
        return {}
    try:
        found = orjson.loads(Path(text[1:]).read_bytes() if text.startswith("@") else text)
    except (OSError, orjson.JSONDecodeError) as error:
        raise InvalidInputError(f"The configuration is no JSON: {error}", code="config_invalid") from error
    if not isinstance(found, dict):
        raise InvalidInputError("The configuration is a JSON object.", code="config_invalid")
    return found
