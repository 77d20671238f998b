"""How far somebody is with one concept."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from resources.errors import InvalidInputError, Problem

_WHOLE: Final = 100.0
_LONGEST_NOTE: Final = 10_000
_RATINGS: Final = range(1, 6)


class Standing(StrEnum):
    """not_started → in_progress → completed → mastered; any of them can be told at any time."""

    NOT_STARTED = "not_started"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    MASTERED = "mastered"

    @property
    def known(self) -> bool:
        """Whether what comes after it may be learned."""
        return self in {Standing.COMPLETED, Standing.MASTERED}


@dataclass(frozen=True, slots=True)
class ConceptProgress:
    """One concept of one user. `difficulty_rating` is the user's own, 1 to 5."""

    user: str
    concept: str
    status: Standing
    accessed_at: datetime
    percent_complete: float = 0.0
    seconds_spent: int = 0
    difficulty_rating: int | None = None
    notes: str | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """What somebody tells of a concept. None leaves it as it is; `seconds` are added to those that were spent."""

    concept: str
    status: Standing | None = None
    percent_complete: float | None = None
    seconds: int = 0
    difficulty_rating: int | None = None
    notes: str | None = None

    def __post_init__(self) -> None:
        problems = []
        if self.percent_complete is not None and not 0 <= self.percent_complete <= _WHOLE:
            problems.append(Problem("percent_complete", f"{self.percent_complete} is not between 0 and 100"))
        if self.seconds < 0:
            problems.append(Problem("seconds", "time that was spent is not taken back"))
        if self.difficulty_rating is not None and self.difficulty_rating not in _RATINGS:
            problems.append(Problem("difficulty_rating", f"{self.difficulty_rating} is not between 1 and 5"))
        if self.notes is not None and (len(self.notes) > _LONGEST_NOTE or "\x00" in self.notes):
            problems.append(Problem("notes", f"hold a NUL character, or more than {_LONGEST_NOTE} characters"))
        if problems:
            raise InvalidInputError(
                f"The progress is not valid: {problems[0]}.", code="validation_failed", problems=tuple(problems)
            )


def changed(known: ConceptProgress | None, change: Change, *, user: str, now: datetime) -> ConceptProgress:
    """The progress after the change. What was not told follows: who is past 0 has begun, who has completed is at 100."""
    before = known or ConceptProgress(user, change.concept, Standing.NOT_STARTED, now)
    percent = before.percent_complete if change.percent_complete is None else change.percent_complete
    status = change.status
    if status is None:
        status = before.status
        if change.percent_complete == _WHOLE and not status.known:
            status = Standing.COMPLETED
        elif (percent > 0 or change.seconds) and status is Standing.NOT_STARTED:
            status = Standing.IN_PROGRESS
    if status.known:
        percent = _WHOLE
    begun = status is not Standing.NOT_STARTED
    return replace(
        before,
        status=status,
        accessed_at=now,
        percent_complete=percent,
        seconds_spent=before.seconds_spent + change.seconds,
        difficulty_rating=change.difficulty_rating or before.difficulty_rating,
        notes=before.notes if change.notes is None else change.notes,
        started_at=(before.started_at or now) if begun else None,
        completed_at=(before.completed_at or now) if status.known else None,
    )
