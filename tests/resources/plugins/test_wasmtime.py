"""Modules that nobody trusts: each is ended, told by its code, and hurts no neighbour."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from resources.errors import InvalidInputError, LimitExceededError, NotPermittedError, PlatformError, UpstreamError
from resources.plugins.model import MAX_MODULE_BYTES, PluginLimits
from resources.plugins.wasmtime import WasmtimeRuntime
from tests.fixtures.modules import BOMB, SPIN, module, sha256

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resources.plugins.model import Call, Capability

LOG = '(import "aiw" "log" (func $log (param i32 i32 i32)))'


@pytest.fixture(scope="module")
def runtime() -> WasmtimeRuntime:
    return WasmtimeRuntime()


def call(
    runtime: WasmtimeRuntime,
    code: bytes,
    *,
    payload: bytes = b"{}",
    grants: Sequence[Capability] = (),
    limits: PluginLimits | None = None,
) -> Call:
    limits = limits or PluginLimits()
    return runtime.call(code, sha256(code), "process", payload, grants=grants, limits=limits)


def test_a_call_gives_bytes_and_tells_what_it_used(runtime: WasmtimeRuntime) -> None:
    found = call(runtime, module())
    assert found.output == b'{"extracted_data":{"n":1}}'
    assert found.fuel > 0
    assert found.memory_bytes == 65_536


def test_the_input_stands_where_the_module_wants_it(runtime: WasmtimeRuntime) -> None:
    echo = module("(i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32)) (i64.extend_i32_u (local.get 1)))")
    assert call(runtime, echo, payload=b"what was given").output == b"what was given"


def test_nothing_is_kept_from_one_call_to_the_next(runtime: WasmtimeRuntime) -> None:
    counts = module(
        "(global.set $n (i32.add (global.get $n) (i32.const 1))) (i32.store8 (i32.const 200) (global.get $n))"
        "(i64.const 0xc800000001)",
        more="(global $n (mut i32) (i32.const 48))",
    )
    assert [call(runtime, counts).output for _ in range(3)] == [b"1", b"1", b"1"]


HOSTILE = {
    "spins": (module(SPIN), "plugin_out_of_fuel"),
    "takes all memory": (module(BOMB), "plugin_trapped"),
    "begins with too much memory": (module(memory='(memory (export "memory") 400)'), "plugin_out_of_memory"),
    "gives too much": (module("(i64.const 0x00000fffff)"), "plugin_output_too_large"),
    "points out of its memory": (module("(i64.const 0xffff000000000010)"), "plugin_output_invalid"),
    "wants the input out of its memory": (module(alloc="(i32.const -16)"), "plugin_output_invalid"),
    "reads out of its memory": (module("(i64.load (i32.const -8))"), "plugin_trapped"),
    "traps": (module("unreachable"), "plugin_trapped"),
    "divides by zero": (module("(i64.div_u (i64.const 1) (i64.const 0))"), "plugin_trapped"),
    "calls itself for ever": (module("(call $f)", more="(func $f (result i64) (call $f))"), "plugin_trapped"),
    "traps at its start": (module(more="(func $s unreachable) (start $s)"), "plugin_trapped"),
    "spins at its start": (module(more="(func $s (loop $l (br $l))) (start $s)"), "plugin_out_of_fuel"),
    "has a table without end": (module(more="(table 50000000 funcref)"), "plugin_trapped"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_a_module_does_wrong_has_a_code(runtime: WasmtimeRuntime, name: str) -> None:
    code, expected = HOSTILE[name]
    limits = PluginLimits(fuel=20_000_000, output_bytes=1000)
    with pytest.raises(UpstreamError) as caught:
        call(runtime, code, limits=limits)
    assert caught.value.code == expected
    assert call(runtime, module()).output.startswith(b"{")


def test_time_on_the_clock_is_limited_where_fuel_is_not(runtime: WasmtimeRuntime) -> None:
    with pytest.raises(UpstreamError) as caught:
        call(runtime, module(SPIN), limits=PluginLimits(seconds=0.2, fuel=100_000_000_000))
    assert caught.value.code == "plugin_timeout"


def test_a_module_that_spins_does_not_hold_up_the_process(runtime: WasmtimeRuntime) -> None:
    ended: list[str] = []

    def spin() -> None:
        try:
            call(runtime, module(SPIN), limits=PluginLimits(seconds=1.0, fuel=100_000_000_000))
        except PlatformError as error:
            ended.append(error.code)

    threads = [threading.Thread(target=spin) for _ in range(2)]
    for thread in threads:
        thread.start()
    answered = [call(runtime, module()).output for _ in range(20)]
    for thread in threads:
        thread.join(30)
    assert len(answered) == 20
    assert ended == ["plugin_timeout"] * 2


def test_only_so_many_run_at_a_time() -> None:
    runtime = WasmtimeRuntime(instances=1)
    spin = PluginLimits(seconds=1.5, fuel=100_000_000_000)
    codes: list[str] = []

    def run() -> None:
        try:
            call(runtime, module(SPIN), limits=spin)
        except PlatformError as error:
            codes.append(error.code)

    thread = threading.Thread(target=run)
    thread.start()
    found: list[str] = []
    while thread.is_alive() and not found:
        try:
            call(runtime, module(), limits=PluginLimits(seconds=0.1))
        except LimitExceededError as error:
            found.append(error.code)
        except UpstreamError:  # a busy machine gave it no turn in its tenth of a second
            continue
    thread.join(30)
    assert found == ["plugins_busy"]
    assert codes == ["plugin_timeout"]


@pytest.mark.parametrize(
    ("imports", "told"),
    [
        ('(import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))', "fd_write"),
        ('(import "env" "memory" (memory 1))', "env.memory"),
        ('(import "aiw" "files" (func))', "aiw.files"),
        (LOG, "needs the grant 'log'"),
        ('(import "aiw" "now" (func (result i64)))', "needs the grant 'clock'"),
        ('(import "aiw" "random" (func (param i32 i32)))', "needs the grant 'random'"),
    ],
)
def test_nothing_is_imported_that_was_not_granted(runtime: WasmtimeRuntime, imports: str, told: str) -> None:
    memory = "" if "memory" in imports else '(memory (export "memory") 1)'
    code = module(imports=imports, memory=memory or '(export "memory" (memory 0))')
    with pytest.raises(NotPermittedError, match=told) as caught:
        call(runtime, code)
    assert caught.value.code == "plugin_import_refused"


def test_what_is_granted_works(runtime: WasmtimeRuntime) -> None:
    code = module(
        "(call $log (i32.const 2) (i32.const 0) (i32.const 6)) (call $random (i32.const 300) (i32.const 16))"
        "(i64.store (i32.const 316) (call $now)) (i64.const 0x12c00000018)",
        imports=LOG
        + '(import "aiw" "now" (func $now (result i64))) (import "aiw" "random" (func $random (param i32 i32)))',
    )
    found = call(runtime, code, grants=("log", "clock", "random"))
    assert found.logs == (("warning", '{"name'),)
    assert found.output[:16] != bytes(16)
    assert int.from_bytes(found.output[16:], "little") > 1_700_000_000_000


@pytest.mark.parametrize(
    "body",
    [
        "(call $log (i32.const 0) (i32.const -5) (i32.const 100))",
        "(call $random (i32.const 65535) (i32.const 100))",
        "(call $random (i32.const 0) (i32.const -1))",
    ],
)
def test_granted_functions_mind_where_they_are_pointed_to(runtime: WasmtimeRuntime, body: str) -> None:
    imports = LOG + '(import "aiw" "random" (func $random (param i32 i32)))'
    with pytest.raises(UpstreamError) as caught:
        call(runtime, module(body + "(i64.const 0)", imports=imports), grants=("log", "random"))
    assert caught.value.code == "plugin_output_invalid"


def test_lines_are_bounded_in_number_and_length(runtime: WasmtimeRuntime) -> None:
    chatty = module(
        "(local $i i32) (loop $l (call $log (i32.const 9) (i32.const 0) (i32.const 60000))"
        "(br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 1000))))"
        "(i64.const 0x200000001a)",
        imports=LOG,
    )
    found = call(runtime, chatty, grants=("log",))
    assert len(found.logs) == 64
    assert {(level, len(line)) for level, line in found.logs} == {("error", 1000)}


@pytest.mark.parametrize(
    "code",
    [
        b"",
        b"not a module",
        b"\0asm\1\0\0\0 and then something else",
        bytes(MAX_MODULE_BYTES + 1),
        module(memory="(memory 1)"),
        module().replace(b"process", b"precess"),
        module(more='(func (export "validate"))'),
    ],
    ids=["empty", "text", "damaged", "too large", "no memory", "no process", "validate of another kind"],
)
def test_what_does_not_keep_to_the_contract_is_refused(runtime: WasmtimeRuntime, code: bytes) -> None:
    with pytest.raises(InvalidInputError):
        runtime.exports(code, sha256(code), grants=())


def test_a_forked_process_has_an_engine_of_its_own(runtime: WasmtimeRuntime) -> None:
    assert call(runtime, module()).output
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writer, call(runtime, module()).output)
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as answers:
        assert answers.read() == b'{"extracted_data":{"n":1}}'
    assert os.waitpid(child, 0)[1] == 0
