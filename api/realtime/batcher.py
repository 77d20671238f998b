"""Gathers what many connections want of the database, and does it in one go: while one batch is written, the next gathers."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING, Generic, TypeVar

from anyio import to_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from anyio import CapacityLimiter

_Item = TypeVar("_Item")
_Answer = TypeVar("_Answer")


class Batcher(Generic[_Item, _Answer]):
    """`work` gets a key and items, in a thread, and gives an answer or an exception for each."""

    def __init__(
        self,
        work: Callable[[str, list[_Item]], Sequence[_Answer | Exception]],
        *,
        limiter: CapacityLimiter,
        size: int = 500,
    ) -> None:
        self._work = work
        self._limiter = limiter
        self._size = size
        self._waiting: dict[str, list[tuple[_Item, asyncio.Future[_Answer]]]] = defaultdict(list)
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def submit(self, key: str, item: _Item) -> _Answer:
        """The answer for one item. Raises what `work` raised or gave for it."""
        return await self.put(key, item)

    def put(self, key: str, item: _Item) -> asyncio.Future[_Answer]:
        """Hand an item in without waiting for it."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[_Answer] = loop.create_future()
        self._waiting[key].append((item, answer))
        if key not in self._tasks:
            self._tasks[key] = loop.create_task(self._run(key))
        return answer

    async def settled(self) -> None:
        """Wait until nothing waits."""
        while self._tasks:
            await asyncio.wait(list(self._tasks.values()))

    async def _run(self, key: str) -> None:
        try:
            while batch := self._waiting[key][: self._size]:
                del self._waiting[key][: self._size]
                try:
                    answers = await to_thread.run_sync(
                        self._work, key, [item for item, _ in batch], limiter=self._limiter
                    )
                except Exception as error:  # noqa: BLE001  # each who waits gets it
                    answers = [error] * len(batch)
                for (_, future), answer in zip(batch, answers, strict=True):
                    if future.done():
                        continue
                    if isinstance(answer, Exception):
                        future.set_exception(answer)
                    else:
                        future.set_result(answer)
        finally:
            del self._tasks[key]
            if not self._waiting[key]:
                del self._waiting[key]
