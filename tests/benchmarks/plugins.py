"""What a call of a plugin costs: an instance for each call, beside one instance that is used again.

    make bench-plugins [ARGS="--quick --json FILE"]

`fresh` is the platform's own way: a new store, instance and limits each time. `pooled` is wasmtime alone with one instance
that is never thrown away, fuel or clock: what could be saved at the most, for the price of a plugin that remembers.
"""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

from resources.plugins.model import PluginLimits
from resources.plugins.wasmtime import WasmtimeRuntime
from tests.benchmarks import harness
from tests.fixtures.modules import SHOUT, TERMS, module, sha256

if TYPE_CHECKING:
    from collections.abc import Callable

    from resources.plugins.model import Capability

BAR_MS = 0.5
TEXT = b"The quick brown fox jumps over the lazy dog. " * 68  # about 3 KB
CASES: dict[str, tuple[bytes, bytes, tuple[Capability, ...]]] = {
    "nothing": (module(), b"{}", ()),
    "shout_3kb": (SHOUT, b'{"content":"' + TEXT + b'"}', ()),
    "rust_3kb": (TERMS, b'{"content":"' + TEXT + b'","config":{"terms":["fox","dog"]}}', ("log",)),
}


def main(report: harness.Report, quick: bool) -> None:
    runtime = WasmtimeRuntime()
    calls = 200 if quick else 2000
    for _ in range(2 if quick else 5):
        for name, (code, payload, grants) in CASES.items():
            report.add(_timed(name, calls, _fresh(runtime, code, payload, grants)))
            report.add(_timed(name, calls, _pooled(code, payload)), peer="pooled")
    for name in CASES:
        report.bar(f"{name}: a fresh call, p50 in ms", report.median(f"{name}_p50_ms"), BAR_MS, better="less")


def _fresh(
    runtime: WasmtimeRuntime, code: bytes, payload: bytes, grants: tuple[Capability, ...]
) -> Callable[[], bytes]:
    digest, limits = sha256(code), PluginLimits()
    return lambda: runtime.call(code, digest, "process", payload, grants=grants, limits=limits).output


def _pooled(code: bytes, payload: bytes) -> Callable[[], bytes]:
    import wasmtime

    engine = wasmtime.Engine()
    store, linker = wasmtime.Store(engine), wasmtime.Linker(engine)
    kind = wasmtime.FuncType([wasmtime.ValType.i32()] * 3, [])
    linker.define_func("aiw", "log", kind, lambda *_: None)
    exports = linker.instantiate(store, wasmtime.Module(engine, code)).exports(store)
    memory, allocate, process = exports["memory"], exports["alloc"], exports["process"]
    assert isinstance(memory, wasmtime.Memory)
    assert isinstance(allocate, wasmtime.Func)
    assert isinstance(process, wasmtime.Func)
    place = allocate(store, len(payload))

    def call() -> bytes:
        memory.write(store, payload, place)
        packed = process(store, place, len(payload))
        start, length = packed >> 32, packed & 0xFFFF_FFFF
        return bytes(memory.read(store, start, start + length))

    return call


def _timed(name: str, calls: int, call: Callable[[], bytes]) -> dict[str, harness.Number]:
    assert call()
    times = []
    cpu = time.process_time()
    for _ in range(calls):
        started = time.perf_counter()
        call()
        times.append((time.perf_counter() - started) * 1000)
    cuts = statistics.quantiles(times, n=100)
    return {
        f"{name}_p50_ms": cuts[49],
        f"{name}_p99_ms": cuts[98],
        f"{name}_cpu_ms": (time.process_time() - cpu) * 1000 / calls,
    }


if __name__ == "__main__":
    harness.run("plugins", main)
