"""Whether a workflow can run: everything that is wrong with it, at once, each with its path, a code and a hint.

Two passes over the nodes, both without recursion, so that a thousand of them (in whatever nesting) take a fraction of a second:
the first lays out the levels (the workflow, and the bodies of maps, loops and parallel groups), the second looks at each node
and at what it says about others. Then each level is ordered and looked at as a graph.
"""

from resources.workflows.validation.check import check
from resources.workflows.validation.findings import WorkflowInvalidError
from resources.workflows.validation.reading import parse

__all__ = ["WorkflowInvalidError", "check", "parse"]
