"""All workflows that a tenant has: its own, which it publishes, and those that come with the platform.

A tenant's own comes before the platform's of the same name. Nothing is published that could not run.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from resources.errors import NotFoundError
from resources.telemetry.logging import get_logger
from resources.workflows.loading import load_file
from resources.workflows.spec import NAME, WorkflowSpec
from resources.workflows.templates import Template, Templates
from resources.workflows.triggers import problems_of_use
from resources.workflows.validation import WorkflowInvalidError, check

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from resources.workflows.definitions import Published, WorkflowDefinitions
    from resources.workflows.graph import CheckedWorkflow
    from resources.workflows.node_type import NodeTypes

log = get_logger(__name__)

BUNDLED_REVISION: Final = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """A workflow. `published` is None for one that comes with the platform: its revision is 0."""

    spec: WorkflowSpec
    published: Published | None = None

    @property
    def revision(self) -> int:
        return self.published.revision if self.published is not None else BUNDLED_REVISION


class Catalogue:
    """Finds, checks and publishes workflows. Safe to share between threads."""

    def __init__(
        self,
        definitions: WorkflowDefinitions,
        types: NodeTypes,
        *,
        bundled: Path,
        environment: frozenset[str] = frozenset(),
        sends_mail: bool = False,
    ) -> None:
        """`bundled` is the folder of those that come with the platform; `environment` names variables for expressions."""
        self.definitions = definitions
        self.types = types
        self._bundled = bundled
        self._environment = environment
        self._sends_mail = sends_mail
        self._read: dict[str, tuple[int, WorkflowSpec]] = {}

    def find(self, name: str, *, tenant: str, revision: int | None = None) -> Entry:
        """The tenant's, else the platform's; the newest unless a revision is named. Raises NotFoundError."""
        if revision != BUNDLED_REVISION:
            try:
                published = self.definitions.get(name, tenant=tenant, revision=revision)
                return Entry(published.spec, published)
            except NotFoundError:
                if revision is not None:
                    raise
        return Entry(self._file(name))

    def list(self, tenant: str) -> list[Entry]:
        """All, by name."""
        found = {name: Entry(spec) for name, spec in self._files()}
        found |= {published.name: Entry(published.spec, published) for published in self.definitions.list(tenant)}
        return [found[name] for name in sorted(found)]

    def check(self, spec: WorkflowSpec, *, tenant: str) -> CheckedWorkflow:
        """Raises WorkflowInvalidError with all that is wrong."""

        def lookup(name: str, revision: int | None) -> tuple[int, WorkflowSpec]:
            found = self.find(name, tenant=tenant, revision=revision)
            return found.revision, found.spec

        more = tuple(problems_of_use(spec, sends_mail=self._sends_mail))
        try:
            checked = check(spec, self.types, lookup=lookup, environment=self._environment)
        except WorkflowInvalidError as error:
            raise WorkflowInvalidError(spec.name, (*error.problems, *more)) from error
        if more:
            raise WorkflowInvalidError(spec.name, more)
        return checked

    def publish(
        self, spec: WorkflowSpec, *, tenant: str, user: str | None = None, note: str | None = None
    ) -> Published:
        """A new revision, unless it is the newest already. Raises WorkflowInvalidError."""
        self.check(spec, tenant=tenant)
        return self.definitions.publish(spec, tenant=tenant, user=user, note=note)

    def templates(self, tenant: str) -> Templates:
        """The same as a catalogue to choose from."""
        found = []
        for entry in self.list(tenant):
            published = entry.published
            if published is None:
                found.append(Template.of(entry.spec))
                continue
            first = self.definitions.get(published.name, tenant=tenant, revision=1)
            found.append(Template.of(entry.spec, created_at=first.published_at, updated_at=published.published_at))
        return Templates(found)

    def _files(self) -> Iterator[tuple[str, WorkflowSpec]]:
        for path in sorted(self._bundled.glob("*.yaml")):
            try:
                yield path.stem, self._file(path.stem)
            except (WorkflowInvalidError, NotFoundError) as error:
                log.warning("workflows.file_skipped", file=path.name, reason=str(error))

    def _file(self, name: str) -> WorkflowSpec:
        path = self._bundled / f"{name}.yaml"
        if re.fullmatch(NAME, name) is None or not path.is_file():
            raise NotFoundError(f"There is no workflow {name!r}.", code="workflow_not_found", name=name)
        stamp = path.stat().st_mtime_ns
        kept = self._read.get(name)
        if kept is None or kept[0] != stamp:
            kept = self._read[name] = (stamp, load_file(path))
        return kept[1]
