"""When a workflow starts by itself: events, the clock, webhooks and other runs."""

from __future__ import annotations

from datetime import datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from resources.events.catalog import CATALOG
from resources.workflows.expressions import as_expression, has_markers
from resources.workflows.inputs import nearest, problems_of_given
from resources.workflows.spec import (
    EventTrigger,
    RunTrigger,
    ScheduleTrigger,
    WebhookTrigger,
    WorkflowSpec,
)
from resources.workflows.validation.findings import Findings, joined, strings

if TYPE_CHECKING:
    from resources.workflows.spec import Trigger
    from resources.workflows.validation.reference_check import ReferenceCheck


def check_cron(cron: str) -> str | None:
    """Why the cron expression cannot be read; None when it can."""
    if len(cron.split()) != 5:  # noqa: PLR2004  # minute, hour, day, month, weekday
        return "it does not have five fields"
    try:
        next(CronSim(cron, datetime(2024, 1, 1)))  # noqa: DTZ001  # any time will do
    except CronSimError as error:
        return str(error)
    except StopIteration:
        return "it never comes round"
    return None


class TriggerCheck:
    """Looks at the triggers of one workflow."""

    def __init__(self, spec: WorkflowSpec, references: ReferenceCheck, findings: Findings) -> None:
        self._spec = spec
        self._references = references
        self._findings = findings

    def look(self, path: str, trigger: Trigger) -> None:
        """One trigger."""
        names: frozenset[str] = frozenset()
        match trigger:
            case EventTrigger():
                names = frozenset({"event"})
                if not any(fnmatchcase(known, trigger.event) for known in CATALOG.types):
                    message = f"there is no type of event {trigger.event!r}"
                    self._findings.report(
                        f"{path}.event", message, nearest(trigger.event, CATALOG.types), code="event_not_found"
                    )
                if trigger.when is not None:
                    self._references.resolve(f"{path}.when", as_expression(trigger.when), None, names=names)
            case ScheduleTrigger():
                self.cron(f"{path}.cron", trigger.cron)
                self._look_at_timezone(f"{path}.timezone", trigger.timezone)
            case WebhookTrigger():
                names = frozenset({"body", "headers"})
            case RunTrigger():
                names = frozenset({"run"})
                if trigger.workflow == self._spec.name:
                    message = "the workflow would start itself again and again"
                    self._findings.report(f"{path}.workflow", message, "a loop repeats nodes", code="cycle_detected")
        for keys, text in strings(trigger.inputs):
            if has_markers(text):
                self._references.resolve(joined(f"{path}.inputs", keys), text, None, names=names)
        self._findings.take(problems_of_given(f"{path}.inputs", trigger.inputs, self._spec))

    def cron(self, path: str, cron: str) -> None:
        """An expression of cron."""
        reason = check_cron(cron)
        if reason is not None:
            hint = "five fields: minute, hour, day of the month, month, day of the week"
            self._findings.report(path, f"{cron!r} is no cron expression: {reason}", hint, code="cron_invalid")

    def _look_at_timezone(self, path: str, name: str) -> None:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            hint = "names are those of the IANA database, such as Europe/Berlin"
            self._findings.report(path, f"there is no time zone {name!r}", hint, code="timezone_invalid")
