"""The daemon's waits: shortened where they are known, refused where they are not."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from definitions.runtime.daemon import Wait, shorten, waits
from resources.errors import ConflictError

if TYPE_CHECKING:
    from collections.abc import Iterator

_SENSOR = "dagster._daemon.sensor"
_SHOW = """
import json, runpy, sys, types
stand_in = types.ModuleType("dagster._daemon.cli")
stand_in.cli = lambda arguments, prog_name: print(json.dumps(arguments))
sys.modules["dagster._daemon.cli"] = stand_in
sys.argv = ["daemon", "-w", "workspace.yaml"]
runpy.run_module("definitions.runtime.daemon", run_name="__main__")
from dagster._daemon import asset_daemon, backfill, controller, sensor
from dagster._daemon.auto_run_reexecution import event_log_consumer
print(json.dumps([
    sensor.MIN_INTERVAL_LOOP_TIME,
    asset_daemon.MIN_INTERVAL_LOOP_SECONDS,
    controller.DEFAULT_DAEMON_INTERVAL_SECONDS,
    event_log_consumer._INTERVAL_SECONDS,
]))
"""


@pytest.fixture(autouse=True)
def _stock_again() -> Iterator[None]:
    yield
    for wait in waits(sensor_interval=1):
        setattr(importlib.import_module(wait.module), wait.name, wait.stock)


def test_the_pinned_release_has_every_wait_where_it_is_expected() -> None:
    for wait in waits(sensor_interval=1):
        assert getattr(importlib.import_module(wait.module), wait.name) == wait.stock


def test_waits_are_shortened() -> None:
    shorten(waits(sensor_interval=0.25))
    assert importlib.import_module(_SENSOR).MIN_INTERVAL_LOOP_TIME == 0.25
    shorten(waits(sensor_interval=0.25))


@pytest.mark.parametrize(
    "unknown", [Wait(_SENSOR, "NO_SUCH_NAME", 5, 1), Wait(_SENSOR, "SENSOR_DAEMON_DOES_NOT_HAVE_THIS", 7, 1)]
)
def test_a_release_that_moved_a_wait_is_refused_and_nothing_is_changed(unknown: Wait) -> None:
    with pytest.raises(ConflictError, match=unknown.name):
        shorten([*waits(sensor_interval=0.5), unknown])
    assert importlib.import_module(_SENSOR).MIN_INTERVAL_LOOP_TIME == 5


def test_a_release_with_another_value_is_refused() -> None:
    with pytest.raises(ConflictError, match="expected 6, found 5"):
        shorten([Wait(_SENSOR, "MIN_INTERVAL_LOOP_TIME", 6, 1)])


def test_the_daemon_starts_with_the_settings_interval_and_its_own_arguments() -> None:
    shown = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _SHOW],
        env={**os.environ, "AIW_DAGSTER__SENSOR_INTERVAL": "0.5"},
        capture_output=True,
        check=True,
    )
    arguments, values = map(json.loads, shown.stdout.decode().splitlines())
    assert arguments == ["run", "-w", "workspace.yaml"]
    assert values == [0.5, 1, 1, 1]
