"""How far somebody has come with a concept."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Self

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from collections.abc import Iterable

_WHOLE: Final = 100
_NEARLY: Final = 99


class ProgressStatus(StrEnum):
    """not_started → in_progress → completed → mastered; any of them can be told at any time."""

    NOT_STARTED = "not_started"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    MASTERED = "mastered"

    @property
    def learned(self) -> bool:
        """Whether what requires the concept may be learned."""
        return self in {ProgressStatus.COMPLETED, ProgressStatus.MASTERED}


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ProgressChange(_Frozen):
    """What somebody says of a concept. What is None stays as it is; minutes and documents are added to those before."""

    status: ProgressStatus | None = None
    percent: int | None = Field(default=None, ge=0, le=_WHOLE)
    minutes: int = Field(default=0, ge=0, le=100_000, description="Spent since the last time")
    difficulty_rating: int | None = Field(default=None, ge=1, le=5, description="How hard the user finds it")
    documents: tuple[str, ...] = Field(default=(), max_length=1000, description="Ids of documents that were read")
    notes: str | None = Field(default=None, max_length=10_000, pattern=r"^[^\x00]*$")


class ConceptProgress(_Frozen):
    """Where a user stands with a concept (an id)."""

    concept: str
    status: ProgressStatus = ProgressStatus.NOT_STARTED
    percent: int = Field(default=0, ge=0, le=_WHOLE)
    minutes_spent: int = Field(default=0, ge=0)
    difficulty_rating: int | None = None
    documents: tuple[str, ...] = ()
    notes: str = ""
    started_at: datetime | None = None
    completed_at: datetime | None = None
    updated_at: datetime

    def changed(self, change: ProgressChange, *, now: datetime) -> Self:
        """The progress after the change. What was not said follows: who is past 0 has begun, who has completed is at 100."""
        percent = self.percent if change.percent is None else change.percent
        status = change.status
        if status is None:
            status = self.status
            if change.percent == _WHOLE and not status.learned:
                status = ProgressStatus.COMPLETED
            elif status is ProgressStatus.NOT_STARTED and (percent or change.minutes or change.documents):
                status = ProgressStatus.IN_PROGRESS
        percent = _WHOLE if status.learned else min(percent, _NEARLY)
        if status is ProgressStatus.NOT_STARTED:
            percent = 0
        return self.model_copy(
            update={
                "status": status,
                "percent": percent,
                "minutes_spent": self.minutes_spent + change.minutes,
                "difficulty_rating": change.difficulty_rating or self.difficulty_rating,
                "documents": tuple(dict.fromkeys((*self.documents, *change.documents))),
                "notes": self.notes if change.notes is None else change.notes,
                "started_at": None if status is ProgressStatus.NOT_STARTED else self.started_at or now,
                "completed_at": (self.completed_at or now) if status.learned else None,
                "updated_at": now,
            }
        )


def shares(said: Iterable[ConceptProgress]) -> dict[str, float]:
    """How much of each concept is learned, 0 to 1. Only what is completed is learned as a whole."""
    return {one.concept: 1.0 if one.status.learned else min(one.percent, _NEARLY) / _WHOLE for one in said}
