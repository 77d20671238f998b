"""Who may do what: tenants, users, keys, sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

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
from api.client.base import HttpClient

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from uuid import UUID


class IdentityClient(HttpClient):
    """Who may do what: tenants, users, keys, sessions."""

    def login(self, username: str, password: str, *, tenant: str | None = None) -> LoginOut:
        """Raises UnauthenticatedError, LimitExceededError. The client itself stays as it is: make one with the `token`."""
        body = {"username": username, "password": password} | ({} if tenant is None else {"tenant": tenant})
        return model_of(LoginOut, self._send("POST", f"{V1}/auth/login", json=body, auth=None))

    def refresh(self, refresh_token: str) -> LoginOut:
        """New tokens; the one that is sent is used up."""
        body = {"refresh_token": refresh_token}
        return model_of(LoginOut, self._send("POST", f"{V1}/auth/refresh", json=body, auth=None))

    def logout(self, *, refresh_token: str | None = None, everywhere: bool = False) -> LogoutOut:
        body = {"refresh_token": refresh_token, "everywhere": everywhere}
        return model_of(LogoutOut, self._send("POST", f"{V1}/auth/logout", json=body))

    def whoami(self) -> PrincipalOut:
        return self._get(f"{V1}/auth/whoami", PrincipalOut)

    def tenants(self) -> list[TenantOut]:
        return list_of(TenantOut, self._send("GET", f"{V1}/tenants"))

    def tenant(self, tenant: str) -> TenantOut:
        return self._get(f"{V1}/tenants/{quote(tenant, safe='')}", TenantOut)

    def create_tenant(self, **fields: Any) -> TenantOut:
        return model_of(TenantOut, self._send("POST", f"{V1}/tenants", json=given(fields)))

    def change_tenant(self, tenant: str, *, if_match: Seen | None = None, **changes: Any) -> TenantOut:
        path = f"{V1}/tenants/{quote(tenant, safe='')}"
        return model_of(TenantOut, self._send("PATCH", path, json=given(changes), if_match=if_match))

    def erase_tenant(self, tenant: str, *, if_match: Seen | None = None) -> TenantOut:
        """Remove all that a suspended tenant with a schema of its own has, for good."""
        return model_of(TenantOut, self._send("DELETE", f"{V1}/tenants/{quote(tenant, safe='')}", if_match=if_match))

    def quota(self, tenant: str) -> QuotaOut:
        """What the tenant uses of what it may."""
        return self._get(f"{V1}/tenants/{quote(tenant, safe='')}/quota", QuotaOut)

    def change_limits(self, tenant: str, limits: Mapping[str, Any]) -> TenantOut:
        """Change these limits and no others; -1 = as much as it likes. Raises StaleError when somebody else did just now."""
        present = self.tenant(tenant)
        changed = {**present.limits, **limits}
        wanted = {name: value for name, value in changed.items() if not str(value).startswith("-1")}
        return self.change_tenant(tenant, limits=wanted, if_match=present)

    def users(self) -> list[UserOut]:
        return list_of(UserOut, self._send("GET", f"{V1}/users"))

    def create_user(self, username: str, **fields: Any) -> UserOut:
        body = {"username": username, **given(fields)}
        return model_of(UserOut, self._send("POST", f"{V1}/users", json=body))

    def user(self, user_id: UUID) -> UserOut:
        return self._get(f"{V1}/users/{user_id}", UserOut)

    def change_user(self, user_id: UUID, *, if_match: Seen | None = None, **changes: Any) -> UserOut:
        answer = self._send("PATCH", f"{V1}/users/{user_id}", json=given(changes), if_match=if_match)
        return model_of(UserOut, answer)

    def set_password(self, user_id: UUID, password: str) -> None:
        self._send("PUT", f"{V1}/users/{user_id}/password", json={"password": password})

    def keys(self) -> list[KeyOut]:
        return list_of(KeyOut, self._send("GET", f"{V1}/keys"))

    def key(self, key_id: str) -> KeyOut:
        return self._get(f"{V1}/keys/{quote(key_id, safe='')}", KeyOut)

    def create_key(
        self, name: str, *, scopes: Iterable[str] | None = None, expires_at: datetime | None = None
    ) -> NewKeyOut:
        """The answer holds the key itself, this once."""
        body = {
            "name": name,
            "scopes": None if scopes is None else list(scopes),
            "expires_at": None if expires_at is None else expires_at.isoformat(),
        }
        return model_of(NewKeyOut, self._send("POST", f"{V1}/keys", json=body))

    def revoke_key(self, key_id: str, *, if_match: Seen | None = None) -> KeyOut:
        return model_of(KeyOut, self._send("DELETE", f"{V1}/keys/{quote(key_id, safe='')}", if_match=if_match))

    def rotate_signing_key(self, *, drop_former: bool = False) -> RotatedOut:
        """With `drop_former` all access tokens end now; refresh tokens stay good."""
        path = f"{V1}/keys/signing/rotate"
        answer = self._send("POST", path, params={"drop_former": "true"} if drop_former else None)
        return model_of(RotatedOut, answer)

    def store_provider_key(self, provider: str, key: str, *, if_match: Seen | None = None) -> ProviderKeyOut:
        path = f"{V1}/provider-keys/{quote(provider, safe='')}"
        return model_of(ProviderKeyOut, self._send("PUT", path, json={"key": key}, if_match=if_match))

    def remove_provider_key(self, provider: str, *, if_match: Seen | None = None) -> None:
        self._send("DELETE", f"{V1}/provider-keys/{quote(provider, safe='')}", if_match=if_match)

    def provider_keys(self) -> list[ProviderKeyOut]:
        return list_of(ProviderKeyOut, self._send("GET", f"{V1}/provider-keys"))

    def provider_key(self, provider: str) -> ProviderKeyOut:
        return self._get(f"{V1}/provider-keys/{quote(provider, safe='')}", ProviderKeyOut)

    def end_sessions(self, user_id: UUID) -> LogoutOut:
        return model_of(LogoutOut, self._send("DELETE", f"{V1}/users/{user_id}/sessions"))

    def change_own_password(self, present: str, password: str) -> None:
        """All sessions of the user end, this one too."""
        self._send("POST", f"{V1}/auth/password", json={"present": present, "password": password})

    def issue_token(self, subject: str, *, role: str = "service", scopes: Iterable[str] | None = None) -> TokenOut:
        """A token for a program of the tenant, good for an hour."""
        body = {"sub": subject, "role": role, "scopes": None if scopes is None else list(scopes)}
        return model_of(TokenOut, self._send("POST", f"{V1}/auth/token", json=body))

    def verify(self, token: str) -> VerifyOut:
        """Whether the token is good, and whose it is."""
        return model_of(VerifyOut, self._send("POST", f"{V1}/auth/verify", json={"token": token}))
