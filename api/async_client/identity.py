"""Who may do what: tenants, users, keys, sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from api.async_client.base import HttpClient
from api.auth.schemas import (
    KeyOut,
    LoginOut,
    LogoutOut,
    NewKeyOut,
    PrincipalOut,
    ProviderKeyOut,
    QuotaOut,
    RotatedOut,
    TenantOut,
    TokenOut,
    UserOut,
    VerifyOut,
)
from api.client.answers import V1, Seen, given, list_of, model_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from uuid import UUID


class IdentityClient(HttpClient):
    """Who may do what: tenants, users, keys, sessions."""

    async def login(self, username: str, password: str, *, tenant: str | None = None) -> LoginOut:
        """Raises UnauthenticatedError, LimitExceededError. The client itself stays as it is: make one with the `token`."""
        body = {"username": username, "password": password} | ({} if tenant is None else {"tenant": tenant})
        return model_of(LoginOut, (await self._send("POST", f"{V1}/auth/login", json=body, auth=None)))

    async def refresh(self, refresh_token: str) -> LoginOut:
        """New tokens; the one that is sent is used up."""
        body = {"refresh_token": refresh_token}
        return model_of(LoginOut, (await self._send("POST", f"{V1}/auth/refresh", json=body, auth=None)))

    async def logout(self, *, refresh_token: str | None = None, everywhere: bool = False) -> LogoutOut:
        body = {"refresh_token": refresh_token, "everywhere": everywhere}
        return model_of(LogoutOut, (await self._send("POST", f"{V1}/auth/logout", json=body)))

    async def whoami(self) -> PrincipalOut:
        return await self._get(f"{V1}/auth/whoami", PrincipalOut)

    async def tenants(self) -> list[TenantOut]:
        return list_of(TenantOut, (await self._send("GET", f"{V1}/tenants")))

    async def tenant(self, tenant: str) -> TenantOut:
        return await self._get(f"{V1}/tenants/{quote(tenant, safe='')}", TenantOut)

    async def create_tenant(self, **fields: Any) -> TenantOut:
        return model_of(TenantOut, (await self._send("POST", f"{V1}/tenants", json=given(fields))))

    async def change_tenant(self, tenant: str, *, if_match: Seen | None = None, **changes: Any) -> TenantOut:
        path = f"{V1}/tenants/{quote(tenant, safe='')}"
        return model_of(TenantOut, (await self._send("PATCH", path, json=given(changes), if_match=if_match)))

    async def erase_tenant(self, tenant: str, *, if_match: Seen | None = None) -> TenantOut:
        """Remove all that a suspended tenant with a schema of its own has, for good."""
        return model_of(
            TenantOut, (await self._send("DELETE", f"{V1}/tenants/{quote(tenant, safe='')}", if_match=if_match))
        )

    async def quota(self, tenant: str) -> QuotaOut:
        """What the tenant uses of what it may."""
        return await self._get(f"{V1}/tenants/{quote(tenant, safe='')}/quota", QuotaOut)

    async def change_limits(self, tenant: str, limits: Mapping[str, Any]) -> TenantOut:
        """Change these limits and no others; -1 = as much as it likes. Raises StaleError when somebody else did just now."""
        present = await self.tenant(tenant)
        changed = {**present.limits, **limits}
        wanted = {name: value for name, value in changed.items() if not str(value).startswith("-1")}
        return await self.change_tenant(tenant, limits=wanted, if_match=present)

    async def users(self) -> list[UserOut]:
        return list_of(UserOut, (await self._send("GET", f"{V1}/users")))

    async def create_user(self, username: str, **fields: Any) -> UserOut:
        body = {"username": username, **given(fields)}
        return model_of(UserOut, (await self._send("POST", f"{V1}/users", json=body)))

    async def user(self, user_id: UUID) -> UserOut:
        return await self._get(f"{V1}/users/{user_id}", UserOut)

    async def change_user(self, user_id: UUID, *, if_match: Seen | None = None, **changes: Any) -> UserOut:
        answer = await self._send("PATCH", f"{V1}/users/{user_id}", json=given(changes), if_match=if_match)
        return model_of(UserOut, answer)

    async def set_password(self, user_id: UUID, password: str) -> None:
        await self._send("PUT", f"{V1}/users/{user_id}/password", json={"password": password})

    async def keys(self) -> list[KeyOut]:
        return list_of(KeyOut, (await self._send("GET", f"{V1}/keys")))

    async def key(self, key_id: str) -> KeyOut:
        return await self._get(f"{V1}/keys/{quote(key_id, safe='')}", KeyOut)

    async def create_key(
        self, name: str, *, scopes: Iterable[str] | None = None, expires_at: datetime | None = None
    ) -> NewKeyOut:
        """The answer holds the key itself, this once."""
        body = {
            "name": name,
            "scopes": None if scopes is None else list(scopes),
            "expires_at": None if expires_at is None else expires_at.isoformat(),
        }
        return model_of(NewKeyOut, (await self._send("POST", f"{V1}/keys", json=body)))

    async def revoke_key(self, key_id: str, *, if_match: Seen | None = None) -> KeyOut:
        return model_of(KeyOut, (await self._send("DELETE", f"{V1}/keys/{quote(key_id, safe='')}", if_match=if_match)))

    async def rotate_signing_key(self, *, drop_former: bool = False) -> RotatedOut:
        """With `drop_former` all access tokens end now; refresh tokens stay good."""
        path = f"{V1}/keys/signing/rotate"
        answer = await self._send("POST", path, params={"drop_former": "true"} if drop_former else None)
        return model_of(RotatedOut, answer)

    async def store_provider_key(self, provider: str, key: str, *, if_match: Seen | None = None) -> ProviderKeyOut:
        path = f"{V1}/provider-keys/{quote(provider, safe='')}"
        return model_of(ProviderKeyOut, (await self._send("PUT", path, json={"key": key}, if_match=if_match)))

    async def remove_provider_key(self, provider: str, *, if_match: Seen | None = None) -> None:
        await self._send("DELETE", f"{V1}/provider-keys/{quote(provider, safe='')}", if_match=if_match)

    async def provider_keys(self) -> list[ProviderKeyOut]:
        return list_of(ProviderKeyOut, (await self._send("GET", f"{V1}/provider-keys")))

    async def provider_key(self, provider: str) -> ProviderKeyOut:
        return await self._get(f"{V1}/provider-keys/{quote(provider, safe='')}", ProviderKeyOut)

    async def end_sessions(self, user_id: UUID) -> LogoutOut:
        return model_of(LogoutOut, (await self._send("DELETE", f"{V1}/users/{user_id}/sessions")))

    async def change_own_password(self, present: str, password: str) -> None:
        """All sessions of the user end, this one too."""
        await self._send("POST", f"{V1}/auth/password", json={"present": present, "password": password})

    async def issue_token(
        self, subject: str, *, role: str = "service", scopes: Iterable[str] | None = None
    ) -> TokenOut:
        """A token for a program of the tenant, good for an hour."""
        body = {"sub": subject, "role": role, "scopes": None if scopes is None else list(scopes)}
        return model_of(TokenOut, (await self._send("POST", f"{V1}/auth/token", json=body)))

    async def verify(self, token: str) -> VerifyOut:
        """Whether the token is good, and whose it is."""
        return model_of(VerifyOut, (await self._send("POST", f"{V1}/auth/verify", json={"token": token})))
