# ruff: noqa: ANN001, ANN201, ANN202, ARG001, T201
"""One job for each kind of op, built for any executor: what the lean executor does is compared with what stock does."""

# Ops without annotations are a kind of op too.
import asyncio
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from definitions.runtime.lean.executor import EFFECTS_TAG, TIMEOUT_TAG
from definitions.runtime.lean.light import light, step_key_of

FLAG = "LEAN_TEST_FLAG"
"""Names a file: ops that fail succeed once it exists, and ops that must wait do so until it exists."""


def flag_is_up() -> bool:
    return Path(os.environ[FLAG]).exists()


@dg.op
def one() -> int:
    return 1


@dg.op
@light
def lightly(context, x) -> dg.Output[int]:
    """Asks for no more than a light context has."""
    told: dict[str, Any] = {
        "100% [of] \\ it": dg.MetadataValue.json({"x": [x, "]\n\t"]}),
        "key": f"{step_key_of(context)} {context.run.job_name}",
    }
    return dg.Output(x + context.retry_number, metadata=told)


@dg.op(required_resource_keys={"io_manager"}, retry_policy=dg.RetryPolicy(max_retries=1, delay=0.01))
@light
def less_lightly(context, x) -> dg.Output[int]:
    """Asks for the real context."""
    assert context.resources.io_manager is not None
    context.log.info("asked")
    context.log_event(dg.AssetMaterialization("of_a_light_op"))
    if context.retry_number == 0:
        raise RuntimeError("once more")
    return dg.Output(x, metadata={"number": 1.5})


@dg.op
@light
def lightly_wrong(context, x) -> dg.Output[str]:
    return dg.Output(x, metadata={"number": 1})


@dg.op
def add_one(x):
    return x + 1


@dg.op
def total(xs):
    return sum(xs)


@dg.op
def minus(a: int, b: int) -> int:
    return a - b


@dg.op
def broken(x):
    if flag_is_up():
        return x
    raise ValueError("this op is broken")


@dg.op
def declared_failure(x):
    raise dg.Failure("refused", metadata={"why": "because"}, allow_retries=False)


@dg.op(retry_policy=dg.RetryPolicy(max_retries=2, delay=0.01))
def flaky(context: dg.OpExecutionContext, x):
    if context.retry_number < 2:
        raise RuntimeError("flaky")
    return x


@dg.op
def asks_for_a_retry(context: dg.OpExecutionContext, x):
    if context.retry_number < 1:
        raise dg.RetryRequested(max_retries=1, seconds_to_wait=0.01)
    return x


@dg.op(retry_policy=dg.RetryPolicy(max_retries=1))
def never_works(x):
    raise RuntimeError("never works")


@dg.op(out={"left": dg.Out(is_required=False), "right": dg.Out(is_required=False)})
def branch():
    yield dg.Output(1, "left")


@dg.op(out=dg.DynamicOut())
def fan_out():
    for i in range(3):
        yield dg.DynamicOutput(i, mapping_key=str(i))


@dg.op(out={"a": dg.Out(), "b": dg.Out(str)})
def two_outputs():
    return 1, "two"


@dg.op
def joined(a, b):
    return f"{a}{b}"


class Settings(dg.Config):
    k: int = 5


class Where(dg.ConfigurableResource[Any]):
    url: str = "url"


@dg.op
def rich(context: dg.OpExecutionContext, x: int, config: Settings, where: Where) -> int:
    context.log.info("a line of the op")
    dg.get_dagster_logger().info("a line of the process")
    print("said on standard output")
    context.add_output_metadata({"rows": 3})
    return x + config.k + len(where.url)


@dg.op
def with_metadata(x: int) -> dg.Output[int]:
    dg.get_dagster_logger().info("another line of the process")
    return dg.Output(x, metadata={"q": 1.5})


@dg.op
async def asynchronous(x: int) -> int:
    await asyncio.sleep(0.001)
    return x


@dg.op
def nothing(x: int) -> None:
    pass


@dg.op(ins={"start": dg.In(dg.Nothing)})
def after() -> str:
    return "after"


@dg.op(config_schema={"n": dg.Field(int, default_value=2)})
def old_style(context, x):
    return x * context.op_config["n"]


@dg.op
def with_default(x: int = 7) -> int:
    return x


@dg.op
def knows_its_context(x):
    return dg.OpExecutionContext.get().op.name


@dg.op
def wrong_type(x) -> int:
    return "text"  # type: ignore[return-value]


@dg.op
def strict(x: int) -> int:
    return x


@dg.op
def text(x) -> Any:
    return "text"


def _positive(_: dg.TypeCheckContext, value: int) -> dg.TypeCheck:
    return dg.TypeCheck(success=value > 0, description="is it positive?", metadata={"value": value})


Positive = dg.DagsterType(name="Positive", type_check_fn=_positive)


@dg.op(out=dg.Out(Positive))
def positive(x):
    return x


@dg.op
def not_storable(x):
    return lambda: x


@dg.op
def logs_a_materialization(context: dg.OpExecutionContext, x):
    context.log_event(dg.AssetMaterialization("logged_asset", metadata={"n": 1}))
    context.log_event(dg.ExpectationResult(success=True, label="expected"))
    return x


@dg.op
def yields_a_materialization(x):
    yield dg.AssetMaterialization("yielded_asset")
    yield dg.Output(x)


@dg.op
def returns_a_materialization(x):
    return dg.AssetMaterialization("returned_asset")


@dg.op(tags={EFFECTS_TAG: "true"})
def effect(x):
    return x


@dg.op
def nap(x):
    time.sleep(0.2)
    return x


@dg.op
async def async_nap(x):
    await asyncio.sleep(0.2)
    return x


@dg.op(tags={TIMEOUT_TAG: "0.2"})
def too_slow(x):
    wait_for_flag(20)
    return x


@dg.op(tags={TIMEOUT_TAG: "0.2"}, retry_policy=dg.RetryPolicy(max_retries=1))
def too_slow_at_first(context: dg.OpExecutionContext, x):
    if context.retry_number == 0:
        wait_for_flag(20)
    return x


@dg.op(tags={TIMEOUT_TAG: "0.2"})
async def too_slow_async(x):
    await asyncio.sleep(20)


@dg.op(tags={TIMEOUT_TAG: "0.2"})
def too_slow_generator(x):
    wait_for_flag(20)
    yield dg.Output(x)


@dg.op(tags={TIMEOUT_TAG: "20"})
def fast_enough(x):
    return x


def wait_for_flag(seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not flag_is_up():
        time.sleep(0.01)


@dg.op
def linger(x):
    Path(os.environ[FLAG] + ".begun").touch()
    wait_for_flag(60)
    return x


@dg.op(retry_policy=dg.RetryPolicy(max_retries=3))
def linger_with_policy(x):
    Path(os.environ[FLAG] + ".begun").touch()
    wait_for_flag(60)
    return x


@dg.op
def short(x):
    time.sleep(0.02)
    return x


@dg.op
def big() -> bytes:
    return os.urandom(1024) * 51_200


@dg.op
def size_of(x) -> int:
    return len(x)


@dg.success_hook
def on_success(context: dg.HookContext) -> None:
    context.log.info("succeeded: %s %s", context.op.name, dict(context.op_output_values))


@dg.failure_hook
def on_failure(context: dg.HookContext) -> None:
    context.log.info("failed: %s %s", context.op.name, type(context.op_exception).__name__)


@dg.asset(io_manager_key="io_manager")
def up() -> int:
    return 1


@dg.asset(io_manager_key="io_manager", check_specs=[dg.AssetCheckSpec("positive", asset="down")])
def down(up) -> Iterator[Any]:
    yield dg.Output(up + 1, metadata={"v": up})
    yield dg.AssetCheckResult(passed=True, check_name="positive")


def build(executor: dg.ExecutorDefinition, io_manager: Any) -> Mapping[str, dg.JobDefinition]:
    """The jobs, by name."""
    resources: dict[str, Any] = {"io_manager": io_manager, "where": Where()}
    jobs: dict[str, dg.JobDefinition] = {}

    def job(compose: Callable[[], Any] | None = None, **more: Any) -> Any:
        if compose is None:
            return lambda f: job(f, **more)
        made = dg.job(executor_def=executor, resource_defs=resources, name=compose.__name__, **more)(compose)
        jobs[compose.__name__] = made
        return made

    @job
    def chain():
        value = one()
        for i in range(10):
            value = add_one.alias(f"add_{i}")(value)

    @job
    def failing():
        value = one()
        add_one.alias("after")(broken(value))
        add_one.alias("beside")(value)

    @job
    def failing_on_purpose():
        add_one(declared_failure(one()))

    @job
    def retrying():
        add_one(asks_for_a_retry(flaky(one())))

    @job
    def retrying_in_vain():
        add_one(never_works(one()))

    @job
    def conditional():
        left, right = branch()
        add_one.alias("on_the_left")(left)
        add_one.alias("behind")(add_one.alias("on_the_right")(right))
        total.alias("merged")([add_one.alias("l")(left), add_one.alias("r")(right)])

    @job
    def mapped():
        add_one.alias("last")(total(fan_out().map(add_one).collect()))

    @job
    def several_outputs():
        a, b = two_outputs()
        joined(a, b)

    @job(hooks={on_success, on_failure})
    def hooked():
        broken(add_one(one()))

    @job
    def configured():
        after(nothing(asynchronous(with_metadata(rich(one())))))
        old_style(one.alias("other")())

    @job
    def two_inputs():
        minus(add_one(one()), one.alias("other")())

    @job
    def defaults():
        add_one(with_default())

    @job
    def context_of_the_thread():
        knows_its_context(one())

    @job
    def wrong_output_type():
        add_one(wrong_type(one()))

    @job
    def light_ops():
        add_one(less_lightly(lightly(one())))

    @job
    def wrong_light_output():
        add_one(lightly_wrong(one()))

    @job
    def wrong_input_type():
        strict(text(one()))

    @job
    def own_types():
        positive.alias("refused")(minus(positive(one()), one.alias("other")()))

    @job
    def unstorable():
        add_one(not_storable(one()))

    @job
    def materializing():
        yields_a_materialization(logs_a_materialization(one()))

    @job
    def returning_events():
        returns_a_materialization(one())

    @job
    def with_effects():
        add_one(effect(one()))

    @dg.graph
    def inner(x):
        return add_one(add_one.alias("first")(x))

    @job
    def nested():
        add_one.alias("outer")(inner(one()))

    @job
    def napping():
        value = one()
        total.alias("of_threads")([nap.alias(f"nap_{i}")(value) for i in range(4)])
        total.alias("of_coroutines")([async_nap.alias(f"async_nap_{i}")(value) for i in range(4)])

    @job
    def timing_out():
        add_one(too_slow(one()))

    @job
    def timing_out_at_first():
        add_one(too_slow_at_first(one()))

    @job
    def timing_out_async():
        add_one(too_slow_async(one()))

    @job
    def timing_out_in_a_generator():
        add_one(too_slow_generator(one()))

    @job
    def in_time():
        add_one(fast_enough(one()))

    @job
    def lingering():
        add_one(linger(one()))

    @job
    def lingering_with_policy():
        add_one(linger_with_policy(one()))

    @job
    def long_chain():
        value = one()
        for i in range(100):
            value = short.alias(f"short_{i}")(value)

    @job
    def large():
        size_of(big())

    selection = dg.AssetSelection.assets(up, down)
    assets = dg.define_asset_job("assets", selection=selection, executor_def=executor)
    definitions = dg.Definitions(assets=[up, down], jobs=[assets], resources=resources)
    jobs["assets"] = definitions.resolve_job_def("assets")
    return jobs
