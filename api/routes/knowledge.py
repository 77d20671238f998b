"""Asking what was learned."""

from __future__ import annotations

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query, Response
from pydantic import AliasChoices, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from api import problems
from api.auth.principal import PrincipalDep
from api.dependencies import ServicesDep, TenantDep
from api.paging import PageDep
from api.preconditions import IfMatch, as_it_is, tagged, unless_changed
from resources.errors import NotFoundError
from resources.knowledge.answers import Neighbour, Recommendation
from resources.knowledge.model import ConceptView, Difficulty, LearningPath, PathStyle, PathWishes, concept_id
from resources.knowledge.progress.model import ConceptProgress, ProgressChange, shares

router = APIRouter(tags=["knowledge"])

Name = Annotated[str, Path(min_length=1, max_length=200, description="A concept, by name or id")]
_OneName = Annotated[str, Field(min_length=1, max_length=200)]
_OPTIONAL = 5
_MANAGE = "manage:users"


class PathConstraints(BaseModel):
    """What a path should be like, in the names that other programs use for it."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, validate_by_name=True)

    max_length: int | None = Field(default=None, ge=1, le=10_000, description="As `max_steps`")
    max_difficulty: Difficulty | None = Field(default=None, description="As in `wishes`")
    include_optional: bool = Field(default=False, description=f"As {_OPTIONAL} in `optional`")
    preferred_categories: list[_OneName] = Field(default=[], max_length=50, description="As `prefer`")
    avoid_categories: list[_OneName] = Field(default=[], max_length=50, description="As `avoid`")


class PathIn(BaseModel):
    """`POST /learning-path`. Concepts are named by name or id."""

    model_config = ConfigDict(extra="forbid")

    target: _OneName = Field(
        validation_alias=AliasChoices("target", "target_concept", "to"), description="The concept to learn"
    )
    source: _OneName | None = Field(
        default=None,
        validation_alias=AliasChoices("source", "start_concept", "from"),
        description="A concept that is known, with all that it requires",
    )
    known: list[_OneName] = Field(default=[], max_length=1000, description="Concepts that are known")
    wishes: PathWishes = Field(default=PathWishes(), description="What the path should be like")
    use_progress: bool = Field(
        default=True, description="Leave out what you have completed, and count what you have begun"
    )
    constraints: PathConstraints | None = Field(
        default=None, description="Wishes in other names; they go before `wishes`"
    )
    learning_style: PathStyle | None = Field(default=None, description="As `style` in `wishes`")
    difficulty_preference: Difficulty | None = Field(default=None, description="As `max_difficulty` in `wishes`")

    def wished(self) -> PathWishes:
        """The wishes, by whichever names they came."""
        named = self.constraints or PathConstraints()
        told = {
            "max_steps": named.max_length,
            "max_difficulty": named.max_difficulty or self.difficulty_preference,
            "optional": _OPTIONAL if named.include_optional else None,
            "prefer": tuple(named.preferred_categories),
            "avoid": tuple(named.avoid_categories),
            "style": self.learning_style,
        }
        return self.wishes.model_copy(update={name: value for name, value in told.items() if value})


@router.get("/learning-path", summary="Find a learning path", responses=problems.responses(404, 422, 503))
def learning_path(
    services: ServicesDep,
    tenant: TenantDep,
    to: Annotated[str, Query(min_length=1, max_length=200, description="The concept to learn, by name or id")],
    known: Annotated[
        str | None, Query(alias="from", min_length=1, max_length=200, description="A concept that is already known")
    ] = None,
) -> LearningPath:
    """Steps to `to`, every prerequisite before what needs it; without what knowing `from` makes unnecessary."""
    return services.learning_paths.plan(to, source=known, tenant=tenant)


@router.post("/learning-path", summary="Plan a learning path", responses=problems.responses(404, 422, 503))
def plan_path(body: PathIn, services: ServicesDep, tenant: TenantDep, principal: PrincipalDep) -> LearningPath:
    """As `GET /learning-path`, as it is wished, and from where the user stands: asked again after progress, it is the rest."""
    done = shares(services.progress.of(principal.subject, tenant=tenant)) if body.use_progress else {}
    return services.learning_paths.plan(
        body.target, source=body.source, known=body.known, done=done, wishes=body.wished(), tenant=tenant
    )


@router.get("/progress", summary="Show what you have learned", responses=problems.responses(400, 422, 503))
def progress(services: ServicesDep, tenant: TenantDep, principal: PrincipalDep, page: PageDep) -> list[ConceptProgress]:
    """What the user who asks has said about concepts, the latest change first."""
    found = services.progress.of(principal.subject, tenant=tenant)
    return list(page.of(found, lambda one: (one.updated_at, one.concept), newest=True))


class ProgressIn(ProgressChange):
    """`PUT /progress`: what you say of a concept."""

    concept: _OneName = Field(validation_alias=AliasChoices("concept", "concept_id"), description="By name or id")


@router.get(
    "/progress/{concept}",
    summary="Show what you have learned of a concept",
    responses=problems.responses(404, 422, 503),
)
def progress_of(
    concept: Name, services: ServicesDep, tenant: TenantDep, principal: PrincipalDep, response: Response
) -> ConceptProgress:
    """What the user who asks has said about it."""
    of = services.progress.of(principal.subject, tenant=tenant)
    found = next((one for one in of if one.concept == concept_id(concept)), None)
    if found is None:
        raise _unsaid(concept)
    return tagged(found, response)


@router.put(
    "/progress/{concept}", summary="Say what you have learned", responses=problems.responses(404, 412, 422, 503)
)
def set_progress(
    concept: Name,
    body: ProgressChange,
    services: ServicesDep,
    tenant: TenantDep,
    principal: PrincipalDep,
    response: Response,
    if_match: IfMatch = None,
) -> ConceptProgress:
    """Time and documents add up; what is not said stays."""
    known = services.graph.concept(concept_id(concept), tenant=tenant).concept.id
    now, unless = datetime.now(UTC), unless_changed(if_match, as_it_is)
    kept = services.progress.change(known, body, user=principal.subject, tenant=tenant, now=now, unless=unless)
    return tagged(kept, response)


@router.put(
    "/progress", summary="Say what you have learned of a concept", responses=problems.responses(404, 412, 422, 503)
)
def set_progress_of(
    body: ProgressIn,
    services: ServicesDep,
    tenant: TenantDep,
    principal: PrincipalDep,
    response: Response,
    if_match: IfMatch = None,
) -> ConceptProgress:
    """As `PUT /progress/{concept}`."""
    said = ProgressChange.model_validate(body.model_dump(exclude={"concept"}))
    return set_progress(body.concept, said, services, tenant, principal, response, if_match)


@router.delete(
    "/progress/{concept}",
    status_code=HTTPStatus.NO_CONTENT,
    summary="Forget what you have learned",
    responses=problems.responses(404, 412, 422, 503),
)
def forget_progress(
    concept: Name, services: ServicesDep, tenant: TenantDep, principal: PrincipalDep, if_match: IfMatch = None
) -> None:
    """Nothing is known of the user and this concept any more."""
    unless = unless_changed(if_match, as_it_is)
    if not services.progress.forget(concept_id(concept), user=principal.subject, tenant=tenant, unless=unless):
        raise _unsaid(concept)


@router.get(
    "/recommendations/{user}", summary="Recommend what to learn next", responses=problems.responses(404, 422, 503)
)
def recommendations(
    user: Annotated[str, Path(min_length=1, max_length=200, description="`me`, your id, or another user's id or name")],
    services: ServicesDep,
    principal: PrincipalDep,
    limit: Annotated[int, Query(ge=1, le=100)] = 10,
) -> list[Recommendation]:
    """Concepts whose prerequisites the user knows, nearest to what the user has begun and completed, each with the reason.

    Another's are shown to whoever manages the users of the tenant.
    """
    subject = principal.subject
    if user not in {"me", subject, principal.username}:
        if not principal.allows(_MANAGE):
            raise NotFoundError(f"There is no user {user!r} that you may ask about.", code="user_not_found")
        subject = _user(user, services, principal.tenant)
    said = shares(services.progress.of(subject, tenant=principal.tenant))
    return services.recommendations.of(said, tenant=principal.tenant, limit=limit)


@router.get("/related/{concept}", summary="Show what is related", responses=problems.responses(404, 422, 503))
def related(
    concept: Name,
    services: ServicesDep,
    tenant: TenantDep,
    depth: Annotated[int, Query(ge=1, le=10)] = 1,
    limit: Annotated[int, Query(ge=1, le=1000)] = 20,
) -> list[Neighbour]:
    """Concepts along edges of any type, the nearest first, then the strongest."""
    return services.graph_questions.neighbours(concept, tenant=tenant, depth=depth, limit=limit)


@router.get("/concept/{concept}", summary="Show a concept", responses=problems.responses(404, 422, 503))
@router.get("/concepts/{concept}", summary="Show a concept", responses=problems.responses(404, 422, 503))
def show_concept(concept: Name, services: ServicesDep, tenant: TenantDep) -> ConceptView:
    """A concept with its neighbours, and the documents that mention it."""
    return services.graph.concept(concept_id(concept), tenant=tenant)


def _user(named: str, services: ServicesDep, tenant: str) -> str:
    """The id of a user of the tenant. Raises NotFoundError."""
    people = services.identity.administration
    try:
        return str(people.user(UUID(named), tenant=tenant).id)
    except ValueError:
        return str(people.find_user(named, tenant=tenant).id)


def _unsaid(concept: str) -> NotFoundError:
    return NotFoundError(f"You have said nothing about {concept!r}.", code="progress_not_found")
