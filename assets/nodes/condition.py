"""Go one of two ways."""

from collections.abc import Sequence

from pydantic import BaseModel, Field

from assets.nodes.base import check_condition, node
from resources.errors import Problem
from resources.workflows.node_type import NodeConfig, NodeContext, Routed
from resources.workflows.spec import NodeSpec


class Config(NodeConfig):
    """What decides."""

    when: bool | str = Field(description="Expression: yes takes the branch `true`, no the branch `false`")


class Output(BaseModel):
    """Which way it went."""

    result: bool = Field(description="Whether the condition holds")
    branch: str = Field(description="The branch that was taken: true or false")


def _branches(spec: NodeSpec) -> Sequence[str]:
    del spec
    return ("true", "false")


def _check(spec: NodeSpec) -> Sequence[Problem]:
    return check_condition(spec.config["when"], "config.when") if "when" in spec.config else ()


@node(
    "condition",
    kind="router",
    output=Output,
    summary="Go one of two ways: needs: check:true, or check:false",
    lazy={"when"},
    branches=_branches,
    check=_check,
    examples=[{"id": "check", "type": "condition", "config": {"when": "{{ [1, 2, 3] | length > 2 }}"}}],
)
def condition(config: Config, context: NodeContext) -> Routed:
    """The branch that holds."""
    result = bool(context.render(config.when))
    branch = "true" if result else "false"
    return Routed((branch,), Output(result=result, branch=branch))
