"""What the management of plugins takes and gives over HTTP."""

from __future__ import annotations

import base64
import binascii
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from api.schemas import Storable
from resources.errors import InvalidInputError
from resources.plugins.model import MAX_INPUT_BYTES, MAX_MODULE_BYTES, Capability, PluginLimits

if TYPE_CHECKING:
    from resources.plugins.model import Plugin, PluginRun, Processed


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class PluginIn(_Strict):
    """A module to install."""

    module_base64: str = Field(max_length=MAX_MODULE_BYTES * 4 // 3 + 4, description="The .wasm file, in base64")
    grants: list[Capability] = Field(
        default_factory=list, max_length=10, description="What it may use; none unless named"
    )
    config: dict[str, Any] = Field(default_factory=dict)
    limits: PluginLimits = PluginLimits()

    def module(self) -> bytes:
        """The bytes. Raises InvalidInputError."""
        try:
            return base64.b64decode(self.module_base64, validate=True)
        except (binascii.Error, ValueError) as error:
            raise InvalidInputError("module_base64 is no base64.", code="plugin_invalid") from error


class PluginPatch(_Strict):
    """What is to change; what is left out stays."""

    enabled: bool | None = None
    limits: PluginLimits | None = None


class PluginOut(BaseModel):
    """A plugin as it is installed."""

    name: str
    version: str
    description: str
    author: str
    supported_content_types: tuple[str, ...]
    configuration_schema: dict[str, Any] | None
    enabled: bool
    sha256: str
    size_bytes: int
    grants: tuple[Capability, ...]
    config: dict[str, Any]
    limits: PluginLimits
    installed_at: datetime
    changed_at: datetime

    @classmethod
    def of(cls, plugin: Plugin) -> Self:
        return cls(
            **plugin.manifest.model_dump(exclude={"required_permissions"}),
            enabled=plugin.enabled,
            sha256=plugin.sha256,
            size_bytes=plugin.size_bytes,
            grants=plugin.grants,
            config=dict(plugin.config),
            limits=plugin.limits,
            installed_at=plugin.installed_at,
            changed_at=plugin.changed_at,
        )


class PluginList(BaseModel):
    """By name."""

    plugins: list[PluginOut]
    next_cursor: str | None = None


class ProcessIn(_Strict):
    """What the plugin is to work on."""

    content: Annotated[str, Field(max_length=MAX_INPUT_BYTES)]
    content_type: Storable = Field(default="text/plain", max_length=150)
    metadata: dict[str, Any] = Field(default_factory=dict)
    config: dict[str, Any] = Field(default_factory=dict, description="Goes before what the plugin is configured with")


class LogLine(BaseModel):
    """A line that a plugin wrote."""

    level: str
    line: str


class ProcessedOut(BaseModel):
    """What the plugin made of it."""

    modified_content: str | None
    extracted_data: dict[str, Any]
    metadata_updates: dict[str, Any]
    processing_time_ms: float
    cached: bool
    logs: list[LogLine]

    @classmethod
    def of(cls, processed: Processed) -> Self:
        return cls(
            **processed.output.model_dump(),
            processing_time_ms=processed.processing_time_ms,
            cached=processed.cached,
            logs=[LogLine(level=level, line=line) for level, line in processed.logs],
        )


class PluginRunOut(BaseModel):
    """A call of a plugin. `outcome` is `ok`, or the code of the error."""

    id: UUID
    at: datetime
    sha256: str
    outcome: str
    milliseconds: float
    input_bytes: int
    output_bytes: int
    fuel: int
    memory_bytes: int
    cached: bool
    run_id: str | None
    logs: list[LogLine]

    @classmethod
    def of(cls, run: PluginRun) -> Self:
        fields = {name: getattr(run, name) for name in cls.model_fields if name != "logs"}
        return cls(**fields, logs=[LogLine(level=level, line=line) for level, line in run.logs])


class PluginRunList(BaseModel):
    """The newest first."""

    runs: list[PluginRunOut]
    next_cursor: str | None = None
