"""Processes add up what they have counted; what a dead one has counted stays, what it was doing does not."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from api.metrics.series import Series
from api.metrics.sharing import SharedSeries

if TYPE_CHECKING:
    from pathlib import Path

OTHER_PROCESS = """
import sys
from pathlib import Path
from api.metrics.series import Series
from api.metrics.sharing import SharedSeries

series = Series({"requests": {("GET",): 5.0}}, {"seconds": {("GET",): [5, 0, 2.5]}}, {"open": {(): 3}})
shared = SharedSeries(Path(sys.argv[1]), lambda: series)
shared.start()
print("ready", flush=True)
if sys.stdin.readline() == "end\\n":
    series.counters["requests"]["GET",] = 6.0
    shared.close()
"""


def counted() -> Series:
    return Series({"requests": {("GET",): 2.0}}, {"seconds": {("GET",): [1, 1, 0.5]}}, {"open": {(): 1}})


def joined(folder: Path) -> SharedSeries:
    shared = SharedSeries(folder, counted)
    shared.start()
    return shared


class Other:
    """Another process that has counted five requests."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", OTHER_PROCESS, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=30)

    def end(self) -> None:
        self.process.communicate("end\n", timeout=30)


def figures(series: Series) -> tuple[float, list[float], float]:
    return series.counters["requests"]["GET",], series.histograms["seconds"]["GET",], series.gauges["open"][()]


def test_counters_of_the_dead_stay_and_their_gauges_go(tmp_path: Path) -> None:
    folder = tmp_path / "with spaces"
    shared = joined(folder)
    killed, ended = Other(folder), Other(folder)
    try:
        assert figures(shared.all()) == (12.0, [11, 1, 5.5], 7)
        killed.kill()
        assert figures(shared.all()) == (12.0, [11, 1, 5.5], 4)
        ended.end()  # and counts one more before it goes
        assert figures(shared.all()) == (13.0, [11, 1, 5.5], 1)
        again = joined(folder)  # takes over what they have left
        assert figures(again.all()) == (15.0, [12, 2, 6.0], 2)
        assert {path.stem for path in folder.glob("*.json")} == {"ended", shared._name, again._name}
        again.close()
        assert figures(shared.all()) == (15.0, [12, 2, 6.0], 1)
    finally:
        killed.kill()
        ended.kill()
        shared.close()


def test_a_merger_that_died_half_way_counts_nothing_twice(tmp_path: Path) -> None:
    other = Other(tmp_path)
    other.kill()
    (left,) = tmp_path.glob("*.json")
    before = left.read_bytes()
    shared = joined(tmp_path)
    left.write_bytes(before)  # as if it had been killed before it could remove the file
    try:
        assert figures(shared.all())[0] == 7.0
        more = joined(tmp_path)
        assert figures(more.all())[0] == 9.0
        more.close()
    finally:
        shared.close()


def test_a_broken_file_takes_nothing_else_along(tmp_path: Path) -> None:
    shared = joined(tmp_path)
    try:
        (tmp_path / "1-abc.json").write_bytes(b'{"counters": [')
        assert figures(shared.all()) == (2.0, [1, 1, 0.5], 1)
    finally:
        shared.close()
