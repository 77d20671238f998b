"""Whether a workflow can run: everything that is wrong with it, at once, each with its path, a code and a hint.

Two passes over the nodes, both without recursion, so that a thousand of them (in whatever nesting) take a fraction of a second:
the first lays out the levels (the workflow, and the bodies of maps, loops and parallel groups), the second looks at each node
and at what it says about others. Then each level is ordered and looked at as a graph.
"""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import rustworkx
from cronsim import CronSim, CronSimError
from pydantic import BaseModel, ValidationError

from resources.errors import InvalidInputError, NotFoundError, Problem
from resources.events.catalog import CATALOG
from resources.workflows import shapes
from resources.workflows.expressions import RUN_NAMES, Expressions, as_expression, has_markers
from resources.workflows.graph import CheckedWorkflow, Dependency, Level
from resources.workflows.inputs import nearest, problems_of_definition
from resources.workflows.rules import (
    MAX_SPEC_BYTES,
    problems_of_name,
    problems_of_notes,
    problems_of_port,
    problems_of_text,
)
from resources.workflows.spec import (
    MAX_DEPTH,
    MAX_NODES,
    EventTrigger,
    NodeSpec,
    RunTrigger,
    ScheduleTrigger,
    WebhookTrigger,
    WorkflowSpec,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from resources.workflows.expressions import Reference
    from resources.workflows.node_type import NodeType, NodeTypes
    from resources.workflows.shapes import Schema
    from resources.workflows.spec import Trigger

    Lookup = Callable[[str, int | None], tuple[int, WorkflowSpec]]

MAX_PARALLEL = 50
MAX_NESTED_WORKFLOWS = 20
MAX_NESTING = 220  # levels of JSON; the encoder takes 254

_BODIES = frozenset({"map", "loop", "parallel"})
_BODY_NAMES = {"map": ("index",), "loop": ("index", "state", "iteration")}
_ROOTS = frozenset({"inputs", "nodes", "metadata", "env", "run"})
_LAZY_NAMES = frozenset({"item", "index", "state"})
_SAMPLES: Mapping[str, Any] = {
    "string": "", "integer": 1, "number": 0.5, "boolean": True, "object": {}, "array": [], "null": None,
}  # fmt: skip

_WRITTEN_AS_TEXT = ("uuid_", "date", "time", "url_")  # of these, some texts are values and the sample is none


class WorkflowInvalidError(InvalidInputError):
    """The workflow cannot run. `problems` lists everything that is wrong with it."""

    default_code = "workflow_invalid"

    def __init__(self, name: str, problems: Sequence[Problem]) -> None:
        shown = "; ".join(map(str, problems[:3])) + ("; …" if len(problems) > 3 else "")  # noqa: PLR2004  # a line
        super().__init__(f"The workflow {name!r} is not valid: {shown}", problems=tuple(problems))


def parse(raw: Mapping[str, Any]) -> WorkflowSpec:
    """The spec that a mapping describes. Raises WorkflowInvalidError with everything that does not fit the models."""
    given = raw.get("name")
    name = given if isinstance(given, str) else ""
    if _is_too_deep(raw):
        message = f"values are nested in more than {MAX_NESTING} levels"
        raise WorkflowInvalidError(name, [Problem("", message, code="limit_exceeded")])
    try:
        return WorkflowSpec.model_validate(raw)
    except ValidationError as error:
        problems = [_of_pydantic(found, raw) for found in error.errors(include_url=False)]
        raise WorkflowInvalidError(name, problems) from error


def check(
    spec: WorkflowSpec | Mapping[str, Any],
    types: NodeTypes,
    *,
    lookup: Lookup | None = None,
    environment: frozenset[str] = frozenset(),
) -> CheckedWorkflow:
    """The workflow, ready to be compiled. `lookup` finds other workflows; `environment` names variables of the process.

    Raises WorkflowInvalidError with all problems.
    """
    spec = spec if isinstance(spec, WorkflowSpec) else parse(spec)
    return _Check(spec, types, lookup, Expressions(environment=environment), known={}, chain=(spec.name,)).result()


def check_cron(cron: str) -> str | None:
    """Why the cron expression cannot be read; None when it can."""
    if len(cron.split()) != 5:  # noqa: PLR2004  # minute, hour, day, month, weekday
        return "it does not have five fields"
    try:
        next(CronSim(cron, datetime(2024, 1, 1)))  # noqa: DTZ001  # any time will do
    except CronSimError as error:
        return str(error)
    except StopIteration:
        return "it never comes round"
    return None


@dataclass(slots=True)
class _Frame:
    """One level while it is looked at. `owner` is the node whose body it is; `names` are those of bodies around."""

    nodes: tuple[NodeSpec, ...]
    path: str
    names: frozenset[str] = frozenset()
    parent: _Frame | None = None
    owner: NodeSpec | None = None
    depth: int = 0
    index: dict[str, int] = field(default_factory=dict)
    bodies: dict[str, _Frame] = field(default_factory=dict)
    branches: dict[str, tuple[str, ...]] = field(default_factory=dict)
    edges: dict[str, dict[tuple[str, str | None], Dependency]] = field(default_factory=dict)
    outer: set[str] = field(default_factory=set)
    order: list[str] = field(default_factory=list)
    height: int = 0

    def place(self, node: NodeSpec) -> str:
        return f"{self.path}.{node.id}"


class _Check:
    """One look at one workflow. `known` holds those that were checked already, `chain` those that led here."""

    def __init__(
        self,
        spec: WorkflowSpec,
        types: NodeTypes,
        lookup: Lookup | None,
        expressions: Expressions,
        *,
        known: dict[tuple[str, int], CheckedWorkflow],
        chain: tuple[str, ...],
    ) -> None:
        self._spec = spec
        self._types = types
        self._lookup = lookup
        self._expressions = expressions
        self._known = known
        self._chain = chain
        self._problems: dict[Problem, None] = {}
        self._frames: list[_Frame] = []
        self._where: dict[str, _Frame] = {}
        self._workflows: dict[tuple[str, int], CheckedWorkflow] = {}

    def result(self) -> CheckedWorkflow:
        self._lay_out()
        self._look_at_workflow()
        if len(self._where) <= MAX_NODES:
            for frame in self._frames:
                frame.edges = {name: {} for name in frame.index}
            for frame in self._frames:
                for position in frame.index.values():
                    self._look_at_node(frame, frame.nodes[position])
            for frame in reversed(self._frames):
                self._look_at_graph(frame)
            self._look_at_depth()
            self._look_at_outputs()
            for number, trigger in enumerate(self._spec.triggers):
                self._look_at_trigger(f"triggers[{number}]", trigger)
        if self._problems:
            raise WorkflowInvalidError(self._spec.name, list(self._problems))
        levels: dict[int, Level] = {}
        for frame in reversed(self._frames):
            levels[id(frame)] = _level(frame, levels)
        return CheckedWorkflow(self._spec, levels[id(self._frames[0])], self._workflows)

    def _report(self, path: str, message: str, hint: str | None = None, *, code: str) -> None:
        self._problems[Problem(path, message, hint, code)] = None

    def _is_reported(self, *paths: str) -> bool:
        return any(problem.path in paths for problem in self._problems)

    def _take(self, problems: Iterable[Problem]) -> None:
        self._problems.update(dict.fromkeys(problems))

    # The levels

    def _lay_out(self) -> None:
        waiting = [_Frame(self._spec.nodes, "nodes")]
        while waiting:
            frame = waiting.pop()
            self._frames.append(frame)
            for position, node in enumerate(frame.nodes):
                path = frame.place(node)
                if node.id in self._where:
                    hint = "ids are unique in the whole workflow, bodies included"
                    self._report(path, "there are two nodes with this id", hint, code="duplicate_id")
                    continue
                frame.index[node.id] = position
                self._where[node.id] = frame
                if node.nodes:
                    names = frame.names | self._names_of_body(node)
                    body = _Frame(node.nodes, f"{path}.nodes", names, frame, node, frame.depth + 1)
                    frame.bodies[node.id] = body
                    waiting.append(body)
        if not self._spec.nodes:
            self._report("nodes", "a workflow has at least one node", code="limit_exceeded")
        if len(self._where) > MAX_NODES:
            hint = "call parts of it as workflows of their own"
            found = f"there are {len(self._where)} nodes, more than {MAX_NODES}"
            self._report("nodes", found, hint, code="limit_exceeded")

    def _names_of_body(self, node: NodeSpec) -> frozenset[str]:
        known = self._types.find(node.type)
        kind = known.kind if known else "map"
        item = node.config.get("as", "item")
        return frozenset({*_BODY_NAMES.get(kind, ()), *([str(item)] if kind in {"map", "loop"} else [])})

    # What stands on its own

    def _look_at_workflow(self) -> None:
        spec = self._spec
        if len(spec.canonical()) > MAX_SPEC_BYTES:
            self._report("", f"the workflow has more than {MAX_SPEC_BYTES} bytes", code="limit_exceeded")
        self._take(problems_of_text("description", spec.description))
        self._take(problems_of_notes("", spec.metadata, spec.tags))
        for name, wanted in spec.inputs.items():
            self._take(problems_of_name(f"inputs.{name}", name, "an input"))
            self._take(problems_of_definition(f"inputs.{name}", wanted))
        if spec.schedule is not None:
            self._look_at_cron("schedule", spec.schedule)
            self._look_at_given("schedule", {}, spec)
        names = Counter(trigger.name for trigger in spec.triggers if isinstance(trigger, WebhookTrigger))
        for name, count in names.items():
            if count > 1:
                self._report("triggers", f"there are {count} webhooks {name!r}", code="duplicate_id")
        assets = Counter(node.asset.key for frame in self._frames for node in frame.nodes if node.asset)
        for key, count in assets.items():
            if count > 1:
                self._report("nodes", f"{count} nodes give the asset {'/'.join(key)!r}", code="duplicate_id")

    def _look_at_node(self, frame: _Frame, node: NodeSpec) -> None:
        path = frame.place(node)
        self._take(problems_of_port(path, node.id, "a node"))
        self._take(problems_of_text(f"{path}.description", node.description))
        self._take(problems_of_notes(f"{path}.", node.metadata, node.tags))
        known = self._types.find(node.type)
        if known is None:
            hint = nearest(node.type, self._types)
            self._report(f"{path}.type", f"there is no node type {node.type!r}", hint, code="node_type_not_found")
        else:
            self._look_at_config(path, node, known)
            self._look_at_body(path, node, known)
            self._look_at_branches(frame, path, node, known)
            if known.kind == "sub_workflow":
                self._look_at_sub_workflow(f"{path}.config", node)
        self._look_at_needs(frame, path, node)
        self._look_at_expressions(frame, path, node, known)

    def _look_at_body(self, path: str, node: NodeSpec, known: NodeType) -> None:
        if known.kind in _BODIES and not node.nodes and not self._is_reported(f"{path}.nodes"):
            self._report(f"{path}.nodes", f"a {known.name} has a body of nodes", code="body_missing")
        if known.kind not in _BODIES and node.nodes:
            hint = "only maps, loops and parallel groups have one"
            self._report(f"{path}.nodes", f"a {known.name} has no body", hint, code="body_unexpected")

    def _look_at_config(self, path: str, node: NodeSpec, known: NodeType) -> None:
        try:
            known.config.model_validate(node.config)
        except ValidationError as error:
            for found in error.errors(include_url=False):
                if not _is_open(found):
                    self._take([_of_config(f"{path}.config", found, known)])
        if known.check is not None:
            for problem in known.check(node):
                code = problem.code or "config_invalid"
                self._report(f"{path}.{problem.path}", problem.message, problem.hint, code=code)

    def _look_at_branches(self, frame: _Frame, path: str, node: NodeSpec, known: NodeType) -> None:
        if known.kind != "router":
            return
        branches = tuple(known.branches(node)) if known.branches else ()
        frame.branches[node.id] = branches
        if not branches:
            self._report(path, "a router has at least one branch", code="invalid_router")
        for branch, count in Counter(branches).items():
            self._take(problems_of_port(f"{path}.config", branch, "a branch"))
            if branch == "result":
                message = "'result' is reserved by the engine and cannot name a branch"
                self._report(f"{path}.config", message, code="reserved_name")
            if count > 1:
                self._report(f"{path}.config", f"there are {count} branches {branch!r}", code="invalid_router")

    def _look_at_sub_workflow(self, path: str, node: NodeSpec) -> None:
        name, revision = node.config.get("workflow"), node.config.get("revision")
        if not isinstance(name, str):
            return  # the config's model has told
        if has_markers(name) or isinstance(revision, str):
            if not self._is_reported(f"{path}.workflow", f"{path}.revision"):
                hint = "which workflow is called is known before the run; a router can choose between several nodes"
                self._report(f"{path}.workflow", "cannot be an expression", hint, code="config_invalid")
            return
        if name in self._chain:
            way = " → ".join((*self._chain, name))
            self._report(f"{path}.workflow", f"the workflow would call itself: {way}", code="cycle_detected")
            return
        if len(self._chain) > MAX_NESTED_WORKFLOWS:
            message = f"more than {MAX_NESTED_WORKFLOWS} workflows would call one another"
            self._report(f"{path}.workflow", message, code="limit_exceeded")
            return
        try:
            number, spec = (self._lookup or _no_workflows)(name, revision)
            called = self._called(number, spec)
        except NotFoundError as error:
            self._report(f"{path}.workflow", error.message, "publish it first", code="workflow_not_found")
        except WorkflowInvalidError as error:
            for found in error.problems:
                self._report(f"{path}.workflow", f"{name}: {found}", code=found.code or "workflow_invalid")
        else:
            self._workflows[name, number] = called
            given = node.config.get("inputs")
            self._look_at_given(f"{path}.inputs", given if isinstance(given, dict) else {}, spec)

    def _called(self, number: int, spec: WorkflowSpec) -> CheckedWorkflow:
        key = spec.name, number
        if key not in self._known:
            chain = (*self._chain, spec.name)
            inner = _Check(spec, self._types, self._lookup, self._expressions, known=self._known, chain=chain)
            self._known[key] = inner.result()
        return self._known[key]

    def _look_at_given(self, path: str, given: Mapping[str, Any], spec: WorkflowSpec) -> None:
        """Inputs that something gives to a workflow."""
        for name in given:
            if name not in spec.inputs:
                message = f"the workflow {spec.name!r} has no such input"
                self._report(f"{path}.{name}", message, nearest(name, spec.inputs), code="input_not_found")
        for name, wanted in spec.inputs.items():
            if wanted.required and not wanted.has_default and name not in given:
                message = f"the input {name!r} of {spec.name!r} is required and has no default"
                self._report(path, message, code="input_missing")

    # What nodes say about each other

    def _look_at_needs(self, frame: _Frame, path: str, node: NodeSpec) -> None:
        for number, need in enumerate(node.needs):
            where = f"{path}.needs[{number}]"
            name, _, branch = need.partition(":")
            if name == node.id:
                self._report(where, "the node needs itself", code="cycle_detected")
            elif name not in frame.index:
                message, hint = self._no_node(name, frame)
                self._report(where, message, hint, code="node_not_found")
            elif (name, branch or None) in frame.edges[node.id]:
                self._report(where, f"{need!r} is named twice", code="duplicate_id")
            else:
                frame.edges[node.id][name, branch or None] = Dependency(name, branch or None)
                if branch:
                    self._look_at_branch(frame, where, name, branch)
        if node.join == "any" and len(node.needs) < 2:  # noqa: PLR2004  # one is no choice
            hint = "name the branches that come together in needs"
            self._report(f"{path}.join", "any has no effect with fewer than two needs", hint, code="join_unused")

    def _look_at_branch(self, frame: _Frame, path: str, name: str, branch: str) -> None:
        router = frame.nodes[frame.index[name]]
        known = self._types.find(router.type)
        if known is None:
            return
        if known.kind != "router":
            message, hint = f"{name!r} is no router, so it has no branches", f"write {name!r}"
            self._report(path, message, hint, code="invalid_router")
            return
        branches = tuple(known.branches(router)) if known.branches else ()
        if branch not in branches:
            message = f"the router {name!r} has no branch {branch!r}"
            self._report(path, message, nearest(branch, branches), code="invalid_router")

    def _no_node(self, name: str, frame: _Frame) -> tuple[str, str | None]:
        elsewhere = self._where.get(name)
        if elsewhere is not None and elsewhere.owner is not None and not _is_around(elsewhere, frame):
            owner = elsewhere.owner.id
            return f"the node {name!r} is inside of {owner!r}", f"what {owner!r} gives is nodes.{owner}.output"
        if elsewhere is not None:
            return f"the node {name!r} is not in the same body", "an expression can read its output"
        return f"there is no node {name!r}", nearest(name, frame.index)

    def _look_at_expressions(self, frame: _Frame, path: str, node: NodeSpec, known: NodeType | None) -> None:
        lazy = known.lazy if known else frozenset[str]()
        for keys, text in _strings(node.config):
            if not has_markers(text):
                continue
            is_lazy = bool(keys) and keys[0] in lazy
            level = frame.bodies.get(node.id, frame) if is_lazy else frame
            names = level.names | _LAZY_NAMES if is_lazy else level.names
            given = self._resolve(_join(f"{path}.config", keys), text, level, node, names=names)
            if given is not None and known is not None:
                self._look_at_types(_join(f"{path}.config", keys), given, node, known, keys)
        if node.asset is not None and node.asset.partition is not None:
            self._resolve(f"{path}.asset.partition", node.asset.partition, frame, node, names=frame.names)

    def _look_at_types(
        self, path: str, given: frozenset[str], node: NodeSpec, known: NodeType, keys: Sequence[str | int]
    ) -> None:
        """Whether the field takes what the expression gives: a value of each type that this can be is tried in its place."""
        if not given <= _SAMPLES.keys():
            return
        refused = [kind for kind in sorted(given) if _refuses(known.config, node.config, keys, _SAMPLES[kind])]
        if len(refused) == len(given):
            message = f"the expression gives {' or '.join(refused)}, which the field does not take"
            self._report(path, message, "filters convert: int, float, string, tojson", code="type_mismatch")

    def _resolve(
        self,
        path: str,
        text: str,
        frame: _Frame | None,
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
            self._report(path, message, code="expression_invalid")
            return None
        given = [self._look_at_reference(path, reference, frame, node, names) for reference in references]
        return given[0] if sole is not None else None

    def _look_at_reference(
        self, path: str, reference: Reference, frame: _Frame | None, node: NodeSpec | None, names: frozenset[str]
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
                    self._report(path, f"there is no variable {reference}", near, code="variable_not_found")
            case "run" if frame is not None:
                if reference.path and reference.path[0] not in RUN_NAMES:
                    self._report(path, f"there is no {reference}", nearest("", RUN_NAMES), code="name_not_found")
            case "metadata" if frame is not None:
                pass
            case root:
                if not reference.optional:
                    known_names = {*names, "env"} | (_ROOTS if frame is not None else frozenset())
                    hint = nearest(root, sorted(known_names))
                    self._report(path, f"there is no {root!r} here", hint, code="name_not_found")
        return None

    def _look_at_input(self, path: str, reference: Reference) -> frozenset[str] | None:
        if not reference.path:
            return frozenset({"object"})
        name = str(reference.path[0])
        wanted = self._spec.inputs.get(name)
        if wanted is None:
            near = nearest(name, self._spec.inputs) or "declare it in inputs"
            self._report(path, f"there is no input {name!r}", near, code="input_not_found")
            return None
        if wanted.type == "any":
            return None
        if len(reference.path) == 1:
            return frozenset({wanted.type})
        inner = reference.path[1]
        if wanted.type in {"integer", "number", "boolean"} or (wanted.type == "string" and isinstance(inner, str)):
            message = f"the input {name!r} is of the type {wanted.type} and has no {inner!r}"
            self._report(path, message, code="input_not_found")
        return None

    def _look_at_output(
        self, path: str, reference: Reference, frame: _Frame, node: NodeSpec | None
    ) -> frozenset[str] | None:
        if not reference.path:
            hint = "write nodes.<id>.output"
            self._report(
                path, "nodes have to be named one by one, as the graph is made of it", hint, code="node_not_found"
            )
            return None
        name = str(reference.path[0])
        home: _Frame | None = frame
        while home is not None and name not in home.index:
            home = home.parent
        if home is None:
            message, near = self._no_node(name, frame)
            self._report(path, message, near, code="node_not_found")
            return None
        if node is not None:
            self._connect(path, name, home, node)
        found = home.nodes[home.index[name]]
        if len(reference.path) < 2 or reference.path[1] != "output":  # noqa: PLR2004  # the node, and its output
            hint = f"write nodes.{name}.output"
            self._report(path, f"{reference} is not there, as nodes have only an output", hint, code="output_not_found")
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
                self._report(path, message, near, code="output_not_found")
            return None

    def _connect(self, path: str, name: str, home: _Frame, node: NodeSpec) -> None:
        """Note that the node comes after what it reads; and when it is in a body, that the body's owner does."""
        if home.owner is not None and home.owner.id == node.id:
            return  # it reads what its own body gives
        reader, at = node.id, self._where[node.id]
        while at is not home and at.owner is not None and at.parent is not None:
            at.outer.add(name)
            reader, at = at.owner.id, at.parent
        if reader == name:
            what = "reads its own output" if node.id == name else f"reads the output of {name!r}, which it is a part of"
            self._report(path, f"the node {what}", code="cycle_detected")
            return
        if not any(known == name for known, _ in at.edges[reader]):
            at.edges[reader][name, None] = Dependency(name, explicit=False)

    # The graph

    def _look_at_graph(self, frame: _Frame) -> None:
        self._order(frame)
        if len(frame.order) < len(frame.index):
            self._tell_cycles(frame)
        self._measure(frame)
        self._tell_unreachable(frame)

    def _order(self, frame: _Frame) -> None:
        """Topological, and as written where that is free (Kahn, with a heap)."""
        waiting = {name: len({need for need, _ in frame.edges.get(name, ())}) for name in frame.index}
        followers = _followers(frame)
        ready = [frame.index[name] for name, count in waiting.items() if count == 0]
        heapq.heapify(ready)
        while ready:
            name = frame.nodes[heapq.heappop(ready)].id
            frame.order.append(name)
            for follower in followers[name]:
                waiting[follower] -= 1
                if waiting[follower] == 0:
                    heapq.heappush(ready, frame.index[follower])

    def _tell_cycles(self, frame: _Frame) -> None:
        names = list(frame.index)
        number = {name: position for position, name in enumerate(names)}
        graph = rustworkx.PyDiGraph()
        graph.add_nodes_from(names)
        graph.add_edges_from_no_data(
            [(number[need], number[name]) for name, edges in frame.edges.items() for need, _ in edges if name in number]
        )
        for component in rustworkx.strongly_connected_components(graph):
            if len(component) > 1:
                way = [names[position] for position in _cycle(graph, component)]
                shown = " → ".join([*way, way[0]] if len(way) <= 10 else [*way[:10], "…", way[0]])  # noqa: PLR2004  # a line
                hint = "something in it must not need, or read, what comes after"
                self._report(
                    f"{frame.path}.{way[0]}", f"the nodes wait for each other: {shown}", hint, code="cycle_detected"
                )

    def _measure(self, frame: _Frame) -> None:
        """The longest way through the level, and how many nodes wait for the same one at the same time."""
        rank: dict[str, int] = {}
        for name in frame.order:
            body = frame.bodies.get(name)
            before = max((rank[need] for need, _ in frame.edges.get(name, ())), default=0)
            rank[name] = before + 1 + (body.height if body else 0)
        frame.height = max(rank.values(), default=0)
        for name, followers in _followers(frame).items():
            together = Counter(rank[follower] for follower in followers if follower in rank)
            most = max(together.values(), default=0)
            if most > MAX_PARALLEL:
                message = f"{most} nodes run side by side after it, more than {MAX_PARALLEL}"
                self._report(f"{frame.path}.{name}", message, "use a map", code="limit_exceeded")

    def _look_at_depth(self) -> None:
        height = self._frames[0].height
        if height > MAX_DEPTH:
            message = f"the longest way through the workflow has {height} nodes, more than {MAX_DEPTH}"
            self._report("nodes", message, "call parts of it as workflows of their own", code="limit_exceeded")

    def _tell_unreachable(self, frame: _Frame) -> None:
        """Nodes that need branches of which a router never takes both."""
        if not any(self._is_exclusive(frame.nodes[frame.index[name]]) for name in frame.branches):
            return
        under: dict[str, dict[str, frozenset[str]]] = {}
        for name in frame.order:
            node = frame.nodes[frame.index[name]]
            each = [self._conditions_of(frame, edge, under) for edge in frame.edges.get(name, {}).values()]
            explicit = [
                conditions
                for edge, conditions in zip(frame.edges.get(name, {}).values(), each, strict=True)
                if edge.explicit
            ]
            under[name] = _either(explicit) if node.join == "any" else _both(each)
            impossible = [router for router, branches in under[name].items() if not branches]
            if impossible:
                router = impossible[0]
                message = f"never runs, as it needs several branches of {router!r}, which takes one of them"
                hint = "join: any runs it when one of its needs has run"
                self._report(f"{frame.path}.{name}", message, hint, code="unreachable_nodes")
                under[name] = {}

    def _conditions_of(
        self, frame: _Frame, edge: Dependency, under: Mapping[str, dict[str, frozenset[str]]]
    ) -> dict[str, frozenset[str]]:
        conditions = under[edge.node]
        if edge.branch is not None and self._is_exclusive(frame.nodes[frame.index[edge.node]]):
            return conditions | {edge.node: frozenset({edge.branch})}
        return conditions

    def _is_exclusive(self, node: NodeSpec) -> bool:
        known = self._types.find(node.type)
        if known is None or known.kind != "router":
            return False
        return known.exclusive is None or known.exclusive(node)

    # What is around the nodes

    def _look_at_outputs(self) -> None:
        for name, value in self._spec.outputs.items():
            for keys, text in _strings(value):
                if has_markers(text):
                    self._resolve(_join(f"outputs.{name}", keys), text, self._frames[0])

    def _look_at_trigger(self, path: str, trigger: Trigger) -> None:
        names: frozenset[str] = frozenset()
        match trigger:
            case EventTrigger():
                names = frozenset({"event"})
                if not any(fnmatchcase(known, trigger.event) for known in CATALOG.types):
                    message = f"there is no type of event {trigger.event!r}"
                    self._report(
                        f"{path}.event", message, nearest(trigger.event, CATALOG.types), code="event_not_found"
                    )
                if trigger.when is not None:
                    self._resolve(f"{path}.when", as_expression(trigger.when), None, names=names)
            case ScheduleTrigger():
                self._look_at_cron(f"{path}.cron", trigger.cron)
                self._look_at_timezone(f"{path}.timezone", trigger.timezone)
            case WebhookTrigger():
                names = frozenset({"body", "headers"})
            case RunTrigger():
                names = frozenset({"run"})
                if trigger.workflow == self._spec.name:
                    message = "the workflow would start itself again and again"
                    self._report(f"{path}.workflow", message, "a loop repeats nodes", code="cycle_detected")
        for keys, text in _strings(trigger.inputs):
            if has_markers(text):
                self._resolve(_join(f"{path}.inputs", keys), text, None, names=names)
        self._look_at_given(f"{path}.inputs", trigger.inputs, self._spec)

    def _look_at_cron(self, path: str, cron: str) -> None:
        reason = check_cron(cron)
        if reason is not None:
            hint = "five fields: minute, hour, day of the month, month, day of the week"
            self._report(path, f"{cron!r} is no cron expression: {reason}", hint, code="cron_invalid")

    def _look_at_timezone(self, path: str, name: str) -> None:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            hint = "names are those of the IANA database, such as Europe/Berlin"
            self._report(path, f"there is no time zone {name!r}", hint, code="timezone_invalid")


def _no_workflows(name: str, revision: int | None) -> tuple[int, WorkflowSpec]:
    del revision
    raise NotFoundError(f"The workflow {name!r} cannot be looked up here.")


def _level(frame: _Frame, done: Mapping[int, Level]) -> Level:
    needed = {need for edges in frame.edges.values() for need, _ in edges}
    return Level(
        nodes=tuple(frame.nodes[frame.index[name]] for name in frame.order),
        dependencies={name: tuple(frame.edges.get(name, {}).values()) for name in frame.order},
        branches=frame.branches,
        outer=frozenset(frame.outer),
        results=tuple(name for name in frame.order if name not in needed),
        bodies={name: done[id(body)] for name, body in frame.bodies.items()},
    )


def _followers(frame: _Frame) -> dict[str, list[str]]:
    followers: dict[str, list[str]] = {name: [] for name in frame.index}
    for name, edges in frame.edges.items():
        for need in dict.fromkeys(need for need, _ in edges):
            followers[need].append(name)
    return followers


def _is_around(outer: _Frame, inner: _Frame) -> bool:
    at: _Frame | None = inner
    while at is not None and at is not outer:
        at = at.parent
    return at is not None


def _cycle(graph: Any, component: Iterable[int]) -> list[int]:
    """One way round inside of a strongly connected component, from the node that is written first."""
    members = set(component)
    first = min(members)
    came_from = {first: first}
    waiting = [first]
    for position in waiting:
        for following in sorted(set(graph.successor_indices(position)) & members):
            if following == first:
                way = [position]
                while way[-1] != first:
                    way.append(came_from[way[-1]])
                return way[::-1]
            if following not in came_from:
                came_from[following] = position
                waiting.append(following)
    return [first]


def _both(conditions: Iterable[Mapping[str, frozenset[str]]]) -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for each in conditions:
        for router, branches in each.items():
            found[router] = found[router] & branches if router in found else branches
    return found


def _either(conditions: Sequence[Mapping[str, frozenset[str]]]) -> dict[str, frozenset[str]]:
    if not conditions:
        return {}
    common = set.intersection(*(set(each) for each in conditions))
    return {router: frozenset().union(*(each[router] for each in conditions)) for router in common}


# Configs


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


def _strings(value: Any) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """All strings in a JSON value, each with the keys that lead to it."""
    waiting: list[tuple[tuple[str | int, ...], Any]] = [((), value)]
    while waiting:
        keys, value = waiting.pop()
        if isinstance(value, str):
            yield keys, value
        elif isinstance(value, dict):
            waiting += [((*keys, str(key)), inner) for key, inner in reversed(value.items())]
        elif isinstance(value, list | tuple):
            waiting += [((*keys, index), inner) for index, inner in reversed(list(enumerate(value)))]


def _join(path: str, keys: Iterable[str | int]) -> str:
    return path + "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys)


def _is_open(found: Any) -> bool:
    """Whether the value is not known yet, as it holds an expression."""
    value = found["input"]
    if isinstance(value, str):
        return found["type"] != "extra_forbidden" and has_markers(value)
    is_rule = found["type"] in {"value_error", "assertion_error"}
    return is_rule and any(has_markers(text) for _, text in _strings(value))


def _of_config(path: str, found: Any, known: NodeType) -> Problem:
    where = _join(path, found["loc"])
    fields = list(known.config.model_fields)
    match found["type"]:
        case "extra_forbidden":
            hint = nearest(str(found["loc"][-1]), fields) if len(found["loc"]) == 1 else None
            return Problem(where, f"a {known.name} has no such field", hint, "config_field_unknown")
        case "missing":
            described = known.config.model_fields.get(str(found["loc"][0]))
            hint = described.description if described is not None and len(found["loc"]) == 1 else None
            return Problem(where, "is required", hint, "config_field_missing")
    return Problem(where, found["msg"], None, "config_invalid")


# What pydantic says


def _of_pydantic(found: Any, raw: Any) -> Problem:
    path = path_of(found["loc"], raw)
    match found["type"]:
        case "extra_forbidden":
            close = get_close_matches(str(found["loc"][-1]), _FIELDS, n=1)
            hint = f"did you mean {close[0]!r}?" if close else None
            return Problem(path, "there is no such field", hint, "field_unknown")
        case "missing":
            return Problem(path, "is required", None, "field_missing")
    return Problem(path, found["msg"], None, "field_invalid")


def _is_too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_NESTING):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list | tuple)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return True


def path_of(location: Sequence[str | int], raw: Any) -> str:
    """`("nodes", 0, "timeout")` as `nodes.fetch.timeout`, in the words of who wrote it."""
    path, at, last = "", raw, ""
    for part in location:
        shown: str | int = part
        if isinstance(part, int) and last == "nodes":
            listed = list(at.items()) if isinstance(at, dict) else None
            at = listed[part][1] if listed and part < len(listed) else _item(at, part)
            own = at.get("id") if isinstance(at, dict) else None
            shown = str(listed[part][0]) if listed and part < len(listed) else own if isinstance(own, str) else part
        elif isinstance(part, str) and last == "triggers" and isinstance(at, dict) and at.get("type") == part:
            last = ""
            continue  # which of the models was tried
        else:
            at = _item(at, part)
        path += f"[{shown}]" if isinstance(shown, int) else f".{shown}" if path else str(shown)
        last = last if isinstance(part, int) and last == "triggers" else str(part)
    return path


def _item(value: Any, part: str | int) -> Any:
    try:
        return value[part]
    except (LookupError, TypeError):
        return None


_FIELDS = sorted({*WorkflowSpec.model_fields, *NodeSpec.model_fields})
