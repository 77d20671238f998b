"""The folder of an embedded server: private, claimed by one process at a time, with a password in it."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from resources.errors import ConflictError

if TYPE_CHECKING:
    from pathlib import Path


def make_private(folder: Path) -> None:
    """Create `folder`, readable by nobody else. Its parents are created if need be and never changed."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)


def claim(folder: Path, *, name: str) -> FileLock:
    """A lock on `folder` that ends with this process. Raises ConflictError when another process holds it."""
    lock = FileLock(folder / "owner.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise ConflictError(
            f"The {name} of {str(folder)!r} is already in use by another process. Stop that one first (`aiw stop`).",
            code="server_in_use",
        ) from error
    return lock


def password_of(folder: Path, *, fresh: bool) -> str:
    """The password kept in `folder`; made up when the server is `fresh`, that is, has no data yet.

    Raises ConflictError when there is data but no password.
    """
    path = folder / "password"
    if path.exists() and (password := path.read_text().strip()):
        return password
    if not fresh:
        raise ConflictError(
            f"{str(path)!r} is missing, but the server next to it has data that was made with it. "
            "Restore the file, or move the folder away to start with an empty server.",
            code="server_password_missing",
        )
    password = secrets.token_urlsafe(24)
    write_private(path, password)
    return password


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read; it is complete or absent, also after a crash."""
    draft = path.with_name(path.name + ".tmp")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
