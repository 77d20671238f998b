"""LangGraph on the chain: one graph, each node a super-step, checkpointed in the same PostgreSQL before the next one begins."""

from __future__ import annotations

import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

sys.path.insert(0, str(Path(__file__).parents[4]))

from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.graph import END, START, StateGraph

from tests.benchmarks.peers import chain

if TYPE_CHECKING:
    from collections.abc import Callable


class State(TypedDict):
    value: int


def add_one(state: State) -> State:
    return {"value": state["value"] + 1}


def main(url: str) -> None:
    with PostgresSaver.from_conn_string(url) as saver:
        saver.setup()

        def start(nodes: int) -> Callable[[], int]:
            graph = StateGraph(State)
            names = [f"n{number}" for number in range(nodes)]
            for name in names:
                graph.add_node(name, add_one)
            for one, next_one in zip([START, *names], [*names, END], strict=True):
                graph.add_edge(one, next_one)
            compiled = graph.compile(checkpointer=saver)

            def run() -> int:
                config = {"configurable": {"thread_id": str(uuid.uuid4())}, "recursion_limit": nodes + 5}
                return int(compiled.invoke({"value": 0}, config, durability="sync")["value"])

            return run

        chain.serve(start)


if __name__ == "__main__":
    main(sys.argv[1])
