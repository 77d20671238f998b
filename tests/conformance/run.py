"""MCP's official conformance suite against the fixture server: python -m tests.conformance.run [--json FILE]

Two releases of the suite (the stable one, and the preview of the next with two revisions of the protocol), every scenario of
each. Ends with 1 when a score is below what the README says.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import shlex
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.conformance.node import NoNodeError, environment, script

if TYPE_CHECKING:
    from collections.abc import Iterator

_TOTAL = re.compile(r"Total: (\d+) passed, (\d+) failed")
_FAILED = re.compile(r"^✗ (\S+)", re.MULTILINE)

ROOT = Path(__file__).parents[2]
CLIENT_SCENARIOS = ("initialize", "tools_call", "sse-retry")
"""What our client does: it lists and calls tools. It neither logs in by OAuth nor answers what servers ask."""


@dataclass(frozen=True)
class Suite:
    """One judge. `least` is the score that the README promises, of `checks` in all."""

    name: str
    package: str
    arguments: tuple[str, ...]
    least: int
    checks: int

    @property
    def promise(self) -> str:
        return f"{self.least}/{self.checks}"


SUITES = (
    Suite("0.1.16, all scenarios", "conformance-stable", (), 44, 44),
    Suite("0.2.0-alpha.12, protocol 2025-11-25", "conformance-preview", ("--spec-version", "2025-11-25"), 84, 84),
    Suite("0.2.0-alpha.12, protocol 2026-07-28", "conformance-preview", ("--spec-version", "2026-07-28"), 152, 152),
)


@dataclass(frozen=True)
class Score:
    """What a judge says."""

    suite: str
    passed: int
    failed: int
    failures: tuple[str, ...]


@contextlib.contextmanager
def fixture_server() -> Iterator[str]:
    """The fixtures over HTTP, in a process of their own; gives the address of the API."""
    command = [str(Path(sys.prefix) / "bin" / "aiw"), "mcp", "serve", "--profile", "conformance", "--http"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise RuntimeError("The fixture server did not start.")
            yield str(json.loads(line)["url"])
        finally:
            process.terminate()
            process.wait(30)


def judged(suite: Suite, url: str, *, timeout: float = 300.0) -> Score:
    """The score of the server at `url`."""
    command = [
        *script(suite.package, "dist/index.js"),
        *("server", "--url", f"{url}/mcp", "--suite", "all"),
        *suite.arguments,
    ]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=timeout, check=False)
    found = _TOTAL.search(done.stdout)
    if found is None:
        raise RuntimeError(f"The suite told no score: {(done.stdout + done.stderr)[-1000:]}")
    return Score(suite.name, int(found[1]), int(found[2]), tuple(_FAILED.findall(done.stdout)))


def judged_client(scenario: str, *, timeout: float = 120.0) -> bool:
    """Whether our client passes a scenario of the stable suite, which plays the server."""
    client = shlex.join([sys.executable, "-m", "tests.conformance.client"])
    command = [*script("conformance-stable", "dist/index.js"), "client", "--command", client, "--scenario", scenario]
    command += ["--timeout", str(int(1000 * timeout / 2))]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=timeout, check=False
    )
    return done.returncode == 0 and "OVERALL: PASSED" in done.stderr


def main() -> int:
    """Judge, print, and compare with what was promised."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.run", description=__doc__)
    parser.add_argument("--json", type=Path, help="file for the scores")
    options = parser.parse_args()
    try:
        with fixture_server() as url:
            scores = [judged(suite, url) for suite in SUITES]
        passed = {scenario: judged_client(scenario) for scenario in CLIENT_SCENARIOS}
    except NoNodeError as error:
        print(f"conformance: skipped: {error}")  # noqa: T201  # for the person who asked
        return 0
    for suite, score in zip(SUITES, scores, strict=True):
        missing = f"  (failed: {', '.join(score.failures)})" if score.failures else ""
        print(f"{score.suite}: {score.passed}/{score.passed + score.failed}{missing}")  # noqa: T201
        if score.passed < suite.least:
            print(f"  promised: {suite.promise}")  # noqa: T201
    for scenario, good in passed.items():
        print(f"client, {scenario}: {'passed' if good else 'failed'}")  # noqa: T201
    if options.json:
        options.json.write_text(json.dumps([asdict(score) for score in scores], indent=1))
    worse = any(score.passed < suite.least for suite, score in zip(SUITES, scores, strict=True))
    return int(worse or not all(passed.values()))


if __name__ == "__main__":
    sys.exit(main())
