"""The port of what runs modules, and the contract between a module and the platform.

The ABI is pointers, lengths and JSON in UTF-8. A module exports

- `memory`: its linear memory;
- `alloc(length: i32) -> i32`: where the platform may write that many bytes;
- `process(pointer: i32, length: i32) -> i64`: reads a PluginInput, gives a PluginOutput;
- `metadata() -> i64`: gives a Manifest;
- `validate(pointer: i32, length: i32) -> i64`, if it likes: reads a configuration, gives a list of what is wrong with it.

An i64 result is `pointer << 32 | length` of bytes in its memory. Each call gets an instance of its own, so nothing need be
freed and nothing is kept. A module may import, if it was granted them, from `aiw`:

- `log(level: i32, pointer: i32, length: i32)`, levels 0 debug, 1 info, 2 warning, 3 error (grant `log`);
- `now() -> i64`, milliseconds since 1970 (grant `clock`);
- `random(pointer: i32, length: i32)`, fills the bytes (grant `random`).

Nothing else can be imported: no WASI, no files, no sockets, no environment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resources.plugins.model import Call, Capability, PluginLimits


class PluginRuntime(Protocol):
    """Runs modules that nobody trusts. Safe to share between threads."""

    def exports(self, module: bytes, sha256: str, *, grants: Sequence[Capability]) -> frozenset[str]:
        """The names of its functions. Raises InvalidInputError for what is no module, or none that keeps to the contract.

        Imports beyond `grants` raise NotPermittedError (`plugin_import_refused`).
        """
        ...

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
        """One call in an instance of its own; `payload` None = the export takes nothing.

        Raises what `exports` raises, and UpstreamError for what the module does wrong: `plugin_trapped`,
        `plugin_out_of_fuel`, `plugin_timeout`, `plugin_out_of_memory`, `plugin_output_invalid`, `plugin_output_too_large`;
        LimitExceededError (`plugins_busy`) when too many calls are under way for too long.
        """
        ...
