"""Plugins: what they say of themselves, what they are given and give, and what they may use."""

from __future__ import annotations

from collections.abc import Mapping  # pydantic reads the annotations at run time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

Capability = Literal["log", "clock", "random"]
"""What a plugin can be granted; without a grant it can only compute. Nothing reaches files, processes or the network."""

CAPABILITIES: Final[tuple[Capability, ...]] = ("log", "clock", "random")
MAX_MODULE_BYTES: Final = 3_000_000
MAX_INPUT_BYTES: Final = 1_000_000

PluginName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]
Line = Annotated[str, StringConstraints(max_length=500)]


class Manifest(BaseModel):
    """What a plugin's export `metadata` tells."""

    model_config = ConfigDict(frozen=True)

    name: PluginName
    version: Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z][0-9A-Za-z.+-]{0,39}$")]
    description: Line = ""
    author: Line = ""
    supported_content_types: tuple[Line, ...] = Field(default=(), max_length=50)
    required_permissions: tuple[Capability, ...] = ()
    configuration_schema: dict[str, Any] | None = None


class PluginInput(BaseModel):
    """What `process` is given, as JSON."""

    content: str
    content_type: str = "text/plain"
    metadata: Mapping[str, Any] = Field(default_factory=dict)
    context: Mapping[str, Any] = Field(default_factory=dict)
    config: Mapping[str, Any] = Field(default_factory=dict)


class PluginOutput(BaseModel):
    """What `process` gives back, as JSON."""

    model_config = ConfigDict(extra="forbid")

    modified_content: str | None = None
    extracted_data: dict[str, Any] = Field(default_factory=dict)
    metadata_updates: dict[str, Any] = Field(default_factory=dict)


class PluginLimits(BaseModel):
    """What one call may use."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    memory_bytes: int = Field(default=10_000_000, ge=65_536, le=100_000_000, description="Linear memory, at most")
    fuel: int = Field(default=2_000_000_000, ge=1_000, le=100_000_000_000, description="Instructions, about")
    seconds: float = Field(default=10.0, gt=0, le=60, description="Time on the clock")
    output_bytes: int = Field(default=1_000_000, ge=64, le=10_000_000, description="What it gives back, at most")


@dataclass(frozen=True, slots=True)
class Plugin:
    """A plugin as a tenant has it installed. `sha256` is of the module, in hex."""

    manifest: Manifest
    sha256: str
    size_bytes: int
    installed_at: datetime
    changed_at: datetime
    enabled: bool = False
    grants: tuple[Capability, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    limits: PluginLimits = field(default_factory=PluginLimits)

    @property
    def name(self) -> str:
        return self.manifest.name


@dataclass(frozen=True, slots=True)
class Call:
    """What one call of an export gave and used. `logs` are (level, line)."""

    output: bytes
    fuel: int
    memory_bytes: int
    milliseconds: float
    logs: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class PluginRun:
    """One line of the journal of calls. `outcome` is `ok` or the code of the error."""

    id: UUID
    plugin: str
    sha256: str
    at: datetime
    outcome: str
    milliseconds: float
    input_bytes: int
    output_bytes: int = 0
    fuel: int = 0
    memory_bytes: int = 0
    cached: bool = False
    run_id: str | None = None
    logs: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Processed:
    """What a plugin made of an input, and what that took. From the cache it took nothing."""

    output: PluginOutput
    processing_time_ms: float
    cached: bool = False
    logs: tuple[tuple[str, str], ...] = ()
