"""The catalog's mechanism: an event type is a pydantic model under a dotted name, with its older versions beside it.

    @catalog.event("order.placed", version=2)
    class OrderPlaced(EventData):
        order_id: str
        currency: str

        @staticmethod
        def upcast_v1_v2(data: dict[str, Any]) -> dict[str, Any]:
            return data | {"currency": "EUR"}

An upcaster is a pure function from the stored data of one version to that of the next; chains are followed to the newest.
A model without all the steps from version 1 to its own is refused when it is declared, not when an old event turns up.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import msgspec
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import PydanticSerializationError

from resources.errors import InvalidInputError, Problem
from resources.events.model import EventMetadata, NewEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from uuid import UUID

    from resources.events.model import RecordedEvent

    Upcaster = Callable[[dict[str, Any]], dict[str, Any]]

TYPE_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")


class EventData(BaseModel):
    """Base of all payloads: immutable, no unknown fields, no infinite numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, ser_json_inf_nan="constants")

    event_type: ClassVar[str]
    schema_version: ClassVar[int] = 1

    def new(
        self,
        *,
        event_id: UUID | None = None,
        metadata: EventMetadata | None = None,
        occurred_at: datetime | None = None,
    ) -> NewEvent:
        """This payload as an event that can be appended."""
        given = {"event_id": event_id, "metadata": metadata, "occurred_at": occurred_at}
        return NewEvent(
            type=self.event_type,
            data=self.model_dump(mode="json"),
            schema_version=self.schema_version,
            **{name: value for name, value in given.items() if value is not None},  # type: ignore[arg-type]  # filtered above
        )


Payload = TypeVar("Payload", bound=EventData)


class Catalog:
    """The event types that may be appended."""

    def __init__(self) -> None:
        self._models: dict[str, type[EventData]] = {}
        self._upcasters: dict[str, tuple[Upcaster, ...]] = {}
        self._newest: dict[str, int] = {}

    def event(self, name: str, *, version: int = 1) -> Callable[[type[Payload]], type[Payload]]:
        """Class decorator: register the model under `name`, with `version` as the newest of its schema."""

        def register(model: type[Payload]) -> type[Payload]:
            if TYPE_NAME.fullmatch(name) is None:
                raise InvalidInputError(f"The event type {name!r} is not a dotted lower-case name like 'order.placed'.")
            if name in self._models:
                raise InvalidInputError(f"The event type {name!r} is declared twice.")
            steps = [f"upcast_v{step}_v{step + 1}" for step in range(1, version)]
            missing = [step for step in steps if not hasattr(model, step)]
            if missing:
                raise InvalidInputError(
                    f"The event type {name!r} has version {version} but lacks {', '.join(missing)}."
                )
            model.event_type = name
            model.schema_version = version
            self._models[name] = model
            self._newest[name] = version
            self._upcasters[name] = tuple(getattr(model, step) for step in steps)
            return model

        return register

    def __contains__(self, name: object) -> bool:
        return name in self._models

    @property
    def types(self) -> tuple[str, ...]:
        """All names, sorted."""
        return tuple(sorted(self._models))

    def model(self, name: str) -> type[EventData] | None:
        """The payload's model, or None for a type that is not in the catalog."""
        return self._models.get(name)

    def validate(
        self, name: str, schema_version: int | None, data: Mapping[str, Any]
    ) -> tuple[int, dict[str, Any], tuple[Problem, ...]]:
        """The newest version of the data, complete with defaults, as plain JSON values; and all that is wrong with it."""
        model = self._models.get(name)
        if model is None:
            return 0, {}, (Problem("type", f"unknown event type {name!r}", "new ones are declared in the catalog"),)
        newest = model.schema_version
        given = newest if schema_version is None else schema_version
        if not 1 <= given <= newest:
            return 0, {}, (Problem("schema_version", f"{name!r} has the versions 1 to {newest}, not {given!r}"),)
        try:
            if given < newest:
                data = self._climb(name, given, dict(data))
            payload = model.__pydantic_validator__.validate_python(data)
            return newest, model.__pydantic_serializer__.to_python(payload, mode="json"), ()
        except ValidationError as error:
            return newest, {}, tuple(_problem(found) for found in error.errors(include_url=False))
        except PydanticSerializationError as error:
            return newest, {}, (Problem("data", str(error)),)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            return newest, {}, (Problem("data", f"cannot be brought from version {given} to {newest}: {error!r}"),)

    def upcast(self, event: RecordedEvent) -> RecordedEvent:
        """The event with its data in the newest version. A type that is no longer in the catalog passes unchanged."""
        model = self._models.get(event.type)
        if model is None or event.schema_version >= model.schema_version:
            return event
        data = self._climb(event.type, event.schema_version, dict(event.data))
        return msgspec.structs.replace(event, data=data, schema_version=model.schema_version)

    def upcast_all(self, events: list[RecordedEvent]) -> list[RecordedEvent]:
        """A page of events in the newest versions; the same list when there is nothing to do, as nearly always."""
        newest = self._newest
        if all(event.schema_version >= newest.get(event.type, 0) for event in events):
            return events
        return [self.upcast(event) for event in events]

    def parse(self, event: RecordedEvent) -> EventData | None:
        """The payload as its model; None for a type that is no longer in the catalog."""
        model = self._models.get(event.type)
        return None if model is None else model.model_validate(self.upcast(event).data)

    def _climb(self, name: str, version: int, data: dict[str, Any]) -> dict[str, Any]:
        for step in self._upcasters[name][version - 1 :]:
            data = step(data)
        return data


def _problem(found: Any) -> Problem:
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in found["loc"])
    return Problem(f"data{where}", found["msg"])
