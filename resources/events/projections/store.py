"""The port of read models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from resources.events.projections.model import ProjectionStatus, Row, RowKey, Rows


class Batch(Protocol):
    """One transaction on one generation of rows. Nothing of it is seen before it ends well."""

    @property
    def position(self) -> int:
        """All events up to here are in the rows."""

    def load(self, keys: Iterable[RowKey]) -> Mapping[RowKey, Row]:
        """Those of the rows that exist."""

    def save(self, rows: Rows, *, position: int, events: int) -> None:
        """The rows and the checkpoint, together."""


class ProjectionStore(Protocol):
    """Rows of projections in generations. Every verb raises UnavailableError; those with a name NotFoundError."""

    def define(self, name: str, *, version: int) -> None:
        """Create the projection with an empty generation, if there is none. Does not touch one that exists."""

    def status(self, name: str) -> ProjectionStatus:
        """Where it stands."""

    def list(self) -> Sequence[ProjectionStatus]:
        """All projections by name."""

    def batch(self, name: str, *, generation: int | None = None) -> AbstractContextManager[Batch | None]:
        """Work on the active generation, or on the one being built. None when another worker does, or it is stopped."""

    def advance(self, names: Collection[str], *, after: int, to: int) -> None:
        """Nothing from `after` to `to` concerns these projections: those whose active rows stand at `after` stand at `to` now,
        but for those that another worker is at, or that are stopped.
        """

    def begin_rebuild(self, name: str, *, version: int) -> int:
        """A generation to be built; one that was begun with this version before is gone on with."""

    def finish_rebuild(self, name: str, generation: int) -> bool:
        """Let the generation take over; False when it is not as far as the active one yet."""

    def cancel_rebuild(self, name: str) -> None:
        """Ask whoever rebuilds to stop, and forget the generation."""

    def is_cancelled(self, name: str, generation: int) -> bool:
        """Whether the rebuild was asked to stop."""

    def note_failure(self, name: str, error: str) -> None:
        """The projection cannot go on."""

    def stop(self, name: str) -> None:
        """Do no more work on it until `start`."""

    def start(self, name: str) -> None:
        """Work on it again."""

    def size(self, name: str) -> int:
        """How many rows the active generation has, of all tenants."""

    def get(self, name: str, key: str, *, tenant: str) -> Row | None:
        """One row of the active generation."""

    def get_many(self, name: str, keys: Collection[str], *, tenant: str) -> Mapping[str, Row]:
        """Those rows of the active generation that there are, by key."""

    def rows(
        self, name: str, *, tenant: str, prefix: str = "", after: str = "", limit: int = 100
    ) -> Sequence[tuple[str, Row]]:
        """Rows of the active generation whose key begins with `prefix`, in order of key, those after `after` first."""
