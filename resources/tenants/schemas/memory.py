"""Schemas where there is no database: it is remembered who has one."""

from __future__ import annotations


class MemorySchemas:
    """`made` names those who have one."""

    def __init__(self) -> None:
        self.made: set[str] = set()

    def make(self, tenant: str) -> None:
        self.made.add(tenant)

    def drop(self, tenant: str) -> None:
        self.made.discard(tenant)
