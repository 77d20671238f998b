"""The checked form of a workflow: what depends on what, in an order in which everything can run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from resources.workflows.spec import NodeSpec, WorkflowSpec


@dataclass(frozen=True, slots=True)
class Dependency:
    """One edge: `node` (of the same level) must have run, and have taken `branch` when one is named.

    `explicit` edges stand in `needs`; the others come from expressions. Both carry the node's result.
    """

    node: str
    branch: str | None = None
    explicit: bool = True


@dataclass(frozen=True, slots=True)
class Level:
    """The nodes of the workflow, or of the body of one node, in topological order (as written where that is free).

    `outer` names nodes of the levels around that an expression in here refers to. `results` are the nodes whose output is the
    output of the body: those that nothing else in it depends on.
    """

    nodes: tuple[NodeSpec, ...]
    dependencies: Mapping[str, tuple[Dependency, ...]]
    branches: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    outer: frozenset[str] = frozenset()
    results: tuple[str, ...] = ()
    bodies: Mapping[str, Level] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CheckedWorkflow:
    """A spec in which nothing is wrong. `workflows` are the sub-workflows it calls, by (name, revision), checked too."""

    spec: WorkflowSpec
    level: Level
    workflows: Mapping[tuple[str, int], CheckedWorkflow] = field(default_factory=dict)
