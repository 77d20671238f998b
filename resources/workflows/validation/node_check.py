"""What a node says on its own, and about the nodes that it needs."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from resources.errors import Problem
from resources.workflows.expressions import has_markers
from resources.workflows.graph import Dependency
from resources.workflows.inputs import nearest
from resources.workflows.rules import problems_of_notes, problems_of_port, problems_of_text
from resources.workflows.validation.findings import Findings, joined, strings
from resources.workflows.validation.levels import Frame, no_node

if TYPE_CHECKING:
    from collections.abc import Mapping

    from resources.workflows.node_type import NodeType, NodeTypes
    from resources.workflows.spec import (
        NodeSpec,
    )

_BODIES = frozenset({"map", "loop", "parallel"})


class NodeCheck:
    """Looks at nodes one by one; `where` tells the level of each."""

    def __init__(self, types: NodeTypes, where: Mapping[str, Frame], findings: Findings) -> None:
        self._types = types
        self._where = where
        self._findings = findings

    def look(self, frame: Frame, path: str, node: NodeSpec) -> NodeType | None:
        """One node, at its path; its type, if there is such a type."""
        self._findings.take(problems_of_port(path, node.id, "a node"))
        self._findings.take(problems_of_text(f"{path}.description", node.description))
        self._findings.take(problems_of_notes(f"{path}.", node.metadata, node.tags))
        known = self._types.find(node.type)
        if known is None:
            hint = nearest(node.type, self._types)
            self._findings.report(
                f"{path}.type", f"there is no node type {node.type!r}", hint, code="node_type_not_found"
            )
        else:
            self._look_at_config(path, node, known)
            self._look_at_body(path, node, known)
            self._look_at_branches(frame, path, node, known)
        self._look_at_needs(frame, path, node)
        return known

    def _look_at_body(self, path: str, node: NodeSpec, known: NodeType) -> None:
        if known.kind in _BODIES and not node.nodes and not self._findings.has(f"{path}.nodes"):
            self._findings.report(f"{path}.nodes", f"a {known.name} has a body of nodes", code="body_missing")
        if known.kind not in _BODIES and node.nodes:
            hint = "only maps, loops and parallel groups have one"
            self._findings.report(f"{path}.nodes", f"a {known.name} has no body", hint, code="body_unexpected")

    def _look_at_config(self, path: str, node: NodeSpec, known: NodeType) -> None:
        try:
            known.config.model_validate(node.config)
        except ValidationError as error:
            for found in error.errors(include_url=False):
                if not _is_open(found):
                    self._findings.take([_of_config(f"{path}.config", found, known)])
        if known.check is not None:
            for problem in known.check(node):
                code = problem.code or "config_invalid"
                self._findings.report(f"{path}.{problem.path}", problem.message, problem.hint, code=code)

    def _look_at_branches(self, frame: Frame, path: str, node: NodeSpec, known: NodeType) -> None:
        if known.kind != "router":
            return
        branches = tuple(known.branches(node)) if known.branches else ()
        frame.branches[node.id] = branches
        if not branches:
            self._findings.report(path, "a router has at least one branch", code="invalid_router")
        for branch, count in Counter(branches).items():
            self._findings.take(problems_of_port(f"{path}.config", branch, "a branch"))
            if branch == "result":
                message = "'result' is reserved by the engine and cannot name a branch"
                self._findings.report(f"{path}.config", message, code="reserved_name")
            if count > 1:
                self._findings.report(f"{path}.config", f"there are {count} branches {branch!r}", code="invalid_router")

    def _look_at_needs(self, frame: Frame, path: str, node: NodeSpec) -> None:
        for number, need in enumerate(node.needs):
            where = f"{path}.needs[{number}]"
            name, _, branch = need.partition(":")
            if name == node.id:
                self._findings.report(where, "the node needs itself", code="cycle_detected")
            elif name not in frame.index:
                message, hint = no_node(name, frame, self._where)
                self._findings.report(where, message, hint, code="node_not_found")
            elif (name, branch or None) in frame.edges[node.id]:
                self._findings.report(where, f"{need!r} is named twice", code="duplicate_id")
            else:
                frame.edges[node.id][name, branch or None] = Dependency(name, branch or None)
                if branch:
                    self._look_at_branch(frame, where, name, branch)
        if node.join == "any" and len(node.needs) < 2:  # noqa: PLR2004  # one is no choice
            hint = "name the branches that come together in needs"
            self._findings.report(
                f"{path}.join", "any has no effect with fewer than two needs", hint, code="join_unused"
            )

    def _look_at_branch(self, frame: Frame, path: str, name: str, branch: str) -> None:
        router = frame.nodes[frame.index[name]]
        known = self._types.find(router.type)
        if known is None:
            return
        if known.kind != "router":
            message, hint = f"{name!r} is no router, so it has no branches", f"write {name!r}"
            self._findings.report(path, message, hint, code="invalid_router")
            return
        branches = tuple(known.branches(router)) if known.branches else ()
        if branch not in branches:
            message = f"the router {name!r} has no branch {branch!r}"
            self._findings.report(path, message, nearest(branch, branches), code="invalid_router")


def _is_open(found: Any) -> bool:
    """Whether the value is not known yet, as it holds an expression."""
    value = found["input"]
    if isinstance(value, str):
        return found["type"] != "extra_forbidden" and has_markers(value)
    is_rule = found["type"] in {"value_error", "assertion_error"}
    return is_rule and any(has_markers(text) for _, text in strings(value))


def _of_config(path: str, found: Any, known: NodeType) -> Problem:
    where = joined(path, found["loc"])
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
