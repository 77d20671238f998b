"""Where workflows are found: those that somebody has published, and those that come with the platform.

A workflow comes with the platform (a file, revision 0, for every tenant), or somebody has published it (its revisions are
counted, and it is its tenant's). A tenant's own comes before the platform's of the same name. What a name and a revision mean
never changes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from resources.errors import NotFoundError
from resources.workflows.loading import load_file
from resources.workflows.spec import NAME, WorkflowSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from resources.workflows.definitions import Published, WorkflowDefinitions

BUNDLED_REVISION: Final = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """A workflow. `published` is None for one that comes with the platform, in a file of the age `stamp`."""

    spec: WorkflowSpec
    published: Published | None = None
    stamp: int = 0

    @property
    def revision(self) -> int:
        return self.published.revision if self.published is not None else BUNDLED_REVISION

    @property
    def tenant(self) -> str | None:
        """Whose it is; None: the platform's."""
        return self.published.tenant if self.published is not None else None


class Library:
    """Finds workflows. Safe to share between threads."""

    def __init__(self, definitions: WorkflowDefinitions | None, folder: Path) -> None:
        """`definitions` None: there are only those of the folder."""
        self._definitions = definitions
        self._folder = folder
        self._read: dict[str, Entry] = {}

    def find(self, name: str, *, tenant: str | None, revision: int | None = None) -> Entry:
        """The tenant's workflow, else the platform's; the newest revision unless one is named. Raises NotFoundError."""
        if tenant is not None and self._definitions is not None and revision != BUNDLED_REVISION:
            try:
                published = self._definitions.get(name, tenant=tenant, revision=revision)
                return Entry(published.spec, published)
            except NotFoundError:
                if revision is not None:
                    raise
        return self._file(name)

    def lookup(self, tenant: str | None) -> Callable[[str, int | None], tuple[int, WorkflowSpec]]:
        """`find` as the validation of the tenant's workflows wants it."""

        def find(name: str, revision: int | None) -> tuple[int, WorkflowSpec]:
            found = self.find(name, tenant=tenant, revision=revision)
            return found.revision, found.spec

        return find

    def bundled(self) -> Iterator[tuple[str, Callable[[], Entry]]]:
        """Each workflow that comes with the platform: its name, and how to read it, which raises when it is broken."""
        for path in sorted(self._folder.glob("*.yaml")):
            yield path.stem, lambda name=path.stem: self._file(name)  # type: ignore[misc]

    def published(self, tenant: str | None) -> list[Entry]:
        """The newest revision of each published workflow, of one tenant or of all. Raises UnavailableError."""
        if self._definitions is None:
            return []
        return [Entry(found.spec, found) for found in self._definitions.list(tenant)]

    def _file(self, name: str) -> Entry:
        path = self._folder / f"{name}.yaml"
        if re.fullmatch(NAME, name) is None or not path.is_file():
            raise NotFoundError(f"There is no workflow {name!r}.", code="workflow_not_found", name=name)
        stamp = path.stat().st_mtime_ns
        kept = self._read.get(name)
        if kept is None or kept.stamp != stamp:
            kept = self._read[name] = Entry(load_file(path), stamp=stamp)
        return kept
