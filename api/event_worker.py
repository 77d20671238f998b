"""The process that does what follows from events: `python -m api.event_worker`.

It keeps the read models up to date, runs the replays that somebody asked for, asks registered agents how they are, tells about
ends of workflows and alerts of budgets, has what was published shown in Dagster's UI, and keeps house: calls of models whose
process died are settled, what has expired is forgotten.

Apart from the API, so that building a read model of a million events takes nothing from requests. There may be several: each
piece of work is done by one of them.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING

from resources.errors import InvalidInputError, UnavailableError, UpstreamError
from resources.events.projections import PROJECTIONS
from resources.plugins.store import KEPT
from resources.telemetry.logging import configure_logging, get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from resources.ai.ledger.store import CallBooks
    from resources.ai.memo.store import MemoStore
    from resources.content.jobs.store import AnalysisJobs
    from resources.events.subscriptions.store import SubscriptionStore
    from resources.idempotency.store import Answers
    from resources.plugins.store import PluginStore
    from resources.registry.model import Agent
    from resources.settings import Settings
    from resources.workflows.web import WebClient

log = get_logger(__name__)

GATHER = 0.1
"""Seconds that new events are gathered before the read models take them in."""

LETTERS_KEPT = timedelta(days=30)
ANALYSES_KEPT = timedelta(days=30)
"""How long dead letters that were resolved or discarded can still be looked at."""

MINUTE, HOUR = 60.0, 3600.0

HEALTH_SECONDS, HEALTH_BYTES = 5.0, 64 * 1024
"""What an agent may take to tell how it is, and how much it may say."""


def work(settings: Settings, stop: threading.Event) -> bool:
    """Work until `stop` is set; False when a part of the work broke off. Raises InvalidInputError without a database."""
    from api.budget_alerts import BudgetAlerts
    from api.composition import BUNDLED
    from api.workflows.notifying import Notifications
    from api.workflows.reloading import Reloads, reload_through
    from assets.nodes import NODES
    from resources.ai.budgets.postgres import PostgresBudgets
    from resources.ai.egress import EgressPolicy
    from resources.ai.ledger.postgres import PostgresCallBooks
    from resources.ai.memo.postgres import PostgresMemo
    from resources.content.jobs.postgres import PostgresAnalysisJobs
    from resources.database.postgres import Database
    from resources.events.postgres import PostgresEventStore
    from resources.events.projections.postgres import PostgresProjections
    from resources.events.projections.projector import Projector
    from resources.events.replays.postgres import PostgresReplays
    from resources.events.replays.runner import ReplayRunner
    from resources.events.subscriptions.postgres import PostgresSubscriptions
    from resources.idempotency.postgres import PostgresAnswers
    from resources.plugins.postgres import PostgresPlugins
    from resources.registry.monitor import Monitor
    from resources.registry.postgres import PostgresAgentRegistry
    from resources.tenants.postgres import PostgresSecrets
    from resources.tenants.provider_keys import ProviderKeys
    from resources.tenants.vault import Vault
    from resources.workflows.catalogue import Catalogue
    from resources.workflows.definitions import WorkflowDefinitions
    from resources.workflows.executions import Executions
    from resources.workflows.web import WebClient

    if settings.database.url is None:
        message = "The event worker needs a database: start it through `aiw up`, or set AIW_DATABASE__URL."
        raise InvalidInputError(message, code="settings_incomplete")
    database = Database(
        settings.database.url.get_secret_value(),
        pool_size=settings.database.pool_size,
        connect_timeout=settings.database.connect_timeout,
        statement_timeout=settings.database.statement_timeout,
        application_name="aiw-events",
    )
    events, projections = PostgresEventStore(database), PostgresProjections(database)
    subscriptions = PostgresSubscriptions(database)
    projector = Projector(events, projections)
    replays = ReplayRunner(
        events=events,
        replays=PostgresReplays(database),
        subscriptions=subscriptions,
        projector=projector,
        rows=projections,
        projections=PROJECTIONS,
    )
    web = WebClient(EgressPolicy.model_validate({"allowed": settings.egress.networks}))
    notifications = Notifications(
        events,
        subscriptions,
        workflows=Catalogue(WorkflowDefinitions(events), NODES, bundled=BUNDLED),
        executions=Executions(projections, events=events),
        web=web,
    )
    alerts = BudgetAlerts(
        events,
        subscriptions,
        budgets=PostgresBudgets(database),
        keys=ProviderKeys(PostgresSecrets(database), Vault(settings.auth.master_keys)),
        web=web,
    )
    monitor = Monitor(PostgresAgentRegistry(database), lambda agent: answered_in(agent, web, stop))
    kept = chores(
        subscriptions=subscriptions,
        books=PostgresCallBooks(database),
        memo=PostgresMemo(database),
        answers=PostgresAnswers(database),
        analyses=PostgresAnalysisJobs(database),
        plugins=PostgresPlugins(database),
    )
    parts: dict[str, Callable[[], None]] = {
        "projections": lambda: projector.run(PROJECTIONS, stop, gather=GATHER),
        "replays": lambda: replays.run_pending(stop),
        "housekeeping": lambda: keep_house(kept, stop),
        "notifications": lambda: notifications.run(stop),
        "budget_alerts": lambda: alerts.run(stop),
        "registry": lambda: monitor.run(stop),
    }
    if (ui := settings.dagster.url) is not None:
        reloads = Reloads(events, subscriptions, lambda: reload_through(ui))
        parts["reloads"] = lambda: reloads.run(stop)
    try:
        return run_all(parts, stop)
    finally:
        subscriptions.close()
        events.close()
        database.close()


def answered_in(agent: Agent, web: WebClient, stop: threading.Event) -> float:
    """Milliseconds that an agent took to say that it is well. Raises PlatformError when it does not."""
    from resources.workflows.web import WebRequest

    url = agent.registration.health_url
    assert url is not None
    started = time.perf_counter()
    request = WebRequest("GET", url, timeout=HEALTH_SECONDS, max_bytes=HEALTH_BYTES)
    reply = web.send(request, tenant=agent.tenant, cancel=stop)
    if reply.status >= HTTPStatus.BAD_REQUEST:
        raise UpstreamError(f"{agent.registration.name!r} answers {reply.status} when asked for its health.")
    return (time.perf_counter() - started) * 1000


@dataclass(frozen=True, slots=True)
class Chore:
    """Something to do again and again. `work` tells how much there was of it."""

    name: str
    seconds: float
    work: Callable[[], int]


def chores(
    *,
    subscriptions: SubscriptionStore,
    books: CallBooks,
    memo: MemoStore,
    answers: Answers,
    analyses: AnalysisJobs,
    plugins: PluginStore,
) -> tuple[Chore, ...]:
    """What nobody else does on a quiet platform."""
    return (
        Chore("calls_settled", MINUTE, books.settle_abandoned),
        Chore("kept_answers_forgotten", HOUR, lambda: answers.forget(now=datetime.now(UTC))),
        Chore("analyses_forgotten", HOUR, lambda: analyses.forget(before=datetime.now(UTC) - ANALYSES_KEPT)),
        Chore("plugin_runs_forgotten", HOUR, lambda: plugins.forget(before=datetime.now(UTC) - KEPT)),
        Chore("answers_purged", HOUR, lambda: _all_of(memo.purge_expired)),
        Chore(
            "letters_pruned",
            HOUR,
            lambda: subscriptions.prune_letters(before=datetime.now(UTC) - LETTERS_KEPT),
        ),
    )


def keep_house(wanted: Sequence[Chore], stop: threading.Event, *, clock: Callable[[], float] = time.monotonic) -> None:
    """Do each of them at once and then in its rhythm, until `stop` is set. One that cannot be done waits for its next turn."""
    due = dict.fromkeys(wanted, clock())
    while not stop.is_set():
        for chore in [chore for chore, at in due.items() if at <= clock()]:
            try:
                if done := chore.work():
                    log.info("event_worker.house_kept", chore=chore.name, count=done)
            except UnavailableError as error:
                log.warning("event_worker.housekeeping_waits", chore=chore.name, error=str(error))
            due[chore] = clock() + chore.seconds
        stop.wait(max(0.0, min(due.values()) - clock()))


def _all_of(purge: Callable[[], int]) -> int:
    """Purge in portions until there is nothing left: a long statement would be cancelled."""
    total = 0
    while done := purge():
        total += done
    return total


def run_all(parts: dict[str, Callable[[], None]], stop: threading.Event) -> bool:
    """Run each part in a thread of its own until `stop` is set. One that raises ends all; False tells so."""
    broken = threading.Event()

    def run(name: str, part: Callable[[], None]) -> None:
        try:
            part()
        except Exception:
            log.exception("event_worker.part_broke", part=name)
            broken.set()
            stop.set()

    threads = [threading.Thread(target=run, args=item, name=item[0]) for item in parts.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return not broken.is_set()


def main() -> int:
    """Work until SIGINT or SIGTERM; returns the exit code (1 = something broke, 2 = wrong settings)."""
    from resources.settings import Settings

    settings = Settings()
    configure_logging(level=settings.log.level, format=settings.log.format, service="events")
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        return 0 if work(settings, stop) else 1
    except InvalidInputError as error:
        print(f"event_worker: {error.message}", file=sys.stderr)  # noqa: T201  # for the person who started it
        return 2


if __name__ == "__main__":
    sys.exit(main())
