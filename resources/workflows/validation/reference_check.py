"""What the expressions of a workflow read: whether it is there, of which type it is, and what has to run before."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from resources.errors import InvalidInputError
from resources.workflows import shapes
from resources.workflows.expressions import RUN_NAMES, Expressions, has_markers
from resources.workflows.graph import Dependency
from resources.workflows.inputs import nearest
from resources.workflows.validation.findings import Findings, joined, strings
from resources.workflows.validation.levels import Frame, no_node

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from resources.workflows.expressions import Reference
    from resources.workflows.node_type import NodeType, NodeTypes
    from resources.workflows.shapes import Schema
    from resources.workflows.spec import (
        NodeSpec,
        WorkflowSpec,
    )

_ROOTS = frozenset({"inputs", "nodes", "metadata", "env", "run"})
_LAZY_NAMES = frozenset({"item", "index", "state"})

_SAMPLES: Mapping[str, Any] = {
    "string": "", "integer": 1, "number": 0.5, "boolean": True, "object": {}, "array": [], "null": None,
}  # fmt: skip

_WRITTEN_AS_TEXT = ("uuid_", "date", "time", "url_")  # of these, some texts are values and the sample is none


class ReferenceCheck:
    """Looks at the expressions of one workflow, whose nodes are laid out in `where` (id → level)."""

    def __init__(
        self,
        spec: WorkflowSpec,
        types: NodeTypes,
        expressions: Expressions,
        where: Mapping[str, Frame],
        findings: Findings,
    ) -> None:
        self._spec = spec
        self._types = types
        self._expressions = expressions
        self._where = where
        self._findings = findings

    def look(self, frame: Frame, path: str, node: NodeSpec, known: NodeType | None) -> None:
        """The expressions in the config of a node."""
        lazy = known.lazy if known else frozenset[str]()
        for keys, text in strings(node.config):
            if not has_markers(text):
                continue
            is_lazy = bool(keys) and keys[0] in lazy
            level = frame.bodies.get(node.id, frame) if is_lazy else frame
            names = level.names | _LAZY_NAMES if is_lazy else level.names
            given = self.resolve(joined(f"{path}.config", keys), text, level, node, names=names)
            if given is not None and known is not None:
                self._look_at_types(joined(f"{path}.config", keys), given, node, known, keys)
        if node.asset is not None and node.asset.partition is not None:
            self.resolve(f"{path}.asset.partition", node.asset.partition, frame, node, names=frame.names)

    def _look_at_types(
        self, path: str, given: frozenset[str], node: NodeSpec, known: NodeType, keys: Sequence[str | int]
    ) -> None:
        """Whether the field takes what the expression gives: a value of each type that this can be is tried in its place."""
        if not given <= _SAMPLES.keys():
            return
        refused = [kind for kind in sorted(given) if _refuses(known.config, node.config, keys, _SAMPLES[kind])]
        if len(refused) == len(given):
            message = f"the expression gives {' or '.join(refused)}, which the field does not take"
            self._findings.report(path, message, "filters convert: int, float, string, tojson", code="type_mismatch")

    def resolve(
        self,
        path: str,
        text: str,
        frame: Frame | None,
        node: NodeSpec | None = None,
        *,
        names: frozenset[str] = frozenset(),
    ) -> frozenset[str] | None:
        """Look at the names in an expression; the types that it can give, if they are known.

        `frame` None: it can read no nodes (a trigger's).
        """
        try:
            references = self._expressions.references(text).found
            sole = self._expressions.sole_reference(text)
        except InvalidInputError as error:
            message = error.problems[0].message if error.problems else error.message
            self._findings.report(path, message, code="expression_invalid")
            return None
        given = [self._look_at_reference(path, reference, frame, node, names) for reference in references]
        return given[0] if sole is not None else None

    def _look_at_reference(
        self, path: str, reference: Reference, frame: Frame | None, node: NodeSpec | None, names: frozenset[str]
    ) -> frozenset[str] | None:
        """Report what is wrong with one reference; the types of what it names, where they are known."""
        match reference.root:
            case root if root in names:
                return None
            case "inputs" if frame is not None:
                return self._look_at_input(path, reference)
            case "nodes" if frame is not None:
                return self._look_at_output(path, reference, frame, node)
            case "env":
                known = {*self._spec.config.environment, *self._expressions.environment}
                if reference.path and reference.path[0] not in known and not reference.optional:
                    near = nearest(str(reference.path[0]), known) or "set it in config.environment"
                    self._findings.report(path, f"there is no variable {reference}", near, code="variable_not_found")
            case "run" if frame is not None:
                if reference.path and reference.path[0] not in RUN_NAMES:
                    self._findings.report(
                        path, f"there is no {reference}", nearest("", RUN_NAMES), code="name_not_found"
                    )
            case "metadata" if frame is not None:
                pass
            case root:
                if not reference.optional:
                    known_names = {*names, "env"} | (_ROOTS if frame is not None else frozenset())
                    hint = nearest(root, sorted(known_names))
                    self._findings.report(path, f"there is no {root!r} here", hint, code="name_not_found")
        return None

    def _look_at_input(self, path: str, reference: Reference) -> frozenset[str] | None:
        if not reference.path:
            return frozenset({"object"})
        name = str(reference.path[0])
        wanted = self._spec.inputs.get(name)
        if wanted is None:
            near = nearest(name, self._spec.inputs) or "declare it in inputs"
            self._findings.report(path, f"there is no input {name!r}", near, code="input_not_found")
            return None
        if wanted.type == "any":
            return None
        if len(reference.path) == 1:
            return frozenset({wanted.type})
        inner = reference.path[1]
        if wanted.type in {"integer", "number", "boolean"} or (wanted.type == "string" and isinstance(inner, str)):
            message = f"the input {name!r} is of the type {wanted.type} and has no {inner!r}"
            self._findings.report(path, message, code="input_not_found")
        return None

    def _look_at_output(
        self, path: str, reference: Reference, frame: Frame, node: NodeSpec | None
    ) -> frozenset[str] | None:
        if not reference.path:
            hint = "write nodes.<id>.output"
            self._findings.report(
                path, "nodes have to be named one by one, as the graph is made of it", hint, code="node_not_found"
            )
            return None
        name = str(reference.path[0])
        home: Frame | None = frame
        while home is not None and name not in home.index:
            home = home.parent
        if home is None:
            message, near = no_node(name, frame, self._where)
            self._findings.report(path, message, near, code="node_not_found")
            return None
        if node is not None:
            self._connect(path, name, home, node)
        found = home.nodes[home.index[name]]
        if len(reference.path) < 2 or reference.path[1] != "output":  # noqa: PLR2004  # the node, and its output
            hint = f"write nodes.{name}.output"
            self._findings.report(
                path, f"{reference} is not there, as nodes have only an output", hint, code="output_not_found"
            )
            return None
        known = self._types.find(found.type)
        schema = _output_schema(known) if known else None
        if schema is None or found.continue_on_error or self._spec.config.continue_on_error:
            return None
        try:
            return shapes.types(shapes.at(schema, reference.path[2:]))
        except KeyError as error:
            if not reference.optional:
                missing = error.args[0]
                part = reference.path.index(missing, 2)
                near = nearest(str(missing), shapes.keys(schema, reference.path[2:part]))
                message = f"the output of {name!r} ({found.type}) has no {missing!r} at {reference}"
                self._findings.report(path, message, near, code="output_not_found")
            return None

    def _connect(self, path: str, name: str, home: Frame, node: NodeSpec) -> None:
        """Note that the node comes after what it reads; and when it is in a body, that the body's owner does."""
        if home.owner is not None and home.owner.id == node.id:
            return  # it reads what its own body gives
        reader, at = node.id, self._where[node.id]
        while at is not home and at.owner is not None and at.parent is not None:
            at.outer.add(name)
            reader, at = at.owner.id, at.parent
        if reader == name:
            what = "reads its own output" if node.id == name else f"reads the output of {name!r}, which it is a part of"
            self._findings.report(path, f"the node {what}", code="cycle_detected")
            return
        if not any(known == name for known, _ in at.edges[reader]):
            at.edges[reader][name, None] = Dependency(name, explicit=False)


@lru_cache(512)
def _schema_of_model(model: type[BaseModel]) -> Schema:
    schema: Schema = model.model_json_schema(mode="serialization")
    return schema


def _output_schema(known: NodeType) -> Schema | None:
    return _schema_of_model(known.output) if isinstance(known.output, type) else known.output


def _refuses(model: type[BaseModel], config: Mapping[str, Any], keys: Sequence[str | int], value: Any) -> bool:
    """Whether the config's model says that this value, put there, is of the wrong type."""
    try:
        model.model_validate(_replaced(config, keys, value))
    except ValidationError as error:
        return any(
            found["type"].endswith(("_type", "_parsing"))
            and not (isinstance(value, str) and found["type"].startswith(_WRITTEN_AS_TEXT))
            and _is_behind(keys, found["loc"])
            for found in error.errors(include_url=False)
        )
    return False


def _replaced(value: Any, keys: Sequence[str | int], new: Any) -> Any:
    if not keys:
        return new
    inner = _replaced(value[keys[0]], keys[1:], new)
    if isinstance(value, dict):
        return {**value, keys[0]: inner}
    return [inner if index == keys[0] else item for index, item in enumerate(value)]


def _is_behind(keys: Sequence[str | int], location: Sequence[str | int]) -> bool:
    """Whether the location names all the keys in their order (and the alternatives of unions between them)."""
    parts = iter(location)
    return all(key in parts for key in keys)
