"""Plugins of tenants: installed, granted what they ask for by somebody who may, run, and remembered.

What a plugin gives for the same input is kept for half an hour, unless it was granted a clock or chance.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import orjson
from pydantic import TypeAdapter, ValidationError

from resources.errors import (
    ConflictError,
    InvalidInputError,
    LimitExceededError,
    NotPermittedError,
    PlatformError,
    Problem,
    UpstreamError,
)
from resources.events.catalog import PluginChanged, PluginInstalled, PluginRemoved
from resources.events.model import EventMetadata, NewEvent, StreamId
from resources.plugins.model import (
    CAPABILITIES,
    MAX_INPUT_BYTES,
    Manifest,
    Plugin,
    PluginLimits,
    PluginOutput,
    PluginRun,
    Processed,
)
from resources.telemetry import correlation
from resources.telemetry.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime

    from resources.events.schema import EventData
    from resources.events.store import EventStore
    from resources.plugins.model import Call, Capability, PluginInput
    from resources.plugins.runtime import PluginRuntime
    from resources.plugins.store import PluginStore

log = get_logger(__name__)

_CACHE_SECONDS: Final = 1800.0
_CACHE_BYTES: Final = 32_000_000
_MODULES: Final = 16
_PROBLEMS: Final = TypeAdapter(list[str])


class Plugins:
    """Safe to share between threads. `together` makes a change and its event one transaction."""

    def __init__(
        self,
        store: PluginStore,
        runtime: PluginRuntime,
        events: EventStore,
        *,
        together: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._store = store
        self._runtime = runtime
        self._events = events
        self._together = together
        self._results = _Results(_CACHE_BYTES)
        self._modules: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def install(
        self,
        module: bytes,
        *,
        tenant: str,
        now: datetime,
        grants: Sequence[Capability] = (),
        config: Mapping[str, Any] | None = None,
        limits: PluginLimits | None = None,
        actor: str | None = None,
    ) -> tuple[Plugin, bool]:
        """The plugin, disabled, and whether its name is new. One of the same name is replaced.

        The module is compiled and asked for its manifest. Raises InvalidInputError, NotPermittedError when it needs what
        `grants` does not hold, UpstreamError when it fails to tell what it is.
        """
        limits = limits or PluginLimits()
        sha256 = hashlib.sha256(module).hexdigest()
        self._runtime.exports(module, sha256, grants=grants)
        told = self._runtime.call(module, sha256, "metadata", None, grants=grants, limits=limits)
        manifest = _manifest(told.output)
        if missing := [one for one in manifest.required_permissions if one not in grants]:
            raise NotPermittedError(
                f"The plugin {manifest.name!r} needs the grants {', '.join(missing)}. Install it with them, or not at all.",
                code="plugin_grant_missing",
                missing=missing,
            )
        plugin = Plugin(
            manifest=manifest,
            sha256=sha256,
            size_bytes=len(module),
            installed_at=now,
            changed_at=now,
            grants=tuple(one for one in CAPABILITIES if one in grants),
            config=dict(config or {}),
            limits=limits,
        )
        self._check_config(plugin, module)
        with self._together():
            known = manifest.name in {one.name for one in self._store.list(tenant=tenant)}
            self._store.save(plugin, module, tenant=tenant)
            fact = PluginInstalled(
                plugin=plugin.name, version=manifest.version, sha256=sha256, grants=plugin.grants, replaced=known
            )
            self._tell(fact, tenant=tenant, actor=actor)
        return plugin, not known

    def change(
        self,
        name: str,
        *,
        tenant: str,
        now: datetime,
        enabled: bool | None = None,
        config: Mapping[str, Any] | None = None,
        limits: PluginLimits | None = None,
        unless: Callable[[Plugin], None] | None = None,
        actor: str | None = None,
    ) -> Plugin:
        """Enable or disable it, or replace its configuration or limits, unless `unless` raises for how it is before.

        Raises NotFoundError, InvalidInputError, ConflictError (`plugin_replaced`) for a configuration of what is gone meanwhile.
        """

        def changed(plugin: Plugin) -> Plugin:
            return replace(
                plugin,
                changed_at=now,
                enabled=plugin.enabled if enabled is None else enabled,
                config=plugin.config if config is None else dict(config),
                limits=limits or plugin.limits,
            )

        checked = self._store.get(name, tenant=tenant)
        if config is not None:  # by the plugin itself, for which nobody is to wait
            self._check_config(changed(checked), self._module(checked, tenant))
        with self._together():
            present = self._store.get(name, tenant=tenant, lock=True)
            if unless is not None:
                unless(present)
            if config is not None and present.sha256 != checked.sha256:
                raise ConflictError(f"The plugin {name!r} was replaced meanwhile. Try again.", code="plugin_replaced")
            plugin = changed(present)
            self._store.save(plugin, None, tenant=tenant)
            fact = PluginChanged(plugin=name, enabled=plugin.enabled, configured=config is not None)
            self._tell(fact, tenant=tenant, actor=actor)
        return plugin

    def remove(
        self, name: str, *, tenant: str, unless: Callable[[Plugin], None] | None = None, actor: str | None = None
    ) -> None:
        """Forget it and its journal, unless `unless` raises for how it is. Raises NotFoundError."""
        with self._together():
            if unless is not None:
                unless(self._store.get(name, tenant=tenant, lock=True))
            self._store.remove(name, tenant=tenant)
            self._tell(PluginRemoved(plugin=name), tenant=tenant, actor=actor)

    def get(self, name: str, *, tenant: str) -> Plugin:
        """Raises NotFoundError."""
        return self._store.get(name, tenant=tenant)

    def list(self, *, tenant: str) -> Sequence[Plugin]:
        """By name."""
        return self._store.list(tenant=tenant)

    def runs(self, name: str, *, tenant: str, limit: int = 50) -> Sequence[PluginRun]:
        """The newest calls first. Raises NotFoundError."""
        self._store.get(name, tenant=tenant)
        return self._store.runs(name, tenant=tenant, limit=limit)

    def process(
        self, name: str, given: PluginInput, *, tenant: str, now: datetime, run_id: str | None = None
    ) -> Processed:
        """What the plugin makes of it; what `given.config` says goes before what it is configured with.

        Raises NotFoundError, ConflictError (`plugin_disabled`), InvalidInputError for a kind of content that it does not
        take, LimitExceededError for an input that is too large, and UpstreamError for what it does wrong.
        """
        plugin = self._store.get(name, tenant=tenant)
        if not plugin.enabled:
            raise ConflictError(
                f"The plugin {name!r} is disabled. Enable it with `aiw plugins enable {name}`.", code="plugin_disabled"
            )
        kinds = plugin.manifest.supported_content_types
        if kinds and given.content_type not in kinds:
            raise InvalidInputError(
                f"The plugin {name!r} takes {', '.join(kinds)}, not {given.content_type}.", code="plugin_content_type"
            )
        given = given.model_copy(update={"config": {**plugin.config, **given.config}})
        payload = orjson.dumps(given.model_dump(mode="json"))
        if len(payload) > MAX_INPUT_BYTES:
            raise LimitExceededError(
                f"A plugin is given at most {MAX_INPUT_BYTES} bytes, not {len(payload)}.", code="plugin_input_too_large"
            )
        line = PluginRun(uuid4(), name, plugin.sha256, now, "ok", 0.0, len(payload), run_id=run_id)
        repeatable = not {"clock", "random"} & set(plugin.grants)
        key = hashlib.sha256(f"{tenant}\0{plugin.sha256}\0{plugin.limits}\0".encode() + payload).digest()
        if repeatable and (kept := self._results.get(key)) is not None:
            self._store.record(replace(line, cached=True, output_bytes=len(kept)), tenant=tenant)
            return Processed(PluginOutput.model_validate_json(kept), 0.0, cached=True)
        started = time.perf_counter()
        try:
            call = self._call(plugin, "process", payload, tenant)
            output = _output(call.output)
        except PlatformError as error:
            took = (time.perf_counter() - started) * 1000
            self._store.record(replace(line, outcome=error.code, milliseconds=took), tenant=tenant)
            raise
        line = replace(
            line,
            milliseconds=call.milliseconds,
            output_bytes=len(call.output),
            fuel=call.fuel,
            memory_bytes=call.memory_bytes,
            logs=call.logs,
        )
        self._store.record(line, tenant=tenant)
        if repeatable:
            self._results.put(key, call.output)
        return Processed(output, call.milliseconds, logs=call.logs)

    def _call(self, plugin: Plugin, export: str, payload: bytes, tenant: str) -> Call:
        module = self._module(plugin, tenant)
        return self._runtime.call(module, plugin.sha256, export, payload, grants=plugin.grants, limits=plugin.limits)

    def _module(self, plugin: Plugin, tenant: str) -> bytes:
        key = (tenant, plugin.sha256)
        with self._lock:
            if (found := self._modules.get(key)) is not None:
                self._modules.move_to_end(key)
                return found
        module = self._store.module(plugin.sha256, tenant=tenant)
        with self._lock:
            self._modules[key] = module
            while len(self._modules) > _MODULES:
                self._modules.popitem(last=False)
        return module

    def _check_config(self, plugin: Plugin, module: bytes) -> None:
        problems = [
            *_against(plugin.manifest.configuration_schema, plugin.config),
            *self._own_problems(plugin, module),
        ]
        if problems:
            raise InvalidInputError(
                f"The plugin {plugin.name!r} does not take this configuration.",
                problems=tuple(problems),
                code="plugin_config_invalid",
            )

    def _own_problems(self, plugin: Plugin, module: bytes) -> Sequence[Problem]:
        if "validate" not in self._runtime.exports(module, plugin.sha256, grants=plugin.grants):
            return []
        payload = orjson.dumps(dict(plugin.config))
        told = self._runtime.call(
            module, plugin.sha256, "validate", payload, grants=plugin.grants, limits=plugin.limits
        )
        try:
            return [Problem("config", text[:500]) for text in _PROBLEMS.validate_json(told.output)]
        except ValidationError as error:
            raise UpstreamError(
                "The plugin's `validate` gave no list of texts.", code="plugin_output_invalid"
            ) from error

    def _tell(self, fact: EventData, *, tenant: str, actor: str | None) -> None:
        metadata = EventMetadata(correlation_id=correlation.current(), user_id=actor, source="plugins")
        event = NewEvent(type(fact).event_type, fact.model_dump(mode="json"), metadata=metadata)
        self._events.append(StreamId("plugin", fact.model_dump()["plugin"]), [event], tenant=tenant)


class _Results:
    """What plugins gave, by what they were given; bounded by bytes and by age."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = 0
        self._kept: OrderedDict[bytes, tuple[float, bytes]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: bytes) -> bytes | None:
        with self._lock:
            found = self._kept.get(key)
            if found is None or found[0] < time.monotonic():
                return None
            self._kept.move_to_end(key)
            return found[1]

    def put(self, key: bytes, output: bytes) -> None:
        with self._lock:
            former = self._kept.pop(key, None)
            self._held += len(output) - (len(former[1]) if former else 0)
            self._kept[key] = (time.monotonic() + _CACHE_SECONDS, output)
            while self._held > self._most:
                _, (_, dropped) = self._kept.popitem(last=False)
                self._held -= len(dropped)


def _manifest(output: bytes) -> Manifest:
    try:
        return Manifest.model_validate_json(output)
    except ValidationError as error:
        problems = tuple(Problem(".".join(map(str, one["loc"])), one["msg"]) for one in error.errors())
        raise InvalidInputError(
            "What the plugin tells of itself (`metadata`) is not right.", problems=problems, code="plugin_invalid"
        ) from error


def _output(output: bytes) -> PluginOutput:
    try:
        return PluginOutput.model_validate_json(output)
    except ValidationError as error:
        first = error.errors()[0]
        raise UpstreamError(
            f"What the plugin gave is no output of a plugin: {'.'.join(map(str, first['loc']))} {first['msg']}.",
            code="plugin_output_invalid",
        ) from error


def _against(schema: Mapping[str, Any] | None, config: Mapping[str, Any]) -> Sequence[Problem]:
    if schema is None:
        return []
    import jsonschema
    import referencing

    try:
        validator = jsonschema.Draft202012Validator(schema, registry=referencing.Registry())  # fetches nothing
        validator.check_schema(schema)
    except jsonschema.SchemaError as error:
        raise InvalidInputError(
            f"The plugin's configuration_schema is no JSON Schema: {error.message}", code="plugin_invalid"
        ) from error
    return [
        Problem(".".join(["config", *map(str, error.absolute_path)]), error.message)
        for error in validator.iter_errors(dict(config))
    ]
