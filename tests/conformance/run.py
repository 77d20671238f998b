"""MCP's official conformance suite against the fixture server and our client: python -m tests.conformance.run [--json FILE]

Two releases of the suite (the stable one, and the preview of the next with two revisions of the protocol), every scenario of
each. Ends with 1 when a score is below what the README says, or when other scenarios of the client fail than those named here.
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
_SCENARIO = re.compile(r"^[✓✗] (\S+): (\d+) passed, (\d+) failed", re.MULTILINE)
_ALONE = re.compile(r"^Passed: (\d+)/\d+, (\d+) failed", re.MULTILINE)

ROOT = Path(__file__).parents[2]
CLIENT_SCENARIOS = (
    "sse-retry",
    "elicitation-sep1034-client-defaults",
    "auth/scope-step-up",
    "auth/client-credentials-jwt",
)
"""One of each kind, for the tests; `make conformance` runs all."""


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
class ClientSuite(Suite):
    """One judge of the client. `fails` are the scenarios that it does not pass: what it does not speak."""

    fails: tuple[str, ...] = ()


CLIENT_SUITES = (
    ClientSuite(
        "client, 0.1.16, all scenarios",
        "conformance-stable",
        (),
        301,
        306,
        # An issuer that is not the one whose metadata it stands in, which RFC 8414 forbids; tokens of an organisation's login.
        ("auth/2025-03-26-oauth-metadata-backcompat", "auth/cross-app-access-complete-flow"),
    ),
    ClientSuite(
        "client, 0.2.0-alpha.12, all scenarios",
        "conformance-preview",
        (),
        449,
        460,
        ("auth/enterprise-managed-authorization", "auth/dpop", "auth/dpop-nonce", "auth/wif-jwt-bearer"),
    ),
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


@contextlib.contextmanager
def warm_client() -> Iterator[str]:
    """The command that the suite starts as our client."""
    command = [sys.executable, "-m", "tests.conformance.client"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            port = process.stdout.readline().strip()
            if not port:
                raise RuntimeError("The client did not start.")
            yield shlex.join([sys.executable, "-S", str(Path(__file__).with_name("caller.py")), port])
        finally:
            process.terminate()
            process.wait(30)


def judged_client(suite: ClientSuite, client: str, *, timeout: float = 400.0) -> Score:
    """The score of our client. All scenarios run at once, each within its time: what fails so is asked again alone."""
    done = _ask_of_client(client, suite.package, "--suite", "all", *suite.arguments, timeout=timeout)
    found = {name: (int(good), int(bad)) for name, good, bad in _SCENARIO.findall(done.stdout)}
    if not found:
        raise RuntimeError(f"The suite told no score: {(done.stdout + done.stderr)[-1000:]}")
    for name, (_, bad) in tuple(found.items()):
        if bad and name not in suite.fails:
            again = _ask_of_client(client, suite.package, "--scenario", name, timeout=timeout)
            if alone := _ALONE.search(again.stdout + again.stderr):
                found[name] = (int(alone[1]), int(alone[2]))
    good, bad = (sum(one) for one in zip(*found.values(), strict=True))
    return Score(suite.name, good, bad, tuple(name for name, (_, failed) in found.items() if failed))


def passes(scenario: str, client: str, *, timeout: float = 120.0) -> bool:
    """Whether our client passes a scenario of the stable suite, which plays the server."""
    done = _ask_of_client(client, "conformance-stable", "--scenario", scenario, timeout=timeout)
    return done.returncode == 0 and "OVERALL: PASSED" in done.stderr


def _ask_of_client(client: str, package: str, *arguments: str, timeout: float) -> subprocess.CompletedProcess[str]:
    command = [*script(package, "dist/index.js"), "client", "--command", client, *arguments, "--timeout", "60000"]
    return subprocess.run(
        command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=timeout, check=False
    )


def main() -> int:
    """Judge, print, and compare with what was promised."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.run", description=__doc__)
    parser.add_argument("--json", type=Path, help="file for the scores")
    options = parser.parse_args()
    try:
        with fixture_server() as url:
            scores = [judged(suite, url) for suite in SUITES]
        with warm_client() as client:
            of_client = [judged_client(suite, client) for suite in CLIENT_SUITES]
    except NoNodeError as error:
        print(f"conformance: skipped: {error}")  # noqa: T201  # for the person who asked
        return 0
    both: list[tuple[Suite, Score]] = [
        *zip(SUITES, scores, strict=True),
        *zip(CLIENT_SUITES, of_client, strict=True),
    ]
    for suite, score in both:
        missing = f"  (failed: {', '.join(score.failures)})" if score.failures else ""
        print(f"{score.suite}: {score.passed}/{score.passed + score.failed}{missing}")  # noqa: T201
        if _is_worse(suite, score):
            print(f"  promised: {suite.promise}")  # noqa: T201
    if options.json:
        options.json.write_text(json.dumps([asdict(score) for _, score in both], indent=1))
    return int(any(_is_worse(suite, score) for suite, score in both))


def _is_worse(suite: Suite, score: Score) -> bool:
    if isinstance(suite, ClientSuite):  # how many checks there are is up to how often the client asks
        return score.failed > suite.checks - suite.least or not set(score.failures) <= set(suite.fails)
    return score.passed < suite.least


if __name__ == "__main__":
    sys.exit(main())
