"""What can go wrong with any provider, and which error of ours it is. Adapters map their vendor's words to it."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NoReturn

from resources.ai.model import Answer
from resources.ai.provider import (
    ProviderRefusedError,
    ProviderUnavailableError,
    RateLimitedError,
    StreamTruncatedError,
)
from resources.errors import PlatformError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Mapping

    from pydantic import SecretStr

    from resources.ai.model import StreamEvent
    from resources.ai.providers.options import ProviderOptions

_QUOTE: Final = 500
_SHORTEST_SECRET: Final = 4  # anything shorter would strike out words
_OVERFLOW = re.compile(
    r"context[ _](length|window|size)|prompt is too long|input is too long|too many (input )?tokens|exceed(s|ed)? context",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Fault:
    """A kind of failure: the error that it is raised as, its code, and what the reader can do about it."""

    error: type[RateLimitedError | ProviderUnavailableError | ProviderRefusedError]
    code: str
    hint: str


REFUSED: Final = Fault(ProviderRefusedError, "provider_refused", "Change the request; repeating it fails again.")
KEY_WRONG: Final = Fault(ProviderRefusedError, "provider_key_wrong", "Set the right key for this provider.")
FORBIDDEN: Final = Fault(
    ProviderRefusedError, "provider_forbidden", "Ask the provider to allow this model or region for the key."
)
MODEL_UNKNOWN: Final = Fault(ProviderRefusedError, "model_unknown", "Choose a model that the provider offers.")
CONTEXT_OVERFLOW: Final = Fault(
    ProviderRefusedError, "context_overflow", "Shorten the messages or choose a model with a larger context window."
)
QUOTA_EXHAUSTED: Final = Fault(
    RateLimitedError,
    "provider_quota_exhausted",
    "The provider's own quota or credit is used up; waiting does not help.",
)
RATE_LIMITED: Final = Fault(RateLimitedError, "provider_rate_limited", "Try again later.")
UNAVAILABLE: Final = Fault(ProviderUnavailableError, "provider_unavailable", "Try again later.")
OVERLOADED: Final = Fault(ProviderUnavailableError, "provider_overloaded", "Try again later.")
UNREACHABLE: Final = Fault(ProviderUnavailableError, "provider_unreachable", "Check the address and the network.")
TIMEOUT: Final = Fault(ProviderUnavailableError, "provider_timeout", "Try again later, or allow more time.")
TRUNCATED: Final = Fault(StreamTruncatedError, "stream_truncated", "What came so far is not an answer; call again.")
MALFORMED: Final = Fault(StreamTruncatedError, "stream_malformed", "What came so far is not an answer; call again.")

BY_STATUS: Final[Mapping[int, Fault]] = {
    401: KEY_WRONG,
    402: QUOTA_EXHAUSTED,
    403: FORBIDDEN,
    404: MODEL_UNKNOWN,
    408: TIMEOUT,
    409: UNAVAILABLE,
    429: RATE_LIMITED,
    504: TIMEOUT,
    529: OVERLOADED,
}


def fault_of_status(status: int, message: str) -> Fault:
    """What an HTTP status means where the vendor has no better word for it."""
    if status in {400, 413, 422} and _OVERFLOW.search(message):
        return CONTEXT_OVERFLOW
    return BY_STATUS.get(status, UNAVAILABLE if status >= 500 else REFUSED)  # noqa: PLR2004  # the class of HTTP statuses


@dataclass(slots=True)
class Progress:
    """How far a call has come. `begun`: the provider accepted it, and its answer is on the way."""

    begun: bool = False


class Faults:
    """Makes the errors of one provider. What is secret is struck out of whatever the vendor wrote."""

    def __init__(self, provider: str, options: ProviderOptions) -> None:
        self._provider = provider
        self._secrets = tuple(_plain((options.api_key, options.session_token, *options.headers.values())))

    def error(
        self, fault: Fault, *, model: str, said: str, retry_after: float | None = None, request_id: str | None = None
    ) -> PlatformError:
        """The error to raise. `said` is what the vendor or the network said."""
        quote = self._scrubbed(said).strip()[:_QUOTE].rstrip(".") or "no reason given"
        message = f"{self._provider!r} failed to answer with model {model!r}: {quote}. {fault.hint}"
        facts: dict[str, Any] = {"provider": self._provider, "model": model, "request_id": request_id}
        if issubclass(fault.error, RateLimitedError):
            return fault.error(message, code=fault.code, retry_after=retry_after, **facts)
        if issubclass(fault.error, ProviderUnavailableError):
            return fault.error(message, code=fault.code, dependency=self._provider, retry_after=retry_after, **facts)
        return fault.error(message, code=fault.code, **facts)

    def throw(self, error: PlatformError, cause: BaseException) -> NoReturn:
        """Raise `error` from `cause`, unless the cause's words hold a secret: a log would show them."""
        raise error from (None if self._scrubbed(str(cause)) != str(cause) else cause)

    def _scrubbed(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text


async def guarded(
    events: AsyncGenerator[StreamEvent],
    progress: Progress,
    *,
    faults: Faults,
    model: str,
    total: float,
    translate: Callable[[Exception, bool], PlatformError | Answer],
) -> AsyncGenerator[StreamEvent]:
    """The events of a call, held to the port's promise: our errors only, in time, and an Answer last.

    `translate` gets a foreign error and whether the answer had begun; it may find an answer in it (a filter that fails a call).
    """
    deadline = asyncio.get_running_loop().time() + total
    try:
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    event = await anext(events)
            except StopAsyncIteration:
                raise faults.error(TRUNCATED, model=model, said="the stream ended without saying why") from None
            except PlatformError:
                raise
            except Exception as error:  # noqa: BLE001  # vendors' libraries let errors of all their parts through
                outcome = translate(error, progress.begun)
                if isinstance(outcome, Answer):
                    yield outcome
                    return
                faults.throw(outcome, error)
            yield event
            if isinstance(event, Answer):
                return
    finally:
        await events.aclose()


def ours_behind(error: BaseException) -> PlatformError | None:
    """The error of ours that a vendor's library has wrapped (raised by our transport below it)."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, PlatformError):
            return seen
        seen = seen.__cause__
    return None


def _plain(secrets: Iterable[SecretStr | None]) -> Iterable[str]:
    return (
        text for secret in secrets if secret is not None and len(text := secret.get_secret_value()) >= _SHORTEST_SECRET
    )
