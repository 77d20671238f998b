"""All workflows that a tenant has, as it lists, checks and publishes them. Nothing is published that could not run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resources.errors import NotFoundError
from resources.telemetry.logging import get_logger
from resources.workflows.library import Library
from resources.workflows.remote_tools import problems_of_tools
from resources.workflows.templates import Template, Templates
from resources.workflows.triggers import problems_of_use
from resources.workflows.validation import WorkflowInvalidError, check

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from resources.workflows.definitions import Published, WorkflowDefinitions
    from resources.workflows.graph import CheckedWorkflow
    from resources.workflows.library import Entry
    from resources.workflows.node_type import NodeTypes
    from resources.workflows.remote_tools import KnownTools
    from resources.workflows.spec import WorkflowSpec

log = get_logger(__name__)


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
        tools: KnownTools | None = None,
    ) -> None:
        """`bundled` is the folder of those that come with the platform; `environment` names variables for expressions; `tools`
        are those of MCP servers, None = nothing is known of them.
        """
        self.definitions = definitions
        self.types = types
        self._library = Library(definitions, bundled)
        self._environment = environment
        self._sends_mail = sends_mail
        self._tools = tools

    def find(self, name: str, *, tenant: str, revision: int | None = None) -> Entry:
        """The tenant's, else the platform's; the newest unless a revision is named. Raises NotFoundError."""
        return self._library.find(name, tenant=tenant, revision=revision)

    def list(self, tenant: str) -> list[Entry]:
        """All, by name."""
        found = dict(self._files()) | {entry.spec.name: entry for entry in self._library.published(tenant)}
        return [found[name] for name in sorted(found)]

    def check(self, spec: WorkflowSpec, *, tenant: str) -> CheckedWorkflow:
        """Raises WorkflowInvalidError with all that is wrong."""
        more = tuple(problems_of_use(spec, sends_mail=self._sends_mail))
        if self._tools is not None:
            more += tuple(problems_of_tools(spec, self._tools, tenant=tenant))
        try:
            checked = check(spec, self.types, lookup=self._library.lookup(tenant), environment=self._environment)
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

    def _files(self) -> Iterator[tuple[str, Entry]]:
        for name, read in self._library.bundled():
            try:
                yield name, read()
            except (WorkflowInvalidError, NotFoundError) as error:
                log.warning("workflows.file_skipped", file=name, reason=str(error))
