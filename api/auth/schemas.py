"""What the routes of identity take and give. Secrets come in as SecretStr, and go out once."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, SecretStr

from resources.tenants.model import ApiKey, Limits, Principal, ProviderKey, Status, Tenant, TokenPair, User
from resources.tenants.permissions import Role

if TYPE_CHECKING:
    from resources.ai.budgets.model import BudgetStatus
    from resources.tenants.quotas.model import Consumption

Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]
Credential = Annotated[str, Field(max_length=1024, pattern=r"^[^\x00]*$")]
Whole = Annotated[int, Field(ge=0, lt=2**63)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LoginIn(_Strict):
    """`tenant` unset = the platform's own."""

    username: Credential = Field(examples=["ada"])
    password: SecretStr = Field(max_length=1024)
    tenant: Annotated[str, Field(max_length=63, pattern=r"^[^\x00]*$")] | None = None


class RefreshIn(_Strict):
    """The refresh token of the last answer; it is good for one use."""

    refresh_token: SecretStr = Field(max_length=200)


class LogoutIn(_Strict):
    """Which session to end; unset = that of the access token."""

    refresh_token: SecretStr | None = Field(default=None, max_length=200)
    everywhere: bool = Field(default=False, description="All sessions of the user")


class LogoutOut(BaseModel):
    """How many sessions ended."""

    ended: int


class TokenIn(_Strict):
    """A token for a program."""

    sub: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,62}$")] = Field(examples=["crawler"])
    role: Role = Role.SERVICE
    scopes: list[Name] | None = Field(default=None, max_length=100, description="Unset = all of the role")


class TokenOut(BaseModel):
    """What to send as `Authorization: Bearer`, and for how many seconds it is good."""

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105  # its name
    expires_in: int


class LoginOut(TokenOut):
    """`token` is the access token once more, for clients of before."""

    token: str
    refresh_token: str | None
    user_id: str
    username: str
    role: Role
    tenant: str

    @classmethod
    def of(cls, pair: TokenPair) -> Self:
        who = pair.principal
        return cls(
            access_token=pair.access_token,
            token=pair.access_token,
            refresh_token=pair.refresh_token,
            expires_in=pair.expires_in,
            user_id=who.subject,
            username=who.username,
            role=who.role,
            tenant=who.tenant,
        )


class PrincipalOut(BaseModel):
    """Who makes the request."""

    tenant: str
    subject: str
    username: str
    role: Role
    scopes: list[str]
    session_id: UUID | None
    key_id: str | None
    expires_at: datetime | None

    @classmethod
    def of(cls, who: Principal) -> Self:
        return cls(
            tenant=who.tenant,
            subject=who.subject,
            username=who.username,
            role=who.role,
            scopes=sorted(who.scopes),
            session_id=who.session_id,
            key_id=who.key_id,
            expires_at=who.expires_at,
        )


class VerifyIn(_Strict):
    """The token in question."""

    token: SecretStr = Field(max_length=8192)


class VerifyOut(BaseModel):
    """Whether a credential is good, whose it is, and if not, why."""

    valid: bool
    claims: PrincipalOut | None = None
    error: str | None = None


class PasswordIn(_Strict):
    """A new password, by who knows the present one."""

    present: SecretStr = Field(max_length=1024)
    password: SecretStr = Field(max_length=1024)


class NewPasswordIn(_Strict):
    """A new password, by an admin."""

    password: SecretStr = Field(max_length=1024)


class LimitsModel(_Strict):
    """How much a tenant may use; unset = as much as it likes."""

    requests_per_minute: Annotated[int, Field(ge=1, lt=2**31)] | None = None
    runs_per_day: Whole | None = None
    concurrent_runs: Whole | None = None
    storage_bytes: Whole | None = None
    sockets: Whole | None = None
    usd_per_month: Annotated[Decimal, Field(ge=0, max_digits=18, decimal_places=6)] | None = None

    def limits(self) -> Limits:
        return Limits(**self.model_dump())


class TenantIn(_Strict):
    """A new tenant, with its first admin if one is named."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")] = Field(examples=["acme"])
    name: Name | None = None
    limits: LimitsModel = LimitsModel()
    own_schema: bool = Field(
        default=False, description="Keep its content apart, in a schema of its own; decided once and for all"
    )
    admin: Annotated[str, Field(max_length=100)] | None = Field(
        default=None, description="User name of the first admin"
    )
    admin_password: SecretStr | None = Field(default=None, max_length=1024)


class TenantPatch(_Strict):
    """What to change."""

    name: Name | None = None
    status: Status | None = None
    limits: LimitsModel | None = None


class TenantOut(BaseModel):
    """A tenant."""

    id: str
    name: str
    status: Status
    limits: dict[str, Any]
    own_schema: bool
    erased_at: datetime | None
    created_at: datetime

    @classmethod
    def of(cls, tenant: Tenant) -> Self:
        return cls(
            id=tenant.id,
            name=tenant.name,
            status=tenant.status,
            limits=tenant.limits.as_json(),
            own_schema=tenant.own_schema,
            erased_at=tenant.erased_at,
            created_at=tenant.created_at,
        )


class UsedOut(BaseModel):
    """How much is used (null = it is not known now), and how much may be; `limit` null = as much as one likes."""

    used: int | None
    limit: int | None


class SpentOut(BaseModel):
    """US dollars of this month (UTC); `used` is null where nobody limits, and so nobody counts, them here."""

    used: Decimal | None
    limit: Decimal | None


class QuotaOut(BaseModel):
    """What a tenant uses of what it may. Runs beyond `concurrent_runs` wait; what is beyond the others is refused."""

    requests_per_minute: int | None = Field(description="The limit; null = the platform's")
    runs_per_day: UsedOut
    concurrent_runs: UsedOut
    storage_bytes: UsedOut
    documents: int
    sockets: UsedOut
    usd_per_month: SpentOut

    @classmethod
    def of(
        cls, limits: Limits, consumed: Consumption, *, runs_under_way: int | None, spending: BudgetStatus | None
    ) -> Self:
        return cls(
            requests_per_minute=limits.requests_per_minute,
            runs_per_day=UsedOut(used=consumed.runs_today, limit=limits.runs_per_day),
            concurrent_runs=UsedOut(used=runs_under_way, limit=limits.concurrent_runs),
            storage_bytes=UsedOut(used=consumed.storage_bytes, limit=limits.storage_bytes),
            documents=consumed.documents,
            sockets=UsedOut(used=consumed.sockets, limit=limits.sockets),
            usd_per_month=SpentOut(used=None if spending is None else spending.spent, limit=limits.usd_per_month),
        )


class UserIn(_Strict):
    """A new user of the tenant. Without a password it logs in elsewhere, or with keys."""

    username: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}$")] = Field(examples=["ada"])
    role: Role = Role.MEMBER
    email: Annotated[str, Field(max_length=254, pattern=r"^[^@\s\x00]{1,64}@[^@\s\x00]{1,189}$")] | None = None
    password: SecretStr | None = Field(default=None, max_length=1024)


class UserPatch(_Strict):
    """What to change."""

    role: Role | None = None
    status: Status | None = None
    email: Annotated[str, Field(max_length=254, pattern=r"^[^@\s\x00]{1,64}@[^@\s\x00]{1,189}$")] | None = None


class UserOut(BaseModel):
    """A user."""

    id: UUID
    tenant: str
    username: str
    role: Role
    status: Status
    email: str | None
    created_at: datetime
    last_login_at: datetime | None

    @classmethod
    def of(cls, user: User) -> Self:
        return cls(
            id=user.id,
            tenant=user.tenant,
            username=user.username,
            role=user.role,
            status=user.status,
            email=user.email,
            created_at=user.created_at,
            last_login_at=user.last_login_at,
        )


class KeyIn(_Strict):
    """A new API key. `scopes` unset = all that the maker may do."""

    name: Name = Field(examples=["nightly import"])
    scopes: list[Name] | None = Field(default=None, max_length=100, examples=[["read", "write:documents"]])
    expires_at: AwareDatetime | None = None
    user_id: UUID | None = Field(default=None, description="Another user of the tenant, for admins; unset = the maker")


class KeyOut(BaseModel):
    """An API key, without its secret."""

    id: str
    name: str
    user_id: UUID
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None

    @classmethod
    def of(cls, key: ApiKey) -> Self:
        return cls(
            id=key.id,
            name=key.name,
            user_id=key.user_id,
            scopes=sorted(key.scopes),
            created_at=key.created_at,
            expires_at=key.expires_at,
            revoked_at=key.revoked_at,
            last_used_at=key.last_used_at,
        )


class NewKeyOut(KeyOut):
    """An API key, with its secret: it is shown this once."""

    key: str


class RotatedOut(BaseModel):
    """The key that signs from now on."""

    kid: str


class ProviderKeyIn(_Strict):
    """The tenant's own key of an AI provider."""

    key: SecretStr = Field(max_length=4096)
    base_url: str | None = Field(
        default=None,
        max_length=2000,
        pattern=r"^https?://[^\s@]+$",
        description="Where the key is good; unset = where the platform's own is, or at the vendor's",
    )


class ProviderKeyOut(BaseModel):
    """That there is a key, and how it ends."""

    provider: str
    hint: str
    updated_at: datetime
    base_url: str | None

    @classmethod
    def of(cls, key: ProviderKey) -> Self:
        return cls(provider=key.provider, hint=f"...{key.hint}", updated_at=key.updated_at, base_url=key.base_url)


class JwksOut(BaseModel):
    """Public keys (RFC 7517)."""

    keys: list[dict[str, Any]]
