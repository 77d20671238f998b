"""One module of the graph as a process of its own: `python -m api.gateway.subgraph NAME [--port N]`.

The same schema, loaders and services as in the unified graph, behind the same doors: the gateway sends each caller's token on,
and it is verified here again. Serves queries, mutations and subscriptions (server-sent events) on loopback, to the gateway.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any, Final

from anyio import to_thread
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from api.auth.limiter import Rates
from api.auth.principal import Authenticate
from api.gateway.registry import Heart, Subgraph, Subgraphs
from api.graphql.allowances import Allowances
from api.graphql.guards import Limits
from api.graphql.schema import subgraph
from api.graphql.view import PATH, SCHEMA_PATH, GraphFace
from api.listening import bind
from api.middleware.auth import AuthMiddleware
from api.middleware.exchange import ExchangeMiddleware
from api.middleware.limits import BodyLimitMiddleware
from api.middleware.security import LoopbackOnlyMiddleware
from api.routes.health import alive
from api.server import Server
from resources.errors import InvalidInputError, PlatformError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from api.dependencies import Services
    from resources.settings import Settings

_BODY_LIMIT: Final = 4 * 1024 * 1024
_NO_LIMIT: Final = 10**9
_THREADS: Final = 16


def create_subgraph(name: str, services: Services, settings: Settings) -> Starlette:
    """The application of one module. The services belong to the caller."""
    local_tenant = (lambda: settings.tenant) if settings.auth.mode == "local" else None
    app = Starlette()
    app.state.closing = False
    # All requests come from the gateway's address.
    limits = settings.limits.model_copy(update={"address_per_minute": _NO_LIMIT, "address_burst": _NO_LIMIT})
    rates = Rates(limits)
    face = GraphFace(
        subgraph(name),
        services,
        authenticate=Authenticate(services.identity.verified, local_tenant=local_tenant),
        dagster_url=settings.dagster.url,
        closing=lambda: bool(app.state.closing),
        allowances=Allowances.of(settings, rates),
        limits=Limits.of(settings.graphql),
    )

    async def live(request: Request) -> Response:
        del request
        return JSONResponse(alive().model_dump(mode="json"))

    app.router.routes.extend(
        [
            Route(PATH, face),
            Route(SCHEMA_PATH, face.schema_text),
            Route("/live", live),
        ]
    )
    app.add_middleware(BodyLimitMiddleware, limit=_BODY_LIMIT, limits={})
    app.add_middleware(
        AuthMiddleware,
        verified=services.identity.verified,
        rates=rates,
        local_tenant=local_tenant,
        shared=services.rate_buckets,
    )
    app.add_middleware(LoopbackOnlyMiddleware)
    app.add_middleware(ExchangeMiddleware, timeout=settings.api.request_timeout)
    return app


def sdl_of(name: str) -> str:
    """What the subgraph registers, and what composers read."""
    return subgraph(name).as_str()


class _Registered(Server):
    """A server that registers as soon as it serves, and says when it ends."""

    def __init__(self, name: str, app: Starlette, listener: Any, subgraphs: Subgraphs) -> None:
        super().__init__(app, listener)
        self._heart = Heart(subgraphs, Subgraph(name, f"{self.url}{PATH}", sdl_of(name)))

    async def startup(self, sockets: Any = None) -> None:
        await to_thread.run_sync(self._heart.start)
        to_thread.current_default_thread_limiter().total_tokens = _THREADS
        await super().startup(sockets=sockets)

    async def shutdown(self, sockets: Any = None) -> None:
        self.config.app.state.closing = True  # type: ignore[union-attr]  # subscriptions would hold the end up
        await to_thread.run_sync(self._heart.stop)
        await super().shutdown(sockets=sockets)


def serve(name: str, settings: Settings, *, port: int = 0) -> int:
    """Serve the module until SIGINT or SIGTERM; returns the exit code (1 = it could not start, 2 = it was called wrongly)."""
    from api.auth.startup import check_auth
    from api.composition import build_services
    from resources.telemetry.logging import configure_logging

    configure_logging(level=settings.log.level, format=settings.log.format, service=f"subgraph-{name}")
    try:
        check_auth(settings)
        services = build_services(settings)
        try:
            app = create_subgraph(name, services, settings)
            server = _Registered(name, app, bind("127.0.0.1", port), Subgraphs(services.agents))
            server.serve_forever()
        finally:
            services.close()
    except PlatformError as error:
        print(f"subgraph {name}: {error.message}", file=sys.stderr)  # noqa: T201 - for the person who started it
        return 2 if isinstance(error, InvalidInputError) else 1
    return 0 if server.started else 1


def main(arguments: Sequence[str] | None = None) -> int:
    """As `serve`, with the settings of the environment."""
    from api.graphql.subgraphs import MODULES
    from resources.settings import Settings

    parser = argparse.ArgumentParser(prog="python -m api.gateway.subgraph", description=__doc__)
    parser.add_argument("name", choices=[module.name for module in MODULES])
    parser.add_argument("--port", type=int, default=0, help="0 = the kernel chooses")
    options = parser.parse_args(arguments)
    return serve(options.name, Settings(), port=options.port)


if __name__ == "__main__":
    sys.exit(main())
