"""Passwords: argon2id (RFC 9106) with the library's recommended parameters, a few at a time.

A hash takes 64 MiB and some 50 ms on purpose. Many at once would take the machine down, which is an attack of its own: so two
at a time, and who would have to wait too long is told to come back.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from resources.errors import InvalidInputError, LimitExceededError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from argon2 import PasswordHasher

MIN_LENGTH = 12
MAX_LENGTH = 1024
_AT_ONCE = 2
_PATIENCE = 5.0


class Passwords:
    """Hashes and verifies. Safe to share between threads. `fast` is for tests alone: far too weak for anything else."""

    def __init__(self, *, fast: bool = False) -> None:
        self._fast = fast
        self._places = threading.BoundedSemaphore(_AT_ONCE)

    def hash(self, password: str) -> str:
        """The hash to store. Raises InvalidInputError for a password that is too short or too long."""
        if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
            found = Problem("password", f"has {len(password)} characters", f"use {MIN_LENGTH} to {MAX_LENGTH}")
            raise InvalidInputError(f"The password is not accepted: {found}.", code="password_weak", problems=(found,))
        with self._place():
            return self._hasher.hash(password)

    def verify(self, stored: str | None, password: str) -> bool:
        """Whether it is the password. Takes as long when there is none to compare with, so that nobody learns who exists."""
        from argon2.exceptions import Argon2Error, InvalidHashError

        if len(password) > MAX_LENGTH:
            return False
        with self._place():
            try:
                return self._hasher.verify(stored or self._dummy, password) and stored is not None
            except (Argon2Error, InvalidHashError):
                return False

    def outdated(self, stored: str) -> bool:
        """Whether it was made with weaker parameters than today's, and should be made anew at the next login."""
        return self._hasher.check_needs_rehash(stored)

    @cached_property
    def _hasher(self) -> PasswordHasher:
        from argon2 import PasswordHasher

        return PasswordHasher(time_cost=1, memory_cost=8, parallelism=1) if self._fast else PasswordHasher()

    @cached_property
    def _dummy(self) -> str:
        return self._hasher.hash("nobody's password")

    @contextmanager
    def _place(self) -> Iterator[None]:
        if not self._places.acquire(timeout=_PATIENCE):
            raise LimitExceededError("Too many are logging in at once. Try again.", retry_after=_PATIENCE, code="busy")
        try:
            yield
        finally:
            self._places.release()
