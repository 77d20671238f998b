"""`aiw graph add`, `edit`, `remove` and `stated`: what people state of concepts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError

from api.cli.output import AsJson, print_json, remark, show, table
from api.cli.session import session_of
from resources.knowledge.curation import Relation, Statement
from resources.knowledge.model import EdgeType

if TYPE_CHECKING:
    from collections.abc import Iterable

    from resources.knowledge.curation import Curation

Name = Annotated[str, typer.Argument(help="The concept, by name.")]
Description = Annotated[str | None, typer.Option(help="What it is.")]
Difficulty = Annotated[str | None, typer.Option(help="beginner, intermediate, advanced or expert.")]
Category = Annotated[str | None, typer.Option(help="The field that it belongs to.")]
Tags = Annotated[list[str] | None, typer.Option("--tag", help="May be given often.")]
Minutes = Annotated[int | None, typer.Option(min=0, help="Estimated time to learn it.")]
Requires = Annotated[list[str] | None, typer.Option(help="A concept to know before; may be given often.")]
PartOf = Annotated[list[str] | None, typer.Option(help="A wider concept; may be given often.")]
Related = Annotated[list[str] | None, typer.Option(help="A concept that it has to do with; may be given often.")]


def add(
    context: typer.Context,
    name: Name,
    description: Description = None,
    difficulty: Difficulty = None,
    category: Category = None,
    tag: Tags = None,
    minutes: Minutes = None,
    requires: Requires = None,
    part_of: PartOf = None,
    related: Related = None,
    as_json: AsJson = False,
) -> None:
    """State a concept, whether documents know it or not."""
    edges = _relations(requires, part_of, related)
    said = {"description": description, "difficulty": difficulty, "category": category, "minutes": minutes}
    statement = _statement({"name": name, "tags": tag or (), "relations": edges} | said)
    with session_of(context).client() as client:
        _show([client.state_concept(statement)], as_json)


def edit(
    context: typer.Context,
    name: Name,
    description: Description = None,
    difficulty: Difficulty = None,
    category: Category = None,
    tag: Tags = None,
    minutes: Minutes = None,
    requires: Requires = None,
    part_of: PartOf = None,
    related: Related = None,
    as_json: AsJson = False,
) -> None:
    """Change what is stated of a concept. What is not given stays; edges that are given take the place of those of their type."""
    with session_of(context).client() as client:
        seen = client.curation(name)
        given = {EdgeType.REQUIRES: requires, EdgeType.PART_OF: part_of, EdgeType.RELATED_TO: related}
        kept = [one for one in seen.statement.relations if not given[one.type]]
        said = {"description": description, "difficulty": difficulty, "category": category, "minutes": minutes}
        changed = {key: value for key, value in (said | {"tags": tag}).items() if value is not None}
        edges = [*kept, *_relations(requires, part_of, related)]
        statement = _statement(seen.statement.model_dump() | changed | {"relations": edges})
        _show([client.change_concept(name, statement, if_match=seen)], as_json)


def remove(context: typer.Context, name: Name) -> None:
    """Take a statement back. What documents say of the concept stays."""
    with session_of(context).client() as client:
        client.remove_concept(name)
    remark(f"nothing is stated of {name} any more.")


def stated(context: typer.Context, as_json: AsJson = False) -> None:
    """List what people state of concepts."""
    with session_of(context).client() as client:
        _show(client.curations(), as_json)


def _relations(
    requires: Iterable[str] | None, part_of: Iterable[str] | None, related: Iterable[str] | None
) -> list[dict[str, Any]]:
    given = {EdgeType.REQUIRES: requires, EdgeType.PART_OF: part_of, EdgeType.RELATED_TO: related}
    return [{"target": target, "type": kind} for kind, targets in given.items() for target in targets or ()]


def _statement(said: dict[str, Any]) -> Statement:
    try:
        return Statement.model_validate(said)
    except ValidationError as error:
        raise typer.BadParameter("; ".join(problem["msg"] for problem in error.errors())) from error


def _show(found: list[Curation], as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    rows = [
        (one.id, one.statement.name, one.statement.difficulty, _edges(one.statement.relations), one.version, one.by)
        for one in found
    ]
    show(table(["id", "name", "difficulty", "edges", "version", "by"], rows))


def _edges(relations: Iterable[Relation]) -> str | None:
    return ", ".join(f"{one.type} {one.target}" for one in relations) or None
