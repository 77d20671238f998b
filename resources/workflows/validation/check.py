"""The checks of a workflow, in their order."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from resources.errors import NotFoundError
from resources.workflows.expressions import Expressions, has_markers
from resources.workflows.graph import CheckedWorkflow, Level
from resources.workflows.inputs import problems_of_definition, problems_of_given
from resources.workflows.rules import (
    MAX_SPEC_BYTES,
    problems_of_name,
    problems_of_notes,
    problems_of_text,
)
from resources.workflows.spec import (
    MAX_DEPTH,
    MAX_NODES,
    NodeSpec,
    WebhookTrigger,
    WorkflowSpec,
)
from resources.workflows.validation.findings import Findings, WorkflowInvalidError, joined, strings
from resources.workflows.validation.levels import Frame, Graphs, level
from resources.workflows.validation.node_check import NodeCheck
from resources.workflows.validation.reading import parse
from resources.workflows.validation.reference_check import ReferenceCheck
from resources.workflows.validation.trigger_check import TriggerCheck

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from resources.workflows.node_type import NodeTypes

    Lookup = Callable[[str, int | None], tuple[int, WorkflowSpec]]

MAX_NESTED_WORKFLOWS = 20
_BODY_NAMES = {"map": ("index",), "loop": ("index", "state", "iteration")}


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
        self._frames: list[Frame] = []
        self._where: dict[str, Frame] = {}
        self._workflows: dict[tuple[str, int], CheckedWorkflow] = {}
        self._findings = Findings()
        self._nodes = NodeCheck(types, self._where, self._findings)
        self._references = ReferenceCheck(spec, types, expressions, self._where, self._findings)
        self._graphs = Graphs(types, self._findings)
        self._triggers = TriggerCheck(spec, self._references, self._findings)

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
                self._graphs.look(frame)
            self._look_at_depth()
            self._look_at_outputs()
            for number, trigger in enumerate(self._spec.triggers):
                self._triggers.look(f"triggers[{number}]", trigger)
        if self._findings:
            raise WorkflowInvalidError(self._spec.name, list(self._findings))
        levels: dict[int, Level] = {}
        for frame in reversed(self._frames):
            levels[id(frame)] = level(frame, levels)
        return CheckedWorkflow(self._spec, levels[id(self._frames[0])], self._workflows)

    def _lay_out(self) -> None:
        waiting = [Frame(self._spec.nodes, "nodes")]
        while waiting:
            frame = waiting.pop()
            self._frames.append(frame)
            for position, node in enumerate(frame.nodes):
                path = frame.place(node)
                if node.id in self._where:
                    hint = "ids are unique in the whole workflow, bodies included"
                    self._findings.report(path, "there are two nodes with this id", hint, code="duplicate_id")
                    continue
                frame.index[node.id] = position
                self._where[node.id] = frame
                if node.nodes:
                    names = frame.names | self._names_of_body(node)
                    body = Frame(node.nodes, f"{path}.nodes", names, frame, node, frame.depth + 1)
                    frame.bodies[node.id] = body
                    waiting.append(body)
        if not self._spec.nodes:
            self._findings.report("nodes", "a workflow has at least one node", code="limit_exceeded")
        if len(self._where) > MAX_NODES:
            hint = "call parts of it as workflows of their own"
            found = f"there are {len(self._where)} nodes, more than {MAX_NODES}"
            self._findings.report("nodes", found, hint, code="limit_exceeded")

    def _names_of_body(self, node: NodeSpec) -> frozenset[str]:
        known = self._types.find(node.type)
        kind = known.kind if known else "map"
        item = node.config.get("as", "item")
        return frozenset({*_BODY_NAMES.get(kind, ()), *([str(item)] if kind in {"map", "loop"} else [])})

    def _look_at_workflow(self) -> None:
        spec = self._spec
        if len(spec.canonical()) > MAX_SPEC_BYTES:
            self._findings.report("", f"the workflow has more than {MAX_SPEC_BYTES} bytes", code="limit_exceeded")
        self._findings.take(problems_of_text("description", spec.description))
        self._findings.take(problems_of_notes("", spec.metadata, spec.tags))
        for name, wanted in spec.inputs.items():
            self._findings.take(problems_of_name(f"inputs.{name}", name, "an input"))
            self._findings.take(problems_of_definition(f"inputs.{name}", wanted))
        if spec.schedule is not None:
            self._triggers.cron("schedule", spec.schedule)
            self._findings.take(problems_of_given("schedule", {}, spec))
        names = Counter(trigger.name for trigger in spec.triggers if isinstance(trigger, WebhookTrigger))
        for name, count in names.items():
            if count > 1:
                self._findings.report("triggers", f"there are {count} webhooks {name!r}", code="duplicate_id")
        assets = Counter(node.asset.key for frame in self._frames for node in frame.nodes if node.asset)
        for key, count in assets.items():
            if count > 1:
                self._findings.report("nodes", f"{count} nodes give the asset {'/'.join(key)!r}", code="duplicate_id")

    def _look_at_node(self, frame: Frame, node: NodeSpec) -> None:
        path = frame.place(node)
        known = self._nodes.look(frame, path, node)
        if known is not None and known.kind == "sub_workflow":
            self._look_at_sub_workflow(f"{path}.config", node)
        self._references.look(frame, path, node, known)

    def _look_at_sub_workflow(self, path: str, node: NodeSpec) -> None:
        name, revision = node.config.get("workflow"), node.config.get("revision")
        if not isinstance(name, str):
            return  # the config's model has told
        if has_markers(name) or isinstance(revision, str):
            if not self._findings.has(f"{path}.workflow", f"{path}.revision"):
                hint = "which workflow is called is known before the run; a router can choose between several nodes"
                self._findings.report(f"{path}.workflow", "cannot be an expression", hint, code="config_invalid")
            return
        if name in self._chain:
            way = " → ".join((*self._chain, name))
            self._findings.report(f"{path}.workflow", f"the workflow would call itself: {way}", code="cycle_detected")
            return
        if len(self._chain) > MAX_NESTED_WORKFLOWS:
            message = f"more than {MAX_NESTED_WORKFLOWS} workflows would call one another"
            self._findings.report(f"{path}.workflow", message, code="limit_exceeded")
            return
        try:
            number, spec = (self._lookup or _no_workflows)(name, revision)
            called = self._called(number, spec)
        except NotFoundError as error:
            self._findings.report(f"{path}.workflow", error.message, "publish it first", code="workflow_not_found")
        except WorkflowInvalidError as error:
            for found in error.problems:
                self._findings.report(f"{path}.workflow", f"{name}: {found}", code=found.code or "workflow_invalid")
        else:
            self._workflows[name, number] = called
            given = node.config.get("inputs")
            given = given if isinstance(given, dict) else {}
            self._findings.take(problems_of_given(f"{path}.inputs", given, spec))

    def _called(self, number: int, spec: WorkflowSpec) -> CheckedWorkflow:
        key = spec.name, number
        if key not in self._known:
            chain = (*self._chain, spec.name)
            inner = _Check(spec, self._types, self._lookup, self._expressions, known=self._known, chain=chain)
            self._known[key] = inner.result()
        return self._known[key]

    def _look_at_depth(self) -> None:
        height = self._frames[0].height
        if height > MAX_DEPTH:
            message = f"the longest way through the workflow has {height} nodes, more than {MAX_DEPTH}"
            self._findings.report("nodes", message, "call parts of it as workflows of their own", code="limit_exceeded")

    def _look_at_outputs(self) -> None:
        for name, value in self._spec.outputs.items():
            for keys, text in strings(value):
                if has_markers(text):
                    self._references.resolve(joined(f"outputs.{name}", keys), text, self._frames[0])


def _no_workflows(name: str, revision: int | None) -> tuple[int, WorkflowSpec]:
    del revision
    raise NotFoundError(f"The workflow {name!r} cannot be looked up here.")
