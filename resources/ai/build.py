"""The AI layer from configuration: what a process calls models through, on the platform's database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from resources.ai.call import CallOptions
from resources.ai.directory import ProviderConfig, ProviderDirectory
from resources.ai.egress import EgressPolicy
from resources.ai.ledger.postgres import PostgresCallBooks
from resources.ai.limits.limiter import RateLimiter
from resources.ai.limits.postgres import PostgresWindows
from resources.ai.limits.window import Quota
from resources.ai.memo.cipher import MemoCipher
from resources.ai.memo.model import MemoMode
from resources.ai.memo.postgres import PostgresMemo
from resources.ai.pipeline import AiCalls
from resources.ai.prices.book import FREE, PriceBook
from resources.ai.prices.postgres import PostgresPrices
from resources.ai.redaction import Redactor
from resources.ai.retry import RetryPolicy

if TYPE_CHECKING:
    from resources.ai.directory import OwnKeys
    from resources.database.postgres import Database


def _offline() -> dict[str, ProviderConfig]:
    return {"offline": ProviderConfig(kind="offline"), "local": ProviderConfig(kind="local")}


class _Options(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RateQuota(_Options):
    """What a provider allows a minute, where it is known beforehand."""

    provider: str
    model: str
    requests: int | None = Field(default=None, ge=1)
    tokens: int | None = Field(default=None, ge=1)


class AiOptions(_Options):
    """How this process calls models. Seconds, unless said otherwise."""

    providers: dict[str, ProviderConfig] = Field(default_factory=_offline, description="By the name that requests use")
    egress: EgressPolicy = Field(default=EgressPolicy(), description="Guards the addresses that tenants give")
    memo: MemoMode = Field(default="read_through", description="Whether answers are recorded and taken again")
    memo_secret: SecretStr | None = Field(default=None, description="Encrypts recorded answers; unset = in plain")
    memo_ttl: float | None = Field(default=None, gt=0, description="After which an answer is forgotten; unset = never")
    timeout: float = Field(default=300.0, gt=0, description="Of a whole call, with its waits and attempts")
    attempts: int = Field(default=4, ge=1, le=10, description="Attempts of one call with one provider")
    max_output_tokens: int = Field(default=4096, ge=1, description="Of requests that set none")
    lease: float = Field(default=15.0, gt=0, description="After which a silent process counts as dead")
    capture_content: bool = Field(default=False, description="Put prompts and answers into the events")
    redact: bool = Field(default=False, description="Replace personal data before requests leave")
    redact_patterns: dict[str, str] = Field(default_factory=dict, description="More kinds of it: NAME = pattern")
    refuse_unpriced: bool = Field(default=False, description="No model without a price under a hard budget")
    free_providers: frozenset[str] = Field(default=FREE, description="Providers whose calls cost nothing")
    quotas: tuple[RateQuota, ...] = ()
    threads: int = Field(default=8, ge=1, le=64, description="That wait for the database")


def build_ai(database: Database, options: AiOptions | None = None, *, own_keys: OwnKeys | None = None) -> AiCalls:
    """The calls of one process and event loop. `own_keys` are those that tenants have of their own."""
    options = options or AiOptions()
    redactor = Redactor(custom=options.redact_patterns) if options.redact else None
    secret = options.memo_secret.get_secret_value() if options.memo_secret is not None else None
    vendors = {name: config.kind for name, config in options.providers.items() if name != config.kind}
    return AiCalls(
        providers=ProviderDirectory(options.providers, own_keys=own_keys, egress=options.egress),
        books=PostgresCallBooks(database),
        memo=PostgresMemo(database),
        prices=PriceBook(PostgresPrices(database), free=options.free_providers, vendors=vendors),
        limiter=RateLimiter(
            {(q.provider, q.model): Quota(q.requests, q.tokens) for q in options.quotas},
            shared=PostgresWindows(database),
        ),
        retry=RetryPolicy(attempts=options.attempts),
        cipher=MemoCipher(secret),
        defaults=CallOptions(
            memo=options.memo,
            memo_ttl=options.memo_ttl,
            timeout=options.timeout,
            capture_content=options.capture_content,
            redactor=redactor,
            refuse_unpriced=options.refuse_unpriced,
        ),
        max_output_tokens=options.max_output_tokens,
        lease=options.lease,
        threads=options.threads,
    )
