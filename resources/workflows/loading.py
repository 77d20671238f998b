"""Workflows as files: YAML and JSON to specs, with the line and column of each problem."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import orjson
import yaml

from resources.errors import Problem
from resources.telemetry.logging import get_logger
from resources.workflows.rules import MAX_SPEC_BYTES
from resources.workflows.validation import WorkflowInvalidError, parse

if TYPE_CHECKING:
    from pathlib import Path

    from resources.workflows.spec import WorkflowSpec

log = get_logger(__name__)

MAX_ALIASES = 100
MAX_YAML_NODES = 200_000
_MAX_NESTING = 200


@dataclass(frozen=True, slots=True)
class Source:
    """What a text says, and where it says it: `marks` gives line and column (from 1) of each path."""

    raw: dict[str, Any]
    marks: dict[str, tuple[int, int]]

    def located(self, error: WorkflowInvalidError) -> WorkflowInvalidError:
        """The error, whose hints tell the place in the text."""
        problems = [replace(problem, hint=self._with_place(problem)) for problem in error.problems]
        return WorkflowInvalidError(str(self.raw.get("name", "")), problems)

    def _with_place(self, problem: Problem) -> str | None:
        path = problem.path
        while path and path not in self.marks:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        if path not in self.marks:
            return problem.hint
        line, column = self.marks[path]
        place = f"line {line}, column {column}"
        return f"{place}: {problem.hint}" if problem.hint else place


def read(text: str | bytes) -> Source:
    """A YAML or JSON text as plain values. Raises WorkflowInvalidError (`document_invalid`)."""
    size = len(text) if isinstance(text, bytes) else len(text.encode())
    if size > MAX_SPEC_BYTES:
        raise _unreadable(f"the text has more than {MAX_SPEC_BYTES} bytes")
    try:
        found = _source_of_json(text)
        if found is not None:
            return found
        _refuse_excess(text)
        return _Reader(text).source()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else None
        said = " ".join(part for part in (error.context, error.problem) if part)
        raise _unreadable(f"this is not YAML: {said}", where) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise _unreadable(f"this is not YAML: {error}") from error


def load(text: str | bytes) -> WorkflowSpec:
    """The spec in a YAML or JSON text. Raises WorkflowInvalidError with all problems, each with its line and column."""
    source = read(text)
    try:
        return parse(source.raw)
    except WorkflowInvalidError as error:
        raise source.located(error) from error


def load_file(path: Path) -> WorkflowSpec:
    """The spec in a file. Raises as `load` does."""
    with path.open("rb") as file:
        return load(file.read(MAX_SPEC_BYTES + 1))


@dataclass(frozen=True, slots=True)
class Folder:
    """The specs in a folder by name, and by file what is wrong with the others."""

    specs: dict[str, WorkflowSpec]
    broken: dict[str, str]


def load_folder(folder: Path) -> Folder:
    """All `*.yaml`, `*.yml` and `*.json` in a folder. A bad file is reported and takes nothing else down."""
    specs: dict[str, WorkflowSpec] = {}
    broken: dict[str, str] = {}
    for path in sorted(found for found in folder.glob("*") if found.suffix in {".yaml", ".yml", ".json"}):
        try:
            spec = load_file(path)
        except (WorkflowInvalidError, OSError) as error:
            broken[path.name] = str(error)
        else:
            if specs.setdefault(spec.name, spec) is not spec:
                broken[path.name] = f"There is a workflow {spec.name!r} in another file."
    for name, reason in broken.items():
        log.warning("workflows.file_skipped", file=name, reason=reason)
    return Folder(specs, broken)


def _source_of_json(text: str | bytes) -> Source | None:
    """JSON is nearly YAML, but for tabs. It is read without marks; what is no JSON is left to YAML."""
    try:
        raw = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return Source(raw, {}) if isinstance(raw, dict) else None


def _refuse_excess(text: str | bytes) -> None:
    """Look at the text as a stream of events first: libyaml composes by recursion, and crashes when it goes too deep."""
    depth = aliases = 0
    for number, event in enumerate(yaml.parse(text, Loader=_Loader)):
        depth += isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent) - isinstance(
            event, yaml.MappingEndEvent | yaml.SequenceEndEvent
        )
        aliases += isinstance(event, yaml.AliasEvent)
        if depth > _MAX_NESTING or aliases > MAX_ALIASES or number > MAX_YAML_NODES:
            raise _unreadable("it has too many values or aliases, or is nested too deeply")


class _Loader(yaml.CSafeLoader):
    """YAML as JSON knows it (the core schema of YAML 1.2): `no` and `on` are texts, and so are `12:30` and `2026-01-31`."""

    yaml_implicit_resolvers: ClassVar[dict[str, list[tuple[str, re.Pattern[str]]]]] = {}  # type: ignore[misc]  # as in PyYAML itself


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("merge", r"<<", "<"),
):
    _letters = ["" if letter == "\0" else letter for letter in _first]
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), _letters)


class _Reader:
    """Composes the tree of a text, notes where its parts stand, and builds plain values without any tags of Python's.

    What aliases stand for counts each time, before anything is built, so that a few lines cannot become a billion values.
    """

    def __init__(self, text: str | bytes) -> None:
        self._loader = _Loader(text)
        self._marks: dict[str, tuple[int, int]] = {}
        self._size = 0

    def source(self) -> Source:
        try:
            root = self._loader.get_single_node()
            if not isinstance(root, yaml.MappingNode):
                raise _unreadable("a workflow is a mapping with a name and nodes")
            self._walk(root, "", 0)
            raw = self._loader.construct_document(root)
        finally:
            self._loader.dispose()
        return Source(raw, self._marks)

    def _walk(self, node: yaml.Node, path: str, depth: int) -> None:
        self._size += 1
        if self._size > MAX_YAML_NODES or depth > _MAX_NESTING:
            raise _unreadable("it has too many values or aliases, or is nested too deeply")
        self._marks.setdefault(path, (node.start_mark.line + 1, node.start_mark.column + 1))
        if isinstance(node, yaml.MappingNode):
            self._refuse_doubles(node)
            for key, value in node.value:
                inner = f"{path}.{key.value}" if path else str(key.value)
                self._marks.setdefault(inner, (key.start_mark.line + 1, key.start_mark.column + 1))
                self._walk(value, inner, depth + 1)
        elif isinstance(node, yaml.SequenceNode):
            named = path.rpartition(".")[2] == "nodes"
            for index, value in enumerate(node.value):
                self._walk(
                    value, f"{path}.{_id_of(value)}" if named and _id_of(value) else f"{path}[{index}]", depth + 1
                )

    def _refuse_doubles(self, node: yaml.MappingNode) -> None:
        keys: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(problem="a key is a plain text", problem_mark=key.start_mark)
            if key.value in keys and key.value != "<<":
                raise yaml.MarkedYAMLError(problem=f"there are two {key.value!r}", problem_mark=key.start_mark)
            keys.add(key.value)


def _id_of(node: yaml.Node) -> str | None:
    if isinstance(node, yaml.MappingNode):
        return next((value.value for key, value in node.value if key.value == "id" and value.id == "scalar"), None)
    return None


def _unreadable(message: str, hint: str | None = None) -> WorkflowInvalidError:
    return WorkflowInvalidError("", [Problem("", message, hint, code="document_invalid")])
