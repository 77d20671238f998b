"""Which steps are plain, and all that is known about them before they are executed.

A plain step is an op with one ordinary output, whose inputs are outputs of other steps: most of any workflow. Its events are
the same in every run but for a few values. So each is serialised once, by the installed Dagster itself, with placeholders for
these values, and then only filled in: the format is Dagster's, whatever it is.
"""

from __future__ import annotations

import inspect
import json
import weakref
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from dagster import DagsterEventType, JsonMetadataValue, MetadataValue, TextMetadataValue
from dagster._core.definitions.decorators.op_decorator import DecoratedOpFunction
from dagster._core.events import DagsterEvent, HandledOutputData, LoadedInputData
from dagster._core.events.log import EventLogEntry
from dagster._core.execution.plan.inputs import FromMultipleSources, FromStepOutput, StepInputData
from dagster._core.execution.plan.objects import StepSuccessData, TypeCheckData
from dagster._core.execution.plan.outputs import StepOutputData, StepOutputHandle
from dagster_shared.serdes import serialize_value

from definitions.runtime.lean.executor import EFFECTS_TAG, TIMEOUT_TAG
from definitions.runtime.lean.light import is_light
from definitions.runtime.lean.postgres import escaped
from definitions.runtime.lean.rows import Encoded, EventRow
from definitions.runtime.outputs import PostgresOutputs, is_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dagster import DagsterType, JobDefinition, OpDefinition
    from dagster._core.execution.context.system import PlanExecutionContext
    from dagster._core.execution.plan.step import ExecutionStep

DEBUG = 10

# Values that are replaced by placeholders; they must occur nowhere else.
_RUN = "@@run@@"
_TIME = 1234567890.125
_PID = 987654321
_MILLISECONDS = 0.0009876501
_DURATION = "@@duration@@"
_VALUE = "@@value@@"
_LABEL = "@@label@@"

_PARTS = 2  # before a value and after it


class Template(NamedTuple):
    """One event of a step, but for the run, the process and the times."""

    type: str
    step_key: str
    json: str

    def fill(self, run_id: str, pid: int, time: float, **more: object) -> EventRow:
        event = Encoded(self.json % {"run": run_id, "pid": pid, "time": time, **more})
        return EventRow(run_id, event, self.type, time, self.step_key)


class Described(NamedTuple):
    """The event of an output, but for its metadata as well; `entry` is one entry of these."""

    event: Template
    entry: str

    def metadata(self, found: Mapping[str, Any]) -> str:
        entry = self.entry
        return ", ".join(
            [entry % {"label": _text(label), "value": escaped(_serialised(value))} for label, value in found.items()]
        )


class PlainInput(NamedTuple):
    """An input and where its value comes from; `fan_in`: a list of several values."""

    name: str
    type: DagsterType
    sources: tuple[StepOutputHandle, ...]
    fan_in: bool


@dataclass(frozen=True, slots=True)
class PlainStep:
    """A step that can be executed without stock's generators."""

    key: str
    op: OpDefinition
    function: Callable[..., Any]
    takes_context: bool
    config_type: type | None
    resources: Mapping[str, str]
    is_async: bool
    inputs: tuple[PlainInput, ...]
    output_type: DagsterType
    output: StepOutputHandle
    io_manager: str
    started: Template
    loaded: tuple[Template, ...]
    accepted: tuple[Template, ...]
    returned: Template
    described: Described | None
    handled: Template
    succeeded: Template

    @property
    def is_light(self) -> bool:
        """Whether the function does with a light context."""
        return self.described is not None and is_light(self.function)

    @property
    def needs_context(self) -> bool:
        return self.takes_context or self.config_type is not None or bool(self.resources)


class PlainSteps:
    """Remembers, for each job definition, which of its steps are plain."""

    def __init__(self) -> None:
        self._by_job: weakref.WeakKeyDictionary[JobDefinition, dict[str, PlainStep | None]] = (
            weakref.WeakKeyDictionary()
        )

    def find(self, context: PlanExecutionContext, step: ExecutionStep) -> PlainStep | None:
        """The step if it is plain, or None if it is for stock to execute."""
        known = self._by_job.setdefault(context.job_def, {})
        if step.key not in known:
            known[step.key] = _describe(context, step) if _is_plain(context, step) else None
        return known[step.key]


PLAIN_STEPS = PlainSteps()


def timeout_of(step: ExecutionStep) -> float | None:
    """Seconds after which the step fails, if it has such a limit. Raises ValueError for a limit that is no number."""
    seconds = step.tags.get(TIMEOUT_TAG)
    return None if seconds is None else float(seconds)


def has_effects(step: ExecutionStep) -> bool:
    """Whether the step changes something outside, which must not be repeated because its end was not written."""
    return step.tags.get(EFFECTS_TAG) == "true"


def _sources(source: object) -> list[Any]:
    return list(source.sources) if isinstance(source, FromMultipleSources) else [source]


def _is_plain(context: PlanExecutionContext, step: ExecutionStep) -> bool:
    job = context.job_def
    node = job.get_node(step.node_handle)
    function = getattr(node.definition, "compute_fn", None)
    if not isinstance(function, DecoratedOpFunction) or len(step.step_outputs) != 1:
        return False
    if inspect.isgeneratorfunction(function.decorated_fn) or inspect.isasyncgenfunction(function.decorated_fn):
        return False
    if getattr(step.handle, "mapping_key", None) or job.get_all_hooks_for_handle(step.node_handle):
        return False
    if job.asset_layer.get_assets_def_for_node(step.node_handle) is not None:
        return False
    (output,) = step.step_outputs
    definition = node.output_def_named(output.name)
    if output.is_dynamic or output.is_asset or not output.is_required or output.properties.asset_check_key:
        return False
    if definition.dagster_type.is_nothing or definition.metadata:
        return False
    for step_input in step.step_inputs:
        if node.definition.input_def_named(step_input.name).input_manager_key:
            return False
        if any(type(source) is not FromStepOutput for source in _sources(step_input.source)):
            return False
    return isinstance(
        context.scoped_resources_builder.resource_instance_dict.get(_io_manager_key(context, step)), PostgresOutputs
    )


def _io_manager_key(context: PlanExecutionContext, step: ExecutionStep) -> str:
    handle = StepOutputHandle(step.key, step.step_outputs[0].name)
    return context.execution_plan.get_manager_key(handle, context.job_def)


def _describe(context: PlanExecutionContext, step: ExecutionStep) -> PlainStep:
    op: Any = context.job_def.get_node(step.node_handle).definition
    function: DecoratedOpFunction = op.compute_fn
    name = step.step_outputs[0].name
    output = StepOutputHandle(step.key, name)
    output_type = op.output_def_named(name).dagster_type
    io_manager = _io_manager_key(context, step)
    inputs = tuple(
        PlainInput(
            step_input.name,
            op.input_def_named(step_input.name).dagster_type,
            tuple(source.step_output_handle for source in _sources(step_input.source)),
            isinstance(step_input.source, FromMultipleSources),
        )
        for step_input in step.step_inputs
        if not op.input_def_named(step_input.name).dagster_type.is_nothing
    )

    tags = {**context.for_step(step).event_tags, "run_id": _RUN}

    def template(kind: DagsterEventType, message: str, fact: Any = None) -> Template:
        event = DagsterEvent(
            *(kind.value, context.job_name, step.handle, step.node_handle, step.kind.value, tags, fact, message, _PID)
        )
        entry = EventLogEntry(None, DEBUG, message, _RUN, _TIME, step.key, context.job_name, event)
        text = serialize_value(entry).replace("%", "%%").replace(_RUN, "%(run)s").replace(_DURATION, "%(duration)s")
        text = text.replace(repr(_TIME), "%(time)r").replace(str(_PID), "%(pid)d")
        return Template(kind.value, step.key, escaped(text.replace(repr(_MILLISECONDS), "%(milliseconds)r")))

    def checked(name: str) -> TypeCheckData:
        return TypeCheckData(success=True, label=name, description=None, metadata={})

    loaded: list[Template] = []
    accepted: list[Template] = []
    for plain in inputs:
        for source in plain.sources:
            message = (
                f'Loaded input "{plain.name}" using input manager "{io_manager}", '
                f'from output "{source.output_name}" of step "{source.step_key}"'
            )
            fact = LoadedInputData(plain.name, io_manager, source.output_name, source.step_key)
            loaded.append(template(DagsterEventType.LOADED_INPUT, message, fact))
        message = f'Got input "{plain.name}" of type "{plain.type.display_name}". (Type check passed).'
        got = StepInputData(input_name=plain.name, type_check_data=checked(plain.name))
        accepted.append(template(DagsterEventType.STEP_INPUT, message, got))

    returned = f'Yielded output "{name}" of type "{output_type.display_name}". (Type check passed).'
    config = function.get_config_arg().annotation if function.has_config_arg() else None
    return PlainStep(
        key=step.key,
        op=op,
        function=function.decorated_fn,
        takes_context=function.has_context_arg(),
        config_type=config,
        resources={argument.name: argument.name for argument in function.get_resource_args()},
        is_async=inspect.iscoroutinefunction(function.decorated_fn),
        inputs=inputs,
        output_type=output_type,
        output=output,
        io_manager=io_manager,
        started=template(DagsterEventType.STEP_START, f'Started execution of step "{step.key}".'),
        loaded=tuple(loaded),
        accepted=tuple(accepted),
        returned=template(DagsterEventType.STEP_OUTPUT, returned, StepOutputData(output, checked(name))),
        described=_described(
            template(
                DagsterEventType.STEP_OUTPUT,
                returned,
                StepOutputData(output, checked(name), metadata={_LABEL: MetadataValue.text(_VALUE)}),
            )
        ),
        handled=template(
            DagsterEventType.HANDLED_OUTPUT,
            f'Handled output "{name}" using IO manager "{io_manager}"',
            HandledOutputData(name, io_manager, {}),
        ),
        succeeded=template(
            DagsterEventType.STEP_SUCCESS,
            f'Finished execution of step "{step.key}" in {_DURATION}.',
            StepSuccessData(_MILLISECONDS),
        ),
    )


_TEXT = serialize_value(MetadataValue.text(_VALUE)).split(json.dumps(_VALUE))
_JSON = serialize_value(MetadataValue.json([_VALUE])).split(json.dumps([_VALUE]))


def _serialised(value: Any) -> str:
    """As `serialize_value`, which takes five times as long, for the kinds of metadata that nodes have."""
    if type(value) is TextMetadataValue and type(value.text) is str and len(_TEXT) == _PARTS:
        return json.dumps(value.text).join(_TEXT)
    if type(value) is JsonMetadataValue and is_json(value.data) and len(_JSON) == _PARTS:
        return json.dumps(value.data, sort_keys=True).join(_JSON)
    return serialize_value(value)


@lru_cache(maxsize=1024)
def _text(label: str) -> str:
    return escaped(serialize_value(label))


def _described(template: Template) -> Described | None:
    """Takes an event apart whose metadata are one entry. None: it is not written as it was when this was written."""
    text = template.json
    value, label = serialize_value(MetadataValue.text(_VALUE)), serialize_value(_LABEL)
    if text.count(value) != 1 or text.count(label) != 1:
        return None
    begin = text.rindex("[", 0, text.index(value))
    end = text.index("]", max(text.index(value), text.index(label)))
    entry = text[begin + 1 : end].replace(value, "%(value)s").replace(label, "%(label)s")
    event = template._replace(json=f"{text[: begin + 1]}%(metadata)s{text[end:]}")
    return Described(event, entry) if "[" not in entry and "]" not in entry else None
