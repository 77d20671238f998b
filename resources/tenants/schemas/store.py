"""The port of schemas: whose content is kept apart from the others'."""

from __future__ import annotations

from typing import Protocol

MOST_LETTERS = 56
"""A name in PostgreSQL has 63 bytes at most, and that of a schema begins with `tenant_`."""


class TenantSchemas(Protocol):
    """Both verbs raise UnavailableError when the database cannot be reached, or is too busy to let them."""

    def make(self, tenant: str) -> None:
        """From now on the tenant's content is kept in a schema of its own. Finishes what an earlier call began.

        Raises ConflictError (`tenant_has_rows`) when it has content among the others'.
        """

    def drop(self, tenant: str) -> None:
        """Remove the schema with all that is in it. Does nothing when there is none."""
