"""A group of nodes as one: they run at the same time, as far as they do not depend on each other."""

from resources.workflows.node_type import NodeConfig, NodeType


class Config(NodeConfig):
    """A group needs no config: its nodes say everything."""


parallel = NodeType(
    name="parallel",
    kind="parallel",
    summary="Run the nodes of the body at the same time; the output holds theirs by id",
    config=Config,
    run=None,
    output={"type": "object"},
    examples=(
        {
            "id": "both",
            "type": "parallel",
            "nodes": {
                "one": {"type": "template", "config": {"template": "one"}},
                "two": {"type": "template", "config": {"template": "two"}},
            },
        },
    ),
)
