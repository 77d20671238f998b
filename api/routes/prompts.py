"""The library of prompts: versions that never change, labels that move."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any, Self

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from api import problems
from api.dependencies import ServicesDep, TenantDep
from api.paging import PageDep
from api.preconditions import IfMatch, tag_of, tagged, unless_changed
from resources.errors import NotFoundError
from resources.prompts.model import PROMPT_ID, PromptSpec, PromptVersion, Rendered

router = APIRouter(prefix="/prompts", tags=["prompts"])

PromptId = Annotated[str, Path(pattern=f"^{PROMPT_ID.pattern}$", max_length=100, description="Id of the prompt")]
Label = Annotated[str, Path(pattern=r"^[a-z][a-z0-9-]{0,62}$", description="Name of the label, such as production")]
Which = Annotated[
    str | None,
    Query(
        pattern=r"^[a-z0-9-]{1,63}$", description="A version, a label, or latest; unset = production, else the newest"
    ),
]


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid")


class PublishIn(_In):
    """A prompt to be stored."""

    prompt: PromptSpec
    comment: str | None = Field(default=None, max_length=1000)
    labels: list[str] = Field(default_factory=list, max_length=20, description="Moved to the version")


class LabelIn(_In):
    """Where a label is to stand."""

    version: int = Field(ge=1, lt=2**31)


class LabelOut(BaseModel):
    """Where a label stands."""

    version: int

    @classmethod
    def of(cls, version: int) -> Self:
        return cls(version=version)


class RenderIn(_In):
    """What to put in."""

    variables: dict[str, Any] = Field(default_factory=dict)


class PreviewIn(RenderIn):
    """A prompt that is not published, and what to put in."""

    prompt: PromptSpec


class PromptOut(BaseModel):
    """A version of a prompt, with the labels that stand on it."""

    reference: str
    labels: list[str]
    prompt: PromptVersion


class GoldenOut(BaseModel):
    """One golden render. `difference` is None when it came out as it should."""

    number: int
    difference: str | None


class PromptDiffOut(BaseModel):
    """A unified diff; empty when both are the same."""

    diff: str


@router.get("", summary="List prompts", responses=problems.responses(400, 422, 503))
def list_prompts(
    services: ServicesDep,
    tenant: TenantDep,
    page: PageDep,
    context: Annotated[str | None, Query(max_length=200, description="Only prompts made for this")] = None,
    tag: Annotated[str | None, Query(max_length=100, description="Only prompts with this tag")] = None,
) -> list[PromptOut]:
    """The newest version of each prompt: the tenant's own, and those that come with the platform."""
    found = page.of(services.prompts.list(tenant=tenant, context=context, tag=tag), lambda prompt: (prompt.spec.id,))
    return [_out(prompt, services.prompts.labels(prompt.spec.id, tenant=tenant)) for prompt in found]


@router.post(
    "",
    status_code=HTTPStatus.CREATED,
    summary="Publish a prompt",
    responses={
        200: {"model": PromptOut, "description": "Nothing changed"},
        **problems.responses(400, 404, 413, 422, 503),
    },
)
def publish_prompt(body: PublishIn, services: ServicesDep, tenant: TenantDep, response: Response) -> PromptOut:
    """Store a new version; the newest one when nothing changed. What it includes is fixed now. All problems come at once."""
    prompts, wanted = services.prompts, body.prompt
    before = {found.spec.id: found.version for found in prompts.list(tenant=tenant)}.get(wanted.id)
    published = prompts.publish(wanted, tenant=tenant, comment=body.comment, labels=body.labels)
    if published.version == before:
        response.status_code = HTTPStatus.OK
    return _out(published, prompts.labels(wanted.id, tenant=tenant))


@router.post("/preview", summary="Render an unpublished prompt", responses=problems.responses(400, 404, 413, 422, 503))
def preview_prompt(body: PreviewIn, services: ServicesDep, tenant: TenantDep) -> Rendered:
    """What publishing and rendering would give. Nothing is stored."""
    return services.prompts.preview(body.prompt, body.variables, tenant=tenant)


@router.get("/{id}", summary="Show a prompt", responses=problems.responses(404, 422, 503))
def show_prompt(id: PromptId, services: ServicesDep, tenant: TenantDep, which: Which = None) -> PromptOut:
    """One version of a prompt."""
    found = services.prompts.get(_reference(id, which), tenant=tenant)
    return _out(found, services.prompts.labels(id, tenant=tenant))


@router.get("/{id}/versions", summary="List a prompt's versions", responses=problems.responses(400, 404, 422, 503))
def list_prompt_versions(id: PromptId, services: ServicesDep, tenant: TenantDep, page: PageDep) -> list[PromptOut]:
    """All versions, the oldest first."""
    labels = services.prompts.labels(id, tenant=tenant)
    found = page.of(services.prompts.versions(id, tenant=tenant), lambda prompt: (prompt.version,))
    return [_out(prompt, labels) for prompt in found]


@router.get("/{id}/labels/{label}", summary="Show a label", responses=problems.responses(404, 422, 503))
def show_label(id: PromptId, label: Label, services: ServicesDep, tenant: TenantDep, response: Response) -> LabelOut:
    """Where it stands."""
    version = services.prompts.labels(id, tenant=tenant).get(label)
    if version is None:
        raise NotFoundError(f"The prompt {id!r} has no label {label!r}.", code="label_not_found")
    return tagged(LabelOut(version=version), response)


@router.put("/{id}/labels/{label}", summary="Move a label", responses=problems.responses(400, 404, 412, 422, 503))
def move_label(
    id: PromptId,
    label: Label,
    body: LabelIn,
    services: ServicesDep,
    tenant: TenantDep,
    response: Response,
    if_match: IfMatch = None,
) -> PromptOut:
    """The label names this version from now on. `ETag` and `If-Match` are of the label, not of the prompt."""
    unless = unless_changed(if_match, LabelOut.of)
    found = services.prompts.label(f"{id}@{body.version}", label, tenant=tenant, unless=unless)
    response.headers["ETag"] = tag_of(LabelOut(version=found.version))
    return _out(found, services.prompts.labels(id, tenant=tenant))


@router.post("/{id}/render", summary="Render a prompt", responses=problems.responses(400, 404, 413, 422, 503))
def render_prompt(
    id: PromptId, body: RenderIn, services: ServicesDep, tenant: TenantDep, which: Which = None
) -> Rendered:
    """The texts that a model would be given."""
    return services.prompts.render(_reference(id, which), body.variables, tenant=tenant)


@router.post("/{id}/test", summary="Test a prompt", responses=problems.responses(404, 422, 503))
def compare_examples(id: PromptId, services: ServicesDep, tenant: TenantDep, which: Which = None) -> list[GoldenOut]:
    """Render the prompt's examples and compare them with what they should be."""
    results = services.prompts.test(_reference(id, which), tenant=tenant)
    return [GoldenOut(number=result.number, difference=result.difference) for result in results]


@router.get("/{id}/diff", summary="Compare versions of a prompt", responses=problems.responses(404, 422, 503))
def diff_prompt(
    id: PromptId,
    services: ServicesDep,
    tenant: TenantDep,
    one: Annotated[str, Query(pattern=r"^[a-z0-9-]{1,63}$", description="A version or a label")],
    other: Annotated[str, Query(pattern=r"^[a-z0-9-]{1,63}$")] = "latest",
) -> PromptDiffOut:
    """What changed from one version to the other."""
    return PromptDiffOut(diff=services.prompts.diff(_reference(id, one), _reference(id, other), tenant=tenant))


def _reference(id: str, which: str | None) -> str:
    return id if which is None else f"{id}@{which}"


def _out(prompt: PromptVersion, labels: dict[str, int] | Any) -> PromptOut:
    own = [label for label, version in labels.items() if version == prompt.version]
    return PromptOut(reference=prompt.reference, labels=own, prompt=prompt)
