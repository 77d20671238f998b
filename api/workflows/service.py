"""What the faces of workflows do beyond one call of one service."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from resources.errors import InvalidInputError, NotFoundError, Problem
from resources.workflows.triggers import apply_rules

if TYPE_CHECKING:
    from collections.abc import Callable

    from api.dependencies import Services
    from api.workflows.schemas import RunIn
    from definitions.runtime.launch import Launched
    from resources.tenants.model import Principal
    from resources.workflows.definitions import Published
    from resources.workflows.executions import Execution
    from resources.workflows.spec import WorkflowSpec

_USER_TAG = "aiw/user"
_OURS = ("aiw/", "dagster/", ".dagster/")
_ENDS = {"success": "completed", "failure": "failed", "canceled": "cancelled"}


def publish(
    services: Services, spec: WorkflowSpec, *, principal: Principal, note: str | None
) -> tuple[Published, bool]:
    """The newest revision, its triggers in force, and whether it is new. Raises WorkflowInvalidError."""
    before = _revision(services, spec.name, principal.tenant)
    published = services.workflows.publish(spec, tenant=principal.tenant, user=principal.username, note=note)
    apply_rules(published, services.rules)
    services.pushes.refresh()
    return published, published.revision != before


def archive(
    services: Services, name: str, *, principal: Principal, unless: Callable[[Published], None] | None = None
) -> Published:
    """The workflow, offered no longer; its triggers no longer start it. Unless `unless` raises. Raises NotFoundError."""
    published = services.workflows.definitions.archive(
        name, tenant=principal.tenant, user=principal.username, unless=unless
    )
    apply_rules(published, services.rules)
    services.pushes.refresh()
    return published


def launch(
    services: Services,
    name: str,
    wanted: RunIn,
    *,
    principal: Principal,
    key: str | None,
    correlation_id: str | None,
    wait: float | None,
) -> tuple[Launched, Execution | None]:
    """The run, and where it stood when it had ended or `wait` seconds were over."""
    reserved = tuple(
        Problem(f"tags.{tag}", "belongs to the platform", "choose another name", code="name_reserved")
        for tag in wanted.tags
        if tag.startswith(_OURS)
    )
    if reserved:
        raise InvalidInputError(f"The tags are not valid: {reserved[0]}.", code="validation_failed", problems=reserved)
    launched = services.launches.launch(
        name,
        tenant=principal.tenant,
        inputs=wanted.inputs,
        revision=wanted.revision,
        key=None if key is None else f"api:{name}:{key}",
        tags={**wanted.tags, _USER_TAG: principal.username},
        correlation_id=correlation_id,
        trigger="api",
    )
    if not wait:
        return launched, None
    services.launches.wait(launched.run_id, wait)
    return launched, execution(services, launched.run_id, principal.tenant)


def execution(services: Services, run_id: str, tenant: str) -> Execution:
    """The run as it is now. What its events do not tell yet, Dagster's record does. Raises NotFoundError."""
    found = services.executions.get(run_id, tenant)
    if found.status not in {"created", "running"}:
        return found
    try:
        run = services.runs.get(run_id, tenant=tenant)
    except NotFoundError:
        return found
    ended = _ENDS.get(run.status)
    if ended is None:
        return found
    # It may have ended in the moment between the two looks, with everything told by now.
    found = services.executions.get(run_id, tenant)
    if found.status not in {"created", "running"}:
        return found
    return replace(found, status=ended, ended_at=run.ended_at, error=run.error)  # type: ignore[arg-type]  # one of the ends


def outputs(services: Services, run_id: str, tenant: str, node: str | None, item: str = "") -> Any:
    """What a node of the run gave, or the whole run. Raises NotFoundError."""
    found = execution(services, run_id, tenant)
    if node is None:
        whole = not (isinstance(found.outputs, dict) and found.outputs.keys() == {"truncated", "bytes"})
        if whole and (found.outputs is not None or found.status != "completed" or not _gives(services, found, tenant)):
            return found.outputs
    try:
        return services.launches.output_of(run_id, node or "outputs", tenant=tenant, item=item)
    except NotFoundError:
        if found.parent_run_id is None:
            raise
        # The run has taken it over from the one that it goes on with.
        return outputs(services, found.parent_run_id, tenant, node or "outputs", item)


def _gives(services: Services, found: Execution, tenant: str) -> bool:
    """Whether the workflow of the run has outputs at all."""
    try:
        return bool(services.workflows.find(found.workflow, tenant=tenant, revision=found.revision).spec.outputs)
    except NotFoundError:
        return False


def _revision(services: Services, name: str, tenant: str) -> int | None:
    try:
        return services.workflows.definitions.get(name, tenant=tenant).revision
    except NotFoundError:
        return None
