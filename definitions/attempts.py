"""One try of one step: what is told about it, to whom, and how its values and failures look there."""

import time
from dataclasses import dataclass, field
from typing import Any, Final

import dagster as dg
import orjson

from definitions.runtime.live import LiveRun
from resources.errors import PlatformError

MAX_PREVIEW_BYTES: Final = 4096
_SECRET = ("password", "secret", "token", "authorization", "api_key", "apikey", "credential")


@dataclass(slots=True)
class Attempt:
    """One try of one step: what is told about it. `inner`: of a node in a body that is executed within its step."""

    live: LiveRun
    key: str
    type: str
    number: int
    report: dict[str, Any] = field(default_factory=dict)
    given: Any = None
    inner: bool = False
    started: float = field(default_factory=time.monotonic)

    def began(self, given: Any) -> None:
        self.given = preview(given)
        self.live.node_started(self.key, self.type, attempt=self.number, given=self.given)

    def ended(self, output: Any) -> dict[str, Any]:
        """The metadata of the step's output."""
        told = preview(output)
        seconds = time.monotonic() - self.started
        self.live.node_completed(
            self.key, self.type, attempt=self.number, given=told, seconds=seconds, inner=self.inner
        )
        return {"input": shown_as_metadata(self.given), "output": shown_as_metadata(told), **self.report}


def preview(value: Any) -> Any:
    """The value, if it is small; otherwise the beginning of its JSON, and how long it is."""
    encoded = orjson.dumps(value, default=str)
    if len(encoded) <= MAX_PREVIEW_BYTES:
        return value
    return f"{encoded[:MAX_PREVIEW_BYTES].decode(errors='ignore')}… ({len(encoded):,} bytes)"


def shown_as_metadata(value: Any) -> dg.MetadataValue:
    """A preview, as the UI shows it."""
    if isinstance(value, dict | list):
        return dg.MetadataValue.json(value)
    return dg.MetadataValue.text(value if isinstance(value, str) else orjson.dumps(value, default=str).decode())


def shown_config(config: Any) -> Any:
    """A config for readers: what is secret by its name is left out."""

    def hidden(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                key: "•••" if any(part in str(key).lower() for part in _SECRET) else hidden(inner)
                for key, inner in value.items()
            }
        if isinstance(value, list):
            return [hidden(inner) for inner in value]
        return value

    return hidden(config.model_dump(mode="json", by_alias=True, exclude_unset=True))


def as_output(error: Exception) -> dict[str, Any]:
    """A failure as the output of a node that may fail."""
    if isinstance(error, PlatformError):
        details = {name: str(value) for name, value in error.details.items()}
        facts = {"code": error.code, "message": error.message, "retryable": error.retryable, "details": details}
    else:
        facts = {
            "code": "internal_error",
            "message": f"{type(error).__name__}: {error}",
            "retryable": True,
            "details": {},
        }
    return {"error": facts}
