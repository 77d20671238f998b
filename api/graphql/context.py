"""What a GraphQL operation works with: the services, who asks, and one loader for each kind of thing that is fetched.

All is found once for a request and belongs to it alone: what one request loads, another never sees, so a batch can only hold
things of one tenant. The services are synchronous; each batch runs in a thread.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

from anyio import to_thread
from strawberry.dataloader import DataLoader

from api.auth import access
from api.graphql.guards import Limits

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from api.dependencies import Services
    from api.graphql.allowances import Allowances
    from resources.tenants.model import Principal

T = TypeVar("T")
K = TypeVar("K")


@dataclass(eq=False)
class GraphContext:
    """The context of one request, or of one socket.

    `keeps`: what was loaded stays known; not on a socket, which lives long. `closing` tells that the process ends. Without
    `allowances` nothing is counted.
    """

    services: Services
    principal: Principal
    keeps: bool = True
    dagster_url: str | None = None
    closing: Callable[[], bool] = lambda: False
    allowances: Allowances | None = None
    limits: Limits = field(default_factory=Limits)
    _loaders: dict[Any, DataLoader[Any, Any]] = field(default_factory=dict)

    @property
    def tenant(self) -> str:
        return self.principal.tenant

    def check(self, scope: str) -> None:
        """Raises NotPermittedError unless the principal may do this."""
        if scope != access.ANYONE and not self.principal.allows(scope):
            raise access.refused(scope)

    async def run(self, verb: Callable[..., T], *arguments: Any, **named: Any) -> T:
        """Call a synchronous service in a thread."""
        return await to_thread.run_sync(partial(verb, *arguments, **named))

    async def load(self, batch: Callable[[GraphContext, list[K]], Awaitable[Sequence[T | Exception]]], key: K) -> T:
        """One thing by its key. Whoever asks for things of the same kind at the same time is answered by one `batch`.

        A batch answers each key in order: with the thing, None where there is none, or an exception for that key alone.
        """
        return await self._loader(batch).load(key)

    async def load_many(
        self, batch: Callable[[GraphContext, list[K]], Awaitable[Sequence[T | Exception | None]]], keys: Sequence[K]
    ) -> list[T]:
        """Several things, those that are not there left out."""
        found = await self._loader(batch).load_many(list(keys))
        return [one for one in found if one is not None]

    def _loader(self, batch: Callable[[GraphContext, list[K]], Awaitable[Sequence[T | Exception]]]) -> DataLoader[K, T]:
        if batch not in self._loaders:
            self._loaders[batch] = DataLoader(partial(batch, self), cache=self.keeps)
        return cast("DataLoader[K, T]", self._loaders[batch])
