"""What every way of telling news promises. Subclass and give two processes' ends of it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from resources.realtime.model import Notice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resources.realtime.store import Fanout


class Ear:
    """Keeps what it hears of one tenant, and whether anything was lost."""

    def __init__(self, tenant: str) -> None:
        self.tenant = tenant
        self.heard: list[Notice] = []
        self.lost = threading.Event()
        self._news = threading.Condition()

    def __call__(self, notices: Sequence[Notice]) -> None:
        with self._news:
            self.heard += [notice for notice in notices if notice.tenant == self.tenant]
            self._news.notify_all()
        if any(notice.kind == "lost" for notice in notices):
            self.lost.set()

    def wait_for(self, notice: Notice) -> None:
        with self._news:
            assert self._news.wait_for(lambda: notice in self.heard, 30)


class FanoutContract:
    @pytest.fixture
    def here(self) -> Fanout:
        raise NotImplementedError

    @pytest.fixture
    def there(self, here: Fanout) -> Fanout:
        """Another process's."""
        raise NotImplementedError

    def test_what_is_told_is_heard_by_all_and_in_its_order(self, here: Fanout, there: Fanout, tenant: str) -> None:
        mine, theirs = Ear(tenant), Ear(tenant)
        here.watch(mine)
        there.watch(theirs)
        told = [Notice("message", tenant, (str(number),)) for number in range(20)]
        here.tell(told[:15])
        here.tell(told[15:])
        for ear in (mine, theirs):
            ear.wait_for(told[-1])
            assert ear.heard == told

    def test_ids_travel_as_they_are(self, here: Fanout, there: Fanout, tenant: str) -> None:
        ear = Ear(tenant)
        there.watch(ear)
        notice = Notice("typing", tenant, ('dm_ä_"b"', "ä\n", "start"))
        here.tell([notice])
        ear.wait_for(notice)

    def test_who_no_longer_watches_hears_nothing(self, here: Fanout, there: Fanout, tenant: str) -> None:
        gone, still = Ear(tenant), Ear(tenant)
        cancel = there.watch(gone)
        there.watch(still)
        cancel()
        here.tell([Notice("rules", tenant)])
        still.wait_for(Notice("rules", tenant))
        assert gone.heard == []

    def test_one_who_fails_keeps_nobody_from_hearing(self, here: Fanout, there: Fanout, tenant: str) -> None:
        def fail(_: Sequence[Notice]) -> None:
            raise ZeroDivisionError

        ear = Ear(tenant)
        cancel = there.watch(fail)
        there.watch(ear)
        here.tell([Notice("rules", tenant)])
        ear.wait_for(Notice("rules", tenant))
        cancel()
