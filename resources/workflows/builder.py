"""Workflows in Python. What `build` gives is the same object that YAML gives.

workflow = (
    WorkflowBuilder("triage")
    .input("text")
    .add_node("sort", "condition", {"when": "{{ inputs.text | length > 100 }}"})
    .add_node("long", "template", {"template": "long"})
    .add_node("short", "template", {"template": "short"})
    .branch_if("sort", true="long", false="short")
    .add_node("answer", "template", {"template": "{{ inputs.text }}"})
    .merge_to("answer", "long", "short")
    .build()
)
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

from resources.errors import InvalidInputError, Problem
from resources.workflows.validation import WorkflowInvalidError, check, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from resources.workflows.node_type import NodeTypes
    from resources.workflows.spec import WorkflowSpec

    Rule = Callable[[WorkflowSpec], Iterable[Problem]]


class WorkflowBuilder:
    """Collects a workflow call by call. Nodes keep the order in which they were added."""

    def __init__(self, name: str) -> None:
        self._raw: dict[str, Any] = {"name": name}
        self._nodes: dict[str, dict[str, Any]] = {}
        self._rules: list[Rule] = []

    # The workflow

    def describe(self, text: str) -> Self:
        """What it is for."""
        return self._set(description=text)

    def version(self, label: str) -> Self:
        """The author's own label."""
        return self._set(version=label)

    def input(self, name: str, type: str = "string", **limits: Any) -> Self:
        """A value that runs are given; `limits` are the fields of an input in a file (`default`, `min`, `enum`, …)."""
        self._raw.setdefault("inputs", {})[name] = {"type": type, **limits}
        return self

    def output(self, name: str, value: Any) -> Self:
        """A result, as an expression over the nodes."""
        self._raw.setdefault("outputs", {})[name] = value
        return self

    def trigger(self, type: str, **fields: Any) -> Self:
        """What starts runs: `trigger("event", event="document.ready")`."""
        self._raw.setdefault("triggers", []).append({"type": type, **fields})
        return self

    def schedule(self, cron: str) -> Self:
        """Start runs by the clock."""
        return self._set(schedule=cron)

    def metadata(self, **values: Any) -> Self:
        """Notes for people and programs."""
        self._raw.setdefault("metadata", {}).update(values)
        return self

    def tags(self, *tags: str) -> Self:
        """Words to find the workflow by."""
        self._raw.setdefault("tags", []).extend(tags)
        return self

    def timeout(self, seconds: float) -> Self:
        """The longest that a run may take."""
        return self.config(timeout=seconds)

    def max_parallel(self, nodes: int) -> Self:
        """How many nodes of a run work at a time."""
        return self.config(max_parallel=nodes)

    def config(self, **fields: Any) -> Self:
        """Whatever else holds for every run (`retries`, `continue_on_error`, …)."""
        self._raw.setdefault("config", {}).update(fields)
        return self

    # The nodes

    def add_node(self, id: str, type: str, config: Mapping[str, Any] | None = None, **fields: Any) -> Self:
        """A node; `fields` are those of a node in a file (`timeout`, `retry`, …). Raises InvalidInputError for a known id."""
        if id in self._nodes:
            raise InvalidInputError(f"There is a node {id!r} already.", code="duplicate_id")
        self._nodes[id] = {"id": id, "type": type, **({"config": dict(config)} if config else {}), **fields}
        return self

    def connect(self, *ids: str) -> Self:
        """Let each of the nodes run after the one before it. `router:branch` is a branch."""
        for before, after in pairwise(ids):
            self._need(after.partition(":")[0], before)
        return self

    def branch_if(self, router: str, *, true: str, false: str) -> Self:
        """Let `true` run when the condition holds, else `false`."""
        self._need(true, f"{router}:true")
        self._need(false, f"{router}:false")
        return self

    def merge_to(self, id: str, *ends: str) -> Self:
        """Let the node run when any of the ends has, as it must after branches."""
        for end in ends:
            self._need(id, end)
        self._node(id)["join"] = "any"
        return self

    def parallel(self, id: str, body: WorkflowBuilder | Sequence[Mapping[str, Any]], **fields: Any) -> Self:
        """A group of nodes that run side by side."""
        return self.add_node(id, "parallel", nodes=_body(body), **fields)

    def map_over(self, id: str, items: Any, body: WorkflowBuilder | Sequence[Mapping[str, Any]], **config: Any) -> Self:
        """Run the body once for each item, several at a time."""
        return self.add_node(id, "map", {"items": items, **config}, nodes=_body(body))

    def loop(self, id: str, body: WorkflowBuilder | Sequence[Mapping[str, Any]], **config: Any) -> Self:
        """Run the body again and again; `config` says over what or how long (`while` is written `while_`)."""
        written = {name.removesuffix("_"): value for name, value in config.items()}
        return self.add_node(id, "loop", written, nodes=_body(body))

    # The end

    def validate(self, rule: Rule) -> Self:
        """A rule of your own, asked by `build`: it gives the problems that it finds."""
        self._rules.append(rule)
        return self

    def build(self, types: NodeTypes | None = None) -> WorkflowSpec:
        """The spec; checked as a whole when the node types are given. Raises WorkflowInvalidError with all problems."""
        spec = parse({**self._raw, "nodes": list(self._nodes.values())})
        problems = [problem for rule in self._rules for problem in rule(spec)]
        if types is not None:
            try:
                check(spec, types)
            except WorkflowInvalidError as error:
                problems = [*error.problems, *problems]
        if problems:
            raise WorkflowInvalidError(spec.name, problems)
        return spec

    @property
    def nodes(self) -> list[dict[str, Any]]:
        """What was added, as a file would say it."""
        return list(self._nodes.values())

    def _set(self, **fields: Any) -> Self:
        self._raw.update(fields)
        return self

    def _node(self, id: str) -> dict[str, Any]:
        if id not in self._nodes:
            raise InvalidInputError(f"There is no node {id!r} yet; add it first.", code="node_not_found")
        return self._nodes[id]

    def _need(self, id: str, need: str) -> None:
        self._node(need.partition(":")[0])
        needs = self._node(id).setdefault("needs", [])
        if need not in needs:
            needs.append(need)


def _body(body: WorkflowBuilder | Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return body.nodes if isinstance(body, WorkflowBuilder) else [dict(node) for node in body]
