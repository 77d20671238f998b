"""The chain as Dagster's users write it, with the in-process executor and with the default one."""

import dagster as dg


@dg.op
def zero() -> int:
    return 0


@dg.op
def add_one(value: int) -> int:
    return value + 1


def chain(nodes: int, name: str, executor: dg.ExecutorDefinition | None) -> dg.JobDefinition:
    """A job of `nodes` ops that each add one."""

    def compose() -> None:
        value = zero()
        for number in range(nodes):
            value = add_one.alias(f"n{number}")(value)

    return dg.job(name=name, executor_def=executor)(compose)


defs = dg.Definitions(
    jobs=[
        *(chain(nodes, f"in_process_{nodes}", dg.in_process_executor) for nodes in (5, 50, 200)),
        chain(5, "default_5", None),
    ]
)
