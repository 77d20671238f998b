"""Whether the code has changed on disk."""

from __future__ import annotations

import os

SUFFIXES = (".py", ".yaml", ".yml", ".sql")
SKIPPED = frozenset({"__pycache__", "node_modules", "tests", "docs", "build", "dist"})


def newest_change(folder: str) -> float:
    """When a source file under `folder` was last changed or added (seconds since the epoch); hidden folders are not read."""
    newest = 0.0
    for path, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".") and name not in SKIPPED]
        for name in files:
            if name.endswith(SUFFIXES):
                try:
                    newest = max(newest, os.stat(os.path.join(path, name)).st_mtime)  # noqa: PTH116, PTH118  # walked often
                except FileNotFoundError:
                    continue
    return newest
