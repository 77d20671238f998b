"""Go one of several ways, or all that fit."""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, Field

from assets.nodes.base import check_condition, node
from resources.errors import Problem
from resources.workflows.node_type import NodeConfig, NodeContext, Routed
from resources.workflows.spec import NODE_ID, NodeSpec


class Case(NodeConfig):
    """A condition and the branch that it opens."""

    when: bool | str = Field(description="Expression: take the branch when it holds")
    branch: str = Field(pattern=NODE_ID, max_length=100, description="Name of the branch")


class Config(NodeConfig):
    """The cases, tried in order."""

    cases: tuple[Case, ...] = Field(min_length=1, max_length=50, description="Conditions and their branches, in order")
    default: str | None = Field(
        default=None, pattern=NODE_ID, max_length=100, description="Branch to take when no case holds; none if unset"
    )
    all_matching: bool = Field(default=False, description="Take every branch whose case holds, not just the first")


class Output(BaseModel):
    """Which ways it went."""

    branches: list[str] = Field(description="The branches that were taken, in the order of the cases")
    branch: str | None = Field(description="The first of them; null when none was taken")


def _cases(spec: NodeSpec) -> list[dict[str, Any]]:
    cases = spec.config.get("cases")
    return [case for case in cases if isinstance(case, dict)] if isinstance(cases, list | tuple) else []


def _branches(spec: NodeSpec) -> Sequence[str]:
    names = [*(case.get("branch") for case in _cases(spec)), spec.config.get("default")]
    return tuple(dict.fromkeys(name for name in names if isinstance(name, str)))


def _check(spec: NodeSpec) -> Sequence[Problem]:
    return [
        problem
        for number, case in enumerate(_cases(spec))
        if "when" in case
        for problem in check_condition(case["when"], f"config.cases[{number}].when")
    ]


def _exclusive(spec: NodeSpec) -> bool:
    return spec.config.get("all_matching", False) is False


@node(
    "router",
    kind="router",
    output=Output,
    summary="Go one of several ways: needs: triage:billing",
    lazy={"cases"},
    branches=_branches,
    exclusive=_exclusive,
    check=_check,
    examples=[
        {
            "id": "triage",
            "type": "router",
            "config": {
                "cases": [
                    {"when": "{{ 'invoice' in 'Where is my invoice?' }}", "branch": "billing"},
                    {"when": "{{ 'error' in 'Where is my invoice?' }}", "branch": "technical"},
                ],
                "default": "general",
            },
        }
    ],
)
def router(config: Config, context: NodeContext) -> Routed:
    """The branches that hold; a case after the one that is taken is not looked at."""
    taken: list[str] = []
    for case in config.cases:
        if bool(context.render(case.when)) and case.branch not in taken:
            taken.append(case.branch)
            if not config.all_matching:
                break
    if not taken and config.default is not None:
        taken.append(config.default)
    return Routed(tuple(taken), Output(branches=taken, branch=taken[0] if taken else None))
