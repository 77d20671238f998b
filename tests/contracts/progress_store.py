"""What every store of progress promises. Subclass and give the store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from resources.knowledge.progress.model import ProgressChange, ProgressStatus

if TYPE_CHECKING:
    from resources.knowledge.progress.store import ProgressStore

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
STARTED = ProgressChange(status=ProgressStatus.IN_PROGRESS, percent=40, minutes=30, documents=("a.md",))
DONE = ProgressChange(status=ProgressStatus.COMPLETED, minutes=20, documents=("b.md", "a.md"), notes="it was fun")


class ProgressStoreContract:
    def test_changes_add_up(self, progress: ProgressStore, tenant: str) -> None:
        progress.change("trees", STARTED, user="ada", tenant=tenant, now=NOW)
        kept = progress.change("trees", DONE, user="ada", tenant=tenant, now=LATER)
        assert (kept.status, kept.percent, kept.minutes_spent) == (ProgressStatus.COMPLETED, 100, 50)
        assert (kept.documents, kept.notes) == (("a.md", "b.md"), "it was fun")
        assert (kept.started_at, kept.completed_at, kept.updated_at) == (NOW, LATER, LATER)
        assert list(progress.of("ada", tenant=tenant)) == [kept]

    def test_who_starts_anew_has_not_completed_it(self, progress: ProgressStore, tenant: str) -> None:
        progress.change("trees", DONE, user="ada", tenant=tenant, now=NOW)
        again = ProgressChange(status=ProgressStatus.IN_PROGRESS)
        kept = progress.change("trees", again, user="ada", tenant=tenant, now=LATER)
        assert (kept.percent, kept.completed_at) == (99, None)

    def test_the_latest_change_comes_first(self, progress: ProgressStore, tenant: str) -> None:
        for concept, now in (("trees", NOW), ("sets", LATER), ("graphs", NOW)):
            progress.change(concept, STARTED, user="ada", tenant=tenant, now=now)
        assert [one.concept for one in progress.of("ada", tenant=tenant)] == ["sets", "graphs", "trees"]

    def test_nobody_sees_or_forgets_anothers_progress(self, progress: ProgressStore, tenant: str) -> None:
        progress.change("trees", STARTED, user="ada", tenant=tenant, now=NOW)
        assert not progress.of("bob", tenant=tenant)
        assert not progress.of("ada", tenant=f"{tenant}-other")
        assert not progress.forget("trees", user="bob", tenant=tenant)
        assert not progress.forget("trees", user="ada", tenant=f"{tenant}-other")
        assert progress.of("ada", tenant=tenant)

    def test_what_is_forgotten_is_gone(self, progress: ProgressStore, tenant: str) -> None:
        progress.change("trees", STARTED, user="ada", tenant=tenant, now=NOW)
        assert progress.forget("trees", user="ada", tenant=tenant)
        assert not progress.of("ada", tenant=tenant)
        assert not progress.forget("trees", user="ada", tenant=tenant)
