"""Modules on wasmtime: compiled once a process, an instance for each call, and no more than the call may use.

Fuel ends a spin after so many instructions; the epoch ends whatever takes too long on the clock (a ticker moves it while
calls are under way, wasmtime gives up the GIL). Compiled modules are kept by their sha256. A forked process starts afresh.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections import OrderedDict
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from resources.errors import InvalidInputError, LimitExceededError, NotPermittedError, UpstreamError
from resources.plugins.model import MAX_MODULE_BYTES, Call

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import wasmtime

    from resources.plugins.model import Capability, PluginLimits

_MAGIC: Final = b"\0asm"
_TICK_SECONDS: Final = 0.01
_COMPILED: Final = 64
_INSTANCES: Final = 10
_MAX_LINES: Final = 64
_MAX_LINE: Final = 1_000
_LEVELS: Final = ("debug", "info", "warning", "error")
_CONTRACT: Final = {"alloc": (["i32"], ["i32"]), "process": (["i32", "i32"], ["i64"]), "metadata": ([], ["i64"])}
_OPTIONAL: Final = {"validate": (["i32", "i32"], ["i64"])}
_IMPORTS: Final[dict[str, tuple[Capability, list[str], list[str]]]] = {
    "log": ("log", ["i32", "i32", "i32"], []),
    "now": ("clock", [], ["i64"]),
    "random": ("random", ["i32", "i32"], []),
}


class WasmtimeRuntime:
    """At most `instances` calls of a process run at a time; others wait their turn for as long as they may run."""

    def __init__(self, *, instances: int = _INSTANCES) -> None:
        self._instances = instances
        self._lock = threading.Lock()
        self._here: _Machine | None = None

    def exports(self, module: bytes, sha256: str, *, grants: Sequence[Capability]) -> frozenset[str]:
        return self._machine().compiled(module, sha256, grants)[1]

    def call(
        self,
        module: bytes,
        sha256: str,
        export: str,
        payload: bytes | None,
        *,
        grants: Sequence[Capability],
        limits: PluginLimits,
    ) -> Call:
        machine = self._machine()
        compiled, names = machine.compiled(module, sha256, grants)
        if export not in names:
            raise InvalidInputError(f"The plugin has no export {export!r}.", code="plugin_invalid")
        with machine.turn(limits.seconds):
            return _Instance(machine, compiled, grants, limits).call(export, payload)

    def _machine(self) -> _Machine:
        with self._lock:
            if self._here is None or self._here.owner != os.getpid():
                self._here = _Machine(self._instances)
            return self._here


class _Machine:
    """The engine of one process, what it has compiled, and the clock of its calls."""

    def __init__(self, instances: int) -> None:
        import wasmtime

        config = wasmtime.Config()
        config.consume_fuel = True
        config.epoch_interruption = True
        config.memory_reservation = 16 << 20  # grows by moving beyond it; the default maps gigabytes for each instance
        config.parallel_compilation = (
            False  # its threads would be missing in a forked process, which would wait for them
        )
        config.wasm_threads = False
        config.wasm_memory64 = False
        config.wasm_multi_memory = False
        self.owner = os.getpid()
        self.engine = wasmtime.Engine(config)
        self._compiled: OrderedDict[str, wasmtime.Module] = OrderedDict()
        self._lock = threading.Lock()
        self._turns = threading.BoundedSemaphore(instances)
        self._running = 0
        self._wake = threading.Event()
        threading.Thread(target=self._tick, name="plugin-clock", daemon=True).start()

    def compiled(
        self, module: bytes, sha256: str, grants: Sequence[Capability]
    ) -> tuple[wasmtime.Module, frozenset[str]]:
        with self._lock:
            found = self._compiled.get(sha256)
            if found is not None:
                self._compiled.move_to_end(sha256)
        if found is None:
            found = self._compile(module)
            with self._lock:
                self._compiled[sha256] = found
                while len(self._compiled) > _COMPILED:
                    self._compiled.popitem(last=False)
        _check_imports(found, grants)
        return found, _check_exports(found)

    @contextmanager
    def turn(self, seconds: float) -> Iterator[None]:
        if not self._turns.acquire(timeout=seconds):
            raise LimitExceededError("Too many plugins run at the moment.", code="plugins_busy", retry_after=1.0)
        with self._lock:
            self._running += 1
            self._wake.set()
        try:
            yield
        finally:
            with self._lock:
                self._running -= 1
                if not self._running:
                    self._wake.clear()
            self._turns.release()

    def _compile(self, module: bytes) -> wasmtime.Module:
        import wasmtime

        if len(module) > MAX_MODULE_BYTES:
            raise InvalidInputError(
                f"A plugin's module has at most {MAX_MODULE_BYTES} bytes, not {len(module)}.", code="plugin_too_large"
            )
        if not module.startswith(_MAGIC):
            raise InvalidInputError("This is no WebAssembly module.", code="plugin_invalid")
        try:
            return wasmtime.Module(self.engine, module)
        except wasmtime.WasmtimeError as error:
            raise InvalidInputError(
                f"This is no valid WebAssembly module: {_first_line(error)}", code="plugin_invalid"
            ) from error

    def _tick(self) -> None:
        while True:
            self._wake.wait()
            time.sleep(_TICK_SECONDS)
            self.engine.increment_epoch()


class _Instance:
    """One instance, for one call."""

    def __init__(
        self, machine: _Machine, module: wasmtime.Module, grants: Sequence[Capability], limits: PluginLimits
    ) -> None:
        import wasmtime

        self._limits = limits
        self._logs: list[tuple[str, str]] = []
        self._module = module
        self._store = wasmtime.Store(machine.engine)
        self._store.set_limits(
            memory_size=limits.memory_bytes, table_elements=100_000, instances=1, tables=4, memories=1
        )
        self._store.set_fuel(limits.fuel)
        self._store.set_epoch_deadline(max(1, round(limits.seconds / _TICK_SECONDS)))
        self._linker = wasmtime.Linker(machine.engine)
        functions: dict[str, Callable[..., Any]] = {"log": self._log, "now": _now, "random": self._random}
        for name in {one.name for one in module.imports if one.name in functions}:
            assert name is not None
            capability, parameters, results = _IMPORTS[name]
            if capability in grants:
                kind = wasmtime.FuncType([_valtype(p) for p in parameters], [_valtype(r) for r in results])
                self._linker.define_func("aiw", name, kind, functions[name], access_caller=name != "now")

    def call(self, export: str, payload: bytes | None) -> Call:
        import wasmtime

        started = time.perf_counter()
        try:
            exports = self._linker.instantiate(self._store, self._module).exports(self._store)
            memory = exports["memory"]
            assert isinstance(memory, wasmtime.Memory)
            allocate, function = exports["alloc"], exports[export]
            assert isinstance(allocate, wasmtime.Func)
            assert isinstance(function, wasmtime.Func)
            arguments = [] if payload is None else [self._give(allocate, memory, payload), len(payload)]
            packed = function(self._store, *arguments)
            output = self._take(memory, packed)
        except wasmtime.Trap as trap:
            raise self._trapped(trap.trap_code, str(trap)) from trap
        except wasmtime.WasmtimeError as error:
            raise self._trapped(None, str(error)) from error
        return Call(
            output=output,
            fuel=self._limits.fuel - self._store.get_fuel(),
            memory_bytes=memory.data_len(self._store),
            milliseconds=(time.perf_counter() - started) * 1000,
            logs=tuple(self._logs),
        )

    def _give(self, allocate: wasmtime.Func, memory: wasmtime.Memory, payload: bytes) -> int:
        pointer = allocate(self._store, len(payload)) & 0xFFFF_FFFF
        if pointer + len(payload) > memory.data_len(self._store):
            raise _bad_pointer(pointer, len(payload))
        memory.write(self._store, payload, pointer)
        return int(pointer)

    def _take(self, memory: wasmtime.Memory, packed: int) -> bytes:
        pointer, length = (packed >> 32) & 0xFFFF_FFFF, packed & 0xFFFF_FFFF
        if length > self._limits.output_bytes:
            raise UpstreamError(
                f"The plugin gave {length} bytes; at most {self._limits.output_bytes} are taken.",
                code="plugin_output_too_large",
            )
        if pointer + length > memory.data_len(self._store):
            raise _bad_pointer(pointer, length)
        return bytes(memory.read(self._store, pointer, pointer + length))

    def _trapped(self, code: wasmtime.TrapCode | None, text: str) -> UpstreamError:
        import wasmtime

        if code is wasmtime.TrapCode.OUT_OF_FUEL:
            return UpstreamError(
                f"The plugin used up its fuel of {self._limits.fuel} instructions.", code="plugin_out_of_fuel"
            )
        if code is wasmtime.TrapCode.INTERRUPT:
            return UpstreamError(
                f"The plugin ran for longer than {self._limits.seconds:g} seconds.", code="plugin_timeout"
            )
        if code is wasmtime.TrapCode.ALLOCATION_TOO_LARGE or "exceeds memory limits" in text:
            return UpstreamError(
                f"The plugin asked for more than {self._limits.memory_bytes} bytes of memory.",
                code="plugin_out_of_memory",
            )
        reason = "something went wrong" if code is None else code.name.lower().replace("_", " ")
        return UpstreamError(f"The plugin trapped: {reason}.", code="plugin_trapped", logs=self._logs)

    def _log(self, caller: wasmtime.Caller, level: int, pointer: int, length: int) -> None:
        if len(self._logs) < _MAX_LINES:
            line = _read(caller, pointer, min(length & 0xFFFF_FFFF, _MAX_LINE))
            self._logs.append(
                (
                    _LEVELS[min(max(level, 0), 3)],
                    line.decode(errors="replace").replace("\0", "\N{REPLACEMENT CHARACTER}"),
                )
            )

    def _random(self, caller: wasmtime.Caller, pointer: int, length: int) -> None:
        memory = _memory(caller)
        start, count = pointer & 0xFFFF_FFFF, length & 0xFFFF_FFFF
        if start + count > memory.data_len(caller):
            raise _bad_pointer(start, count)
        memory.write(caller, secrets.token_bytes(count), start)


def _now() -> int:
    return time.time_ns() // 1_000_000


def _memory(caller: wasmtime.Caller) -> wasmtime.Memory:
    import wasmtime

    memory = caller.get("memory")
    assert isinstance(memory, wasmtime.Memory)
    return memory


def _read(caller: wasmtime.Caller, pointer: int, length: int) -> bytes:
    memory, start = _memory(caller), pointer & 0xFFFF_FFFF
    if start + length > memory.data_len(caller):
        raise _bad_pointer(start, length)
    return bytes(memory.read(caller, start, start + length))


def _bad_pointer(pointer: int, length: int) -> UpstreamError:
    return UpstreamError(
        f"The plugin pointed to {length} bytes at {pointer}, which are not in its memory.", code="plugin_output_invalid"
    )


def _check_imports(module: wasmtime.Module, grants: Sequence[Capability]) -> None:
    for wanted in module.imports:
        known = _IMPORTS.get(wanted.name or "") if wanted.module == "aiw" else None
        if known is None:
            raise NotPermittedError(
                f"The plugin imports {wanted.module}.{wanted.name}, which the platform does not have. It has "
                f"{', '.join(f'aiw.{name}' for name in _IMPORTS)}.",
                code="plugin_import_refused",
            )
        capability, parameters, results = known
        if _signature(wanted.type) != (parameters, results):
            raise InvalidInputError(
                f"The plugin imports aiw.{wanted.name} with other parameters than it has.", code="plugin_invalid"
            )
        if capability not in grants:
            raise NotPermittedError(
                f"The plugin imports aiw.{wanted.name}, which needs the grant {capability!r}.",
                code="plugin_import_refused",
            )


def _check_exports(module: wasmtime.Module) -> frozenset[str]:
    import wasmtime

    exports = {one.name: one.type for one in module.exports}
    if not isinstance(exports.get("memory"), wasmtime.MemoryType):
        raise InvalidInputError("A plugin exports its `memory`.", code="plugin_invalid")
    for name, signature in _CONTRACT.items():
        if _signature(exports.get(name)) != signature:
            raise InvalidInputError(
                f"A plugin exports {_told(name, signature)}; this one does not.", code="plugin_invalid"
            )
    for name, signature in _OPTIONAL.items():
        if name in exports and _signature(exports[name]) != signature:
            raise InvalidInputError(
                f"If a plugin exports `{name}`, it is {_told(name, signature)}.", code="plugin_invalid"
            )
    return frozenset(name for name in exports if name in _CONTRACT or name in _OPTIONAL)


def _signature(kind: object) -> tuple[list[str], list[str]] | None:
    import wasmtime

    if not isinstance(kind, wasmtime.FuncType):
        return None
    return [str(one) for one in kind.params], [str(one) for one in kind.results]


def _told(name: str, signature: tuple[list[str], list[str]]) -> str:
    parameters, results = signature
    return f"`{name}({', '.join(parameters)}) -> {results[0]}`"


def _valtype(name: str) -> wasmtime.ValType:
    import wasmtime

    return wasmtime.ValType.i64() if name == "i64" else wasmtime.ValType.i32()


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
