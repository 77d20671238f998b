"""What steps print, in files that the UI shows.

The stock manager also copies every line to the process's own output and starts four helper processes a run for that (two
`tail`, two that watch them): more work than most runs. This one only redirects.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dagster import Field, Noneable, StringSource
from dagster._core.execution.compute_logs import redirect_to_file
from dagster._core.storage.compute_log_manager import CapturedLogContext, ComputeIOType
from dagster._core.storage.local_compute_log_manager import IO_TYPE_EXTENSION, LocalComputeLogManager
from dagster._utils import ensure_file, touch_file

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from typing import Self

    from dagster._config.config_schema import UserConfigSchema
    from dagster._serdes import ConfigurableClassData


class FileComputeLogManager(LocalComputeLogManager):
    """Standard output and error of a run in two files under `base_dir` (default: `logs` in DAGSTER_HOME)."""

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        return {"base_dir": Field(Noneable(StringSource), is_required=False)}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> Self:
        base_dir = config_value.get("base_dir") or str(Path(os.environ["DAGSTER_HOME"]) / "logs")
        return cls(base_dir=base_dir, inst_data=inst_data)

    @contextmanager
    def capture_logs(self, log_key: Sequence[str]) -> Generator[CapturedLogContext, None, None]:
        out = self.get_captured_local_path(log_key, IO_TYPE_EXTENSION[ComputeIOType.STDOUT])
        err = self.get_captured_local_path(log_key, IO_TYPE_EXTENSION[ComputeIOType.STDERR])
        ensure_file(out)
        ensure_file(err)
        try:
            with redirect_to_file(sys.stdout, out), redirect_to_file(sys.stderr, err):
                yield CapturedLogContext(log_key)
        finally:  # also where whoever executes the run looks at its last event and goes
            touch_file(self.get_captured_local_path(log_key, "complete"))
