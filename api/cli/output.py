"""How the command line speaks: results on standard output, everything else on standard error."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import orjson
import typer
import typer.core
from pydantic import BaseModel

from resources.errors import InvalidInputError, PlatformError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from rich.console import Console
    from rich.table import Table

FAILED = 1
USAGE = 2

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON, for machines.")]


class Commands(typer.core.TyperGroup):
    """A group of commands that tells an error of the platform in clear words and ends with 1."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]  # typer hands its own context down
        try:
            return super().invoke(ctx)
        except PlatformError as error:
            fail(error)
        except KeyboardInterrupt:
            remark("stopped.")
            raise typer.Exit(130) from None


def fail(error: PlatformError) -> NoReturn:
    """Say what went wrong, and end the program."""
    remark(error.message)
    if isinstance(error, InvalidInputError):
        for problem in error.problems:
            if str(problem) not in error.message:
                typer.echo(f"  {problem}", err=True)
    raise typer.Exit(FAILED)


def remark(message: str) -> None:
    """A line on standard error."""
    typer.echo(f"aiw: {message}", err=True)


def asked(what: str, *, instead: str, hidden: bool = False, twice: bool = False) -> str:
    """What the person at the terminal types. Raises InvalidInputError, with what to do `instead`, where there is none."""
    if not sys.stdin.isatty():
        raise InvalidInputError(f"There is no terminal to ask on. {instead}", code="no_terminal")
    return str(typer.prompt(what, hide_input=hidden, confirmation_prompt=twice, err=True))


def when(moment: datetime | None) -> str | None:
    """A moment, to the second, for people."""
    return None if moment is None else moment.astimezone().strftime("%Y-%m-%d %H:%M:%S %z")


def show(*parts: Any) -> None:
    """Tables and styled text on standard output. A pipe gets whole lines, however wide."""
    _console(sys.stdout).print(*parts)


def progress_console() -> Console:
    """Where progress is drawn: standard error, so that results can be piped."""
    return _console(sys.stderr)


def print_json(value: BaseModel | dict[str, Any] | list[Any]) -> None:
    """A result for machines."""
    typer.echo(orjson.dumps(value, default=_plain, option=orjson.OPT_INDENT_2).decode())


def _plain(value: object) -> object:
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else str(value)


def table(columns: Iterable[str], rows: Iterable[Iterable[Any]], *, title: str | None = None) -> Table:
    """A plain table. None is shown as a dash; text is never read as markup."""
    from rich.table import Table
    from rich.text import Text

    made = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in rows:
        made.add_row(*(cell if isinstance(cell, Text) else Text("-" if cell is None else str(cell)) for cell in row))
    return made


def _console(stream: Any) -> Console:
    from rich.console import Console

    width = None if stream.isatty() else 200
    return Console(file=stream, highlight=False, markup=False, width=width)
