"""What all peers of the workflow benchmark do, and how they are asked: a chain of nodes that each add one.

A request is `{"do": "run", "nodes": 5, "rounds": 20}`; the answer holds the milliseconds from the call that starts a run to
its finished state, and the CPU milliseconds that this process and those below it spent on each.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def serve(start: Callable[[int], Callable[[], int]], *, cpu: Callable[[], float] = time.process_time) -> None:
    """Answer requests until the input ends. `start(nodes)` gives a function that runs one chain and returns its result."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is not an answer
    chains: dict[int, Callable[[], int]] = {}
    for line in sys.stdin:
        request = json.loads(line)
        nodes = request["nodes"]
        if nodes not in chains:
            chains[nodes] = start(nodes)
        answers.write(json.dumps(measure(chains[nodes], nodes, request["rounds"], cpu)) + "\n")
        answers.flush()


def measure(chain: Callable[[], int], nodes: int, rounds: int, cpu: Callable[[], float]) -> dict[str, Any]:
    """Milliseconds and CPU milliseconds of each of `rounds` runs, after one that is not counted."""
    taken = []
    for number in range(rounds + 1):
        if number == 1:
            spent = cpu()
        began = time.perf_counter()
        result = chain()
        if result != nodes:
            raise RuntimeError(f"The chain of {nodes} nodes gave {result}.")
        taken.append((time.perf_counter() - began) * 1000)
    counted = sorted(taken[1:])
    return {
        "p50_ms": statistics.median(counted),
        "p95_ms": counted[min(len(counted) - 1, round(0.95 * len(counted)))],
        "cpu_ms": (cpu() - spent) * 1000 / rounds,
    }
