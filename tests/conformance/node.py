"""The judges: packages of npm, locked, and the Node that they run on."""

from __future__ import annotations

import sys
from pathlib import Path

from resources.errors import UnavailableError
from resources.servers.node import Node, find_node

HERE = Path(__file__).parent
MODULES = Path(sys.prefix) / "conformance"


class NoNodeError(Exception):
    """The judges cannot be had here; the message says why."""


def node() -> Node:
    """The Node that judges run on. Raises NoNodeError."""
    try:
        return find_node()
    except UnavailableError as error:
        raise NoNodeError(error.message) from error


def installed(*, timeout: float = 300.0) -> Path:
    """The folder of modules, as the lock file says. Raises NoNodeError where npm's registry cannot be reached."""
    try:
        return node().packages(HERE, MODULES, timeout=timeout)
    except UnavailableError as error:
        raise NoNodeError(error.message) from error


def environment() -> dict[str, str]:
    """The environment with this Node first."""
    return node().environment


def script(package: str, path: str) -> list[str]:
    """The command that runs a package's program."""
    return [str(node().program), str(installed() / package / path)]
