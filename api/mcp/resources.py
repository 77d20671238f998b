"""What can be read: documents with their text, concepts, workflows, runs with their logs. Addresses begin with `aiw://`.

Lists hold what is there to choose from; whatever has an id can be read by its address, and watched for changes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote

import orjson
from mcp.types import ReadResourceResult, Resource, ResourceTemplate, TextResourceContents
from pydantic import BaseModel
from starlette.responses import Response

from api.auth import access
from api.routes import documents, knowledge, prompts, runs, workflows
from resources.content.model import DocumentStatus
from resources.errors import InvalidInputError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from api.mcp.call import Call

SCHEME: Final = "aiw://"
JSON: Final = "application/json"
_PAGE = 50
_RUNS: Final = 20
"""Runs that are listed; older ones are read by their id."""

_CURSOR = re.compile(r"documents:(.{0,200})")


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of address: `aiw://<path>` with a parameter in it."""

    path: str
    title: str
    description: str
    scope: str
    read: Callable[[Call, str], Any]
    complete: Callable[[Call, str], Sequence[str]]
    media_type: str = JSON

    @property
    def template(self) -> str:
        return SCHEME + self.path

    @property
    def parameter(self) -> str:
        return self.path.partition("{")[2].partition("}")[0]

    def identity(self, uri: str) -> str | None:
        """The parameter in an address of this kind; None for one of another."""
        before, _, rest = self.template.partition("{")
        after = rest.partition("}")[2]
        if not (uri.startswith(before) and uri.endswith(after)):
            return None
        value = unquote(uri.removeprefix(before).removesuffix(after))
        return value if value and "/" not in value and "\x00" not in value else None


def _document_ids(call: Call, value: str) -> Sequence[str]:
    """Ids begin with the name of the file, so that what was typed is a place in their order."""
    found = call.services.documents.list(tenant=call.tenant, after=value[:-1] or None, limit=200)
    return [one.id for one in found if one.id.startswith(value)]


def _concepts(call: Call, value: str) -> Sequence[str]:
    return [one.id for one in call.services.graph.find(value, tenant=call.tenant, limit=100)]


def _workflow_names(call: Call, value: str) -> Sequence[str]:
    return [one.spec.name for one in call.services.workflows.list(call.tenant) if one.spec.name.startswith(value)]


def _run_ids(call: Call, value: str) -> Sequence[str]:
    page = call.services.executions.list(call.tenant, limit=100)
    return [one.run_id for one in page.executions if one.run_id.startswith(value)]


def _prompt_ids(call: Call, value: str) -> Sequence[str]:
    return [one.spec.id for one in call.services.prompts.list(tenant=call.tenant) if one.spec.id.startswith(value)]


def _text(call: Call, identity: str) -> str:
    call.services.documents.get(identity, tenant=call.tenant)
    _, parsed = call.services.documents.get_parsed(identity, tenant=call.tenant)
    return parsed.text


def _log(call: Call, run_id: str) -> str:
    page = runs.run_logs(run_id, call.services, call.tenant, 1000, None)
    return "\n".join(f"{one.at.isoformat()} {one.level} {one.step or '-'} {one.message}" for one in page.lines)


TEXT = Kind(
    "documents/{id}/text",
    "Text of a document",
    "What the parsers read in it",
    "read:documents",
    _text,
    _document_ids,
    "text/plain",
)
DOCUMENT = Kind(
    "documents/{id}",
    "Document",
    "Where a document comes from and where it stands",
    "read:documents",
    lambda call, identity: documents.show_document(identity, call.services, call.tenant),
    _document_ids,
)
CONCEPT = Kind(
    "concepts/{id}",
    "Concept",
    "A concept with its neighbours and the documents that mention it",
    "read:knowledge",
    lambda call, identity: knowledge.show_concept(identity, call.services, call.tenant),
    _concepts,
)
WORKFLOW = Kind(
    "workflows/{name}",
    "Workflow",
    "A workflow with its whole spec",
    "read:workflows",
    lambda call, name: workflows.show_workflow(name, call.services, call.tenant, Response()),
    _workflow_names,
)
LOG = Kind(
    "runs/{run_id}/log",
    "Log of a run",
    "What Dagster and the nodes wrote",
    "read:runs",
    _log,
    _run_ids,
    "text/plain",
)
RUN = Kind(
    "runs/{run_id}",
    "Run",
    "Where a run stands, node by node, and what it gave",
    "read:runs",
    lambda call, run_id: runs.show_run(run_id, call.services, call.tenant),
    _run_ids,
)
PROMPT = Kind(
    "prompts/{id}",
    "Prompt",
    "The newest version of a prompt, with its labels",
    "read:prompts",
    lambda call, identity: prompts.show_prompt(identity, call.services, call.tenant),
    _prompt_ids,
)

ALL: Final = (TEXT, DOCUMENT, CONCEPT, WORKFLOW, LOG, RUN, PROMPT)
KNOWLEDGE: Final = (TEXT, DOCUMENT, CONCEPT)


class Resources:
    """The shelf of a server: some kinds of addresses, of the caller's tenant."""

    def __init__(self, kinds: Sequence[Kind]) -> None:
        self._kinds = kinds

    def list(self, call: Call, cursor: str | None) -> tuple[Sequence[Resource], str | None]:
        """First what is few, then the documents, page by page."""
        if cursor is None:
            return self._first(call), "documents:" if self._offers(DOCUMENT, call) else None
        match = _CURSOR.fullmatch(cursor)
        if match is None or not self._offers(DOCUMENT, call):
            raise InvalidInputError("The cursor is not one of this list's.", code="cursor_invalid")
        page = documents.list_documents(call.services, call.tenant, match[1] or None, _PAGE, None)
        found = []
        for one in page.documents:
            ready = one.status is DocumentStatus.READY
            uri = (TEXT if ready else DOCUMENT).template.replace("{id}", quote(one.id, safe=""))
            found.append(
                Resource(
                    uri=uri,
                    name=one.id,
                    title=one.title or one.source.name,
                    description=f"{one.source.uri} ({one.status})",
                    mime_type=TEXT.media_type if ready else JSON,
                )
            )
        return found, None if page.next_after is None else f"documents:{page.next_after}"

    def templates(self, call: Call) -> Sequence[ResourceTemplate]:
        return [
            ResourceTemplate(
                uri_template=kind.template,
                name=kind.path.partition("/")[0] + ("_text" if kind is TEXT else "_log" if kind is LOG else ""),
                title=kind.title,
                description=kind.description,
                mime_type=kind.media_type,
            )
            for kind in self._kinds
            if call.principal.allows(kind.scope)
        ]

    def read(self, call: Call, uri: str) -> ReadResourceResult:
        for kind in self._kinds:
            if (identity := kind.identity(uri)) is not None:
                if not call.principal.allows(kind.scope):
                    raise access.refused(kind.scope)
                text = _told(kind.read(call, identity))
                contents = TextResourceContents(uri=uri, mime_type=kind.media_type, text=text)
                return ReadResourceResult(contents=[contents])
        raise NotFoundError(f"There is no resource {uri[:200]!r}.", code="resource_not_found")

    def complete(self, call: Call, template: str, argument: str, value: str) -> Sequence[str]:
        for kind in self._kinds:
            if kind.template == template and kind.parameter == argument and call.principal.allows(kind.scope):
                return kind.complete(call, value)
        return ()

    def _offers(self, kind: Kind, call: Call) -> bool:
        return kind in self._kinds and call.principal.allows(kind.scope)

    def _first(self, call: Call) -> Sequence[Resource]:
        found = []
        if self._offers(WORKFLOW, call):
            for entry in call.services.workflows.list(call.tenant):
                name, told = entry.spec.name, entry.spec.description
                found.append(Resource(uri=f"aiw://workflows/{name}", name=name, description=told, mime_type=JSON))
        if self._offers(PROMPT, call):
            for prompt in call.services.prompts.list(tenant=call.tenant):
                identity, told = prompt.spec.id, prompt.spec.description
                found.append(Resource(uri=f"aiw://prompts/{identity}", name=identity, description=told, mime_type=JSON))
        if self._offers(RUN, call):
            for run in call.services.executions.list(call.tenant, limit=_RUNS).executions:
                told = f"{run.workflow}: {run.status}"
                found.append(
                    Resource(uri=f"aiw://runs/{run.run_id}", name=run.run_id, description=told, mime_type=JSON)
                )
        return found


def _told(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, BaseModel):
        return value.model_dump_json(by_alias=True)
    return orjson.dumps(value).decode()
