"""Autobahn's testsuite for WebSockets against our server, and nothing behind it but an echo.

    python -m tests.conformance.autobahn [--python2 PATH]

Its cases run by kosoku, which is installed with the other tools. With an interpreter of Python 2.7 the original runs as well: it
is installed from its package index into `.venv-bench/autobahn`. Families 12 and 13 are about compression, which is not
offered: it costs more memory for each socket than all the rest.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from kosoku import FailureError, run_fuzzingclient

from api.realtime.protocol import MESSAGE_LIMIT
from tests.api.harness import serving

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from starlette.types import Receive, Scope, Send

ROOT = Path(__file__).parents[2]
PACKAGE = "autobahntestsuite==25.10.1"
LEFT_OUT = ("12.*", "13.*")
_LARGEST = 32 * 1024 * 1024
_GOOD = {"OK", "NON-STRICT", "INFORMATIONAL"}


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Says again what is said to it. Autobahn says 16 MiB at once, which no socket of ours may."""
    if scope["type"] == "lifespan":
        for answer in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{answer}.complete"})
        return
    scope["extensions"][MESSAGE_LIMIT](_LARGEST)
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        said = {"text": event["text"]} if event.get("text") is not None else {"bytes": event["bytes"]}
        await send({"type": "websocket.send", **said})


def verdicts(url: str, *, left_out: Sequence[str] = LEFT_OUT) -> dict[str, tuple[str, str]]:
    """How the server behaved in each case, and how it closed.

    Cases give a server a second to answer, which a busy machine may not have: what went wrong is tried once more, by itself.
    """
    judged = _run(url, left_out=left_out, at_once=4)
    again = tuple(bad(judged))
    return {**judged, **_run(url, cases=again)} if again else judged


def _run(
    url: str, *, cases: Sequence[str] | None = None, left_out: Sequence[str] = (), at_once: int = 1
) -> dict[str, tuple[str, str]]:

    async def judge() -> dict[str, tuple[str, str]]:
        try:
            results = await run_fuzzingclient(url, cases, left_out, at_once)
        except FailureError as error:
            results = error.results
        return {result.case_id: (result.behavior.value, result.behavior_close.value) for result in results}

    return asyncio.run(judge())


def bad(judged: dict[str, tuple[str, str]]) -> dict[str, tuple[str, str]]:
    """Those that are not as the standard demands."""
    return {case: verdict for case, verdict in judged.items() if not set(verdict) <= _GOOD}


def original(url: str, python2: str) -> dict[str, tuple[str, str]]:
    """The verdicts of the original, on Python 2.7."""
    installed = ROOT / ".venv-bench" / "autobahn"
    if not installed.is_dir():
        install = [
            python2,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--target",
            str(installed),
        ]
        subprocess.run([*install, PACKAGE], check=True)
        (installed / "zope" / "__init__.py").touch()  # a namespace, which a folder of modules alone has not
    with tempfile.TemporaryDirectory(prefix="aiw-autobahn-") as folder:
        wanted = {
            "outdir": folder,
            "servers": [{"agent": "aiw", "url": url}],
            "cases": ["*"],
            "exclude-cases": LEFT_OUT,
        }
        spec = Path(folder) / "spec.json"
        spec.write_text(json.dumps(wanted | {"exclude-agent-cases": {}}))
        program = "from autobahntestsuite.wstest import run; run()"
        command = [python2, "-c", program, "-m", "fuzzingclient", "-s", str(spec)]
        environment = {**os.environ, "PYTHONPATH": str(installed)}
        subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
        cases = json.loads((Path(folder) / "index.json").read_text())["aiw"]
    return {case: (found["behavior"], found["behaviorClose"]) for case, found in cases.items()}


def _tell(name: str, judged: dict[str, tuple[str, str]]) -> Iterable[str]:
    counts = Counter(behaviour for behaviour, _ in judged.values())
    yield f"{name}: {len(judged)} cases, " + ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())
    for case, (behaviour, close) in bad(judged).items():
        yield f"  {case}: {behaviour}, closed {close}"


def main() -> int:
    """Judge, and tell; 1 when something is not as it must be."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.autobahn")
    parser.add_argument("--python2", help="an interpreter of Python 2.7: run the original as well")
    options = parser.parse_args()
    failed = 0
    with serving(echo) as address:
        url = address.replace("http", "ws", 1)
        runs = {"kosoku": verdicts(url)}
        if options.python2:
            runs["autobahntestsuite"] = original(url, options.python2)
    for name, judged in runs.items():
        sys.stdout.write("\n".join(_tell(name, judged)) + "\n")
        failed += len(bad(judged)) + (not judged)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
