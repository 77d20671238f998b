"""API keys, signing keys, and the tenant's own keys of AI providers."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Path, Query, Response

from api import problems
from api.auth.principal import PrincipalDep
from api.auth.schemas import KeyIn, KeyOut, NewKeyOut, ProviderKeyIn, ProviderKeyOut, RotatedOut
from api.dependencies import ServicesDep
from api.paging import PageDep
from api.preconditions import IfMatch, tagged, unless_changed
from resources.errors import NotPermittedError
from resources.tenants.store import unknown_key

if TYPE_CHECKING:
    from api.dependencies import Services
    from resources.tenants.model import ApiKey, Principal

router = APIRouter(tags=["keys"])

KeyId = Annotated[str, Path(pattern=r"^[0-9a-f]{12}$", description="Id of the key, which stands in it")]
Provider = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$", description="Name of the provider")]
_EVERYBODYS = "manage:keys"


@router.get("/keys", summary="List API keys", responses=problems.responses(400, 401, 403, 422, 503))
def list_keys(principal: PrincipalDep, services: ServicesDep, page: PageDep) -> list[KeyOut]:
    """The own keys; for admins, all of the tenant."""
    own = None if principal.allows(_EVERYBODYS) else principal.user_id
    if own is None and not principal.allows(_EVERYBODYS):
        return []
    found = services.identity.administration.keys(tenant=principal.tenant, user_id=own)
    return [KeyOut.of(key) for key in page.of(found, lambda key: (key.created_at, key.id), newest=True)]


@router.post(
    "/keys",
    status_code=HTTPStatus.CREATED,
    summary="Create an API key",
    responses=problems.responses(400, 401, 403, 404, 409, 413, 422, 503),
)
def create_key(body: KeyIn, principal: PrincipalDep, services: ServicesDep) -> NewKeyOut:
    """A key that can do what its scopes say and its owner may. It is shown this once."""
    if principal.key_id is not None:
        raise NotPermittedError("A key cannot make keys. Log in.", code="key_by_key")
    if body.user_id not in {None, principal.user_id} and not principal.allows(_EVERYBODYS):
        raise NotPermittedError("Keys of others are for admins.", code="scope_missing")
    key, shown = services.identity.administration.create_key(
        body.name, actor=principal, user_id=body.user_id, scopes=body.scopes, expires_at=body.expires_at
    )
    return NewKeyOut(**KeyOut.of(key).model_dump(), key=shown)


@router.get("/keys/{key_id}", summary="Show an API key", responses=problems.responses(401, 403, 404, 422, 503))
def show_key(key_id: KeyId, principal: PrincipalDep, services: ServicesDep, response: Response) -> KeyOut:
    """An own key; for admins, any of the tenant."""
    return tagged(KeyOut.of(_visible_key(key_id, principal, services)), response)


@router.delete(
    "/keys/{key_id}", summary="Revoke an API key", responses=problems.responses(401, 403, 404, 412, 422, 503)
)
def revoke_key(key_id: KeyId, principal: PrincipalDep, services: ServicesDep, if_match: IfMatch = None) -> KeyOut:
    """It is good for nothing from now on. Revoking twice is revoking."""
    _visible_key(key_id, principal, services)
    unless = unless_changed(if_match, KeyOut.of)
    administration = services.identity.administration
    return KeyOut.of(administration.revoke_key(key_id, tenant=principal.tenant, unless=unless, actor=principal))


@router.post(
    "/keys/signing/rotate", summary="Rotate the signing key", responses=problems.responses(401, 403, 409, 422, 503)
)
def rotate_signing_key(
    principal: PrincipalDep,
    services: ServicesDep,
    drop_former: Annotated[
        bool, Query(description="For keys that somebody else may have: all tokens end now, refresh tokens stay good")
    ] = False,
) -> RotatedOut:
    """Sign with a new key. Tokens of the former stay good until they expire."""
    return RotatedOut(kid=services.identity.administration.rotate_signing_key(actor=principal, drop_former=drop_former))


@router.get(
    "/provider-keys", summary="List keys of AI providers", responses=problems.responses(400, 401, 403, 422, 503)
)
def list_provider_keys(principal: PrincipalDep, services: ServicesDep, page: PageDep) -> list[ProviderKeyOut]:
    """For which providers the tenant has keys of its own, and how they end."""
    found = services.identity.administration.provider_keys(tenant=principal.tenant)
    return [ProviderKeyOut.of(key) for key in page.of(found, lambda key: (key.provider,))]


@router.get(
    "/provider-keys/{provider}",
    summary="Show a key of an AI provider",
    responses=problems.responses(401, 403, 404, 422, 503),
)
def show_provider_key(
    provider: Provider, principal: PrincipalDep, services: ServicesDep, response: Response
) -> ProviderKeyOut:
    """How the tenant's own key ends, and where it is good."""
    found = services.identity.administration.sealed_provider_key(provider, tenant=principal.tenant)
    return tagged(ProviderKeyOut.of(found), response)


@router.put(
    "/provider-keys/{provider}",
    summary="Store a key of an AI provider",
    responses=problems.responses(400, 401, 403, 404, 409, 412, 413, 422, 503),
)
def store_provider_key(
    provider: Provider,
    body: ProviderKeyIn,
    principal: PrincipalDep,
    services: ServicesDep,
    response: Response,
    if_match: IfMatch = None,
) -> ProviderKeyOut:
    """Encrypted at rest, and never shown again."""
    stored = services.identity.administration.store_provider_key(
        provider,
        body.key.get_secret_value(),
        tenant=principal.tenant,
        actor=principal,
        base_url=body.base_url,
        unless=unless_changed(if_match, ProviderKeyOut.of),
    )
    return tagged(ProviderKeyOut.of(stored), response)


@router.delete(
    "/provider-keys/{provider}",
    status_code=HTTPStatus.NO_CONTENT,
    summary="Remove a key of an AI provider",
    responses=problems.responses(401, 403, 404, 412, 422, 503),
)
def remove_provider_key(
    provider: Provider, principal: PrincipalDep, services: ServicesDep, if_match: IfMatch = None
) -> None:
    """The platform's own key is used from now on, if it has one."""
    services.identity.administration.remove_provider_key(
        provider, tenant=principal.tenant, unless=unless_changed(if_match, ProviderKeyOut.of), actor=principal
    )


def _visible_key(key_id: str, principal: Principal, services: Services) -> ApiKey:
    key = services.identity.administration.key(key_id, tenant=principal.tenant)
    if key.user_id != principal.user_id and not principal.allows(_EVERYBODYS):
        raise unknown_key(key_id)
    return key
