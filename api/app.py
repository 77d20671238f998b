"""The web process, put together: the only place of it that reads settings, builds services and wires faces to them."""

from __future__ import annotations

import threading
from contextlib import asynccontextmanager
from functools import partial
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from anyio import to_thread
from fastapi import Depends, FastAPI
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.responses import HTMLResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles

from api import problems
from api.auth.limiter import Rates
from api.auth.oidc import OidcLogin
from api.auth.principal import Authenticate, authorize
from api.auth.startup import check_auth
from api.composition import build_services
from api.hot.routes import HotRoutes
from api.login_page import LoginPage
from api.matching import IndexedRoutes
from api.metrics.collector import Collector
from api.metrics.http import HttpTally
from api.middleware.auth import AuthMiddleware
from api.middleware.exchange import ExchangeMiddleware
from api.middleware.heads import HeadsMiddleware
from api.middleware.limits import BodyLimitMiddleware
from api.middleware.old_paths import OldPathsMiddleware
from api.middleware.repeats import RepeatsMiddleware
from api.middleware.security import LoopbackOnlyMiddleware
from api.openapi import complete
from api.proxy import DagsterProxy, access_of
from api.realtime.hub import Hub, HubLimits
from api.realtime.socket import SocketEndpoint
from api.routes import (
    approvals,
    auth,
    backfills,
    budgets,
    content,
    curation,
    documents,
    event_routes,
    events,
    executions,
    graph,
    graph_queries,
    health,
    hooks,
    keys,
    knowledge,
    mcp_servers,
    metrics,
    node_types,
    paths,
    plugins,
    projections,
    prompts,
    registry,
    replays,
    runs,
    search,
    statistics,
    streams,
    subscriptions,
    tail,
    templates,
    tenants,
    topics,
    usage,
    users,
    workflows,
)
from api.running import UI_PATH
from api.tail import Tails
from api.version import VERSION
from resources.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from starlette.types import ASGIApp

    from api.dependencies import Services

V1 = "/api/v1"
_ROUTES = (
    tail,  # before the others of /events
    events,
    streams,
    subscriptions,
    projections,
    event_routes,
    replays,
    documents,
    content,
    search,
    graph,
    graph_queries,
    curation,
    knowledge,
    paths,
    prompts,
    usage,
    budgets,
    statistics,
    runs,
    workflows,
    executions,
    node_types,
    templates,
    hooks,
    backfills,
    topics,
    registry,
    auth,
    tenants,
    users,
    keys,
    approvals,
    plugins,
    mcp_servers,
    metrics,
)
BODY_LIMIT = 4 * 1024 * 1024
_FORM_OVERHEAD = 256 * 1024
_ASSETS = "/docs/assets"
_EXPOSED = [
    "X-Correlation-ID",
    "ETag",
    "Link",
    "Location",
    "Idempotency-Replayed",
    "Retry-After",
    "RateLimit",
    "RateLimit-Policy",
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
]
# The pages start themselves with a line of script; nothing on them is fetched from elsewhere.
_ON_PAGES = {
    "Content-Security-Policy": "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; worker-src blob:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
}
_TAGS = [
    {"name": "documents", "description": "Hand documents in and see what became of them."},
    {"name": "graph", "description": "The graph of knowledge: who supports what, ways, ranks, communities, merges."},
    {"name": "knowledge", "description": "Search, answers with citations, concepts and learning paths."},
    {"name": "events", "description": "The append-only record of all that happened."},
    {"name": "subscriptions", "description": "Who works events off, how far they are, and their dead letters."},
    {"name": "projections", "description": "Read models: what the events add up to."},
    {"name": "routes", "description": "Rules: which event starts a workflow, or goes to a subscription."},
    {"name": "replays", "description": "Stored events, delivered once more."},
    {"name": "plugins", "description": "Modules of WebAssembly that work on documents, and may do nothing else."},
    {"name": "mcp-servers", "description": "Servers whose tools workflows and agents call."},
    {"name": "prompts", "description": "What models are told: versions that never change, labels that move."},
    {"name": "workflows", "description": "Described once, published without a deploy, run at once."},
    {"name": "templates", "description": "Workflows as a catalogue to choose from."},
    {"name": "usage", "description": "What models were asked, what it cost, and what follows from it."},
    {"name": "budgets", "description": "What may be spent, and at which prices."},
    {"name": "runs", "description": "What Dagster does about it."},
    {"name": "approvals", "description": "Uses of tools that agents ask for, and people decide."},
    {"name": "auth", "description": "Log in and out, and see who one is."},
    {"name": "tenants", "description": "Whose platform this is, for its admins."},
    {"name": "users", "description": "Who may do what in the tenant."},
    {"name": "keys", "description": "API keys, and the tenant's keys of AI providers."},
    {"name": "realtime", "description": "Messages on topics, who is there, and rules of where messages go."},
    {"name": "registry", "description": "Agents that run elsewhere, found by what they can do."},
    {"name": "health", "description": "Whether the platform is well."},
    {"name": "metrics", "description": "What the platform does, in numbers, for those who run it."},
]


def create_app(services: Services | None = None, settings: Settings | None = None) -> FastAPI:
    """The application. Without `services` it builds the real ones from `settings`, and closes them when it shuts down.

    Given services belong to the caller and are left open. Raises InvalidInputError when the settings are incomplete.
    """
    settings = settings or Settings()
    check_auth(settings)
    owned = build_services(settings) if services is None else None
    app = _App(
        title="AI Workflow Engine",
        version=VERSION,
        summary="Documents in, knowledge out, every step a run with lineage.",
        openapi_tags=_TAGS,
        docs_url=None,
        redoc_url=None,
        # A request that waits for a server holds one thread, and most of them one connection.
        lifespan=partial(_lifespan, owned=owned, threads=max(16, 2 * settings.database.pool_size)),
        # Nothing reads it yet, and it costs about a tenth of a small request.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    used = services or owned
    assert used is not None
    app.state.services = used
    app.state.tenant = settings.tenant
    app.state.tails = Tails()
    realtime = settings.realtime
    room = HubLimits(capacity=realtime.capacity, sessions_per_user=realtime.sessions_per_user)
    app.state.hub = Hub(used.publisher, used.presence, used.events, used.run_log, limits=room)
    app.state.public_url = settings.api.public_url
    app.state.tally = HttpTally()
    app.state.metrics = Collector(
        used, app.state.tally, sockets=lambda: int(app.state.hub.open), data_dir=settings.data_dir
    )
    app.state.rates = Rates(settings.limits)
    app.state.authenticate = Authenticate(used.identity.verified, local_tenant=_local_tenant(app, settings))
    app.state.oidc = OidcLogin(settings.auth, used.identity) if settings.auth.oidc_issuer else None
    problems.install(app)
    _add_middleware(app, settings, used)
    guard = [Depends(authorize)]
    for routes in _ROUTES:
        app.include_router(routes.router, prefix=V1, dependencies=guard)
    app.router.routes.append(WebSocketRoute("/ws", SocketEndpoint()))
    _add_dagster(app, settings, used)
    _add_mcp(app, settings, used)
    _add_graphql(app, settings, used)
    for router in (auth.aliases, content.aliases, health.router):
        app.include_router(router, dependencies=guard)
    app.include_router(health.aliases, prefix=V1, dependencies=guard)
    _add_docs(app)
    app.router.routes.insert(0, IndexedRoutes(app.router.routes))
    return app


class _App(FastAPI):
    """Without the framework's outermost layers: errors, limits of bodies and telemetry are those of our own middleware."""

    def build_middleware_stack(self) -> ASGIApp:
        app: ASGIApp = AsyncExitStackMiddleware(self.router)
        app = ExceptionMiddleware(app, handlers=self.exception_handlers)
        for layer, positional, named in reversed(self.user_middleware):
            app = layer(app, *positional, **named)
        return app


@asynccontextmanager
async def _lifespan(app: FastAPI, *, owned: Services | None, threads: int) -> AsyncIterator[None]:
    to_thread.current_default_thread_limiter().total_tokens = threads
    if owned is not None:
        threading.Thread(target=owned.warm, name="warm", daemon=True).start()
    try:
        async with app.state.dagster.running(), app.state.mcp.running():
            yield
    finally:
        await app.state.hub.stop()
        if app.state.services.lookups is not None:
            await app.state.services.lookups.close()
        if owned is not None:
            await to_thread.run_sync(owned.close)


def _add_middleware(app: FastAPI, settings: Settings, services: Services) -> None:
    # Starlette runs the one that was added last first.
    app.add_middleware(RepeatsMiddleware, answers=services.answers)
    app.add_middleware(HotRoutes, services=services)
    app.add_middleware(BodyLimitMiddleware, limit=BODY_LIMIT, limits=_limits_of_uploads(settings))
    local_tenant = _local_tenant(app, settings)
    app.add_middleware(
        AuthMiddleware,
        verified=services.identity.verified,
        rates=app.state.rates,
        local_tenant=local_tenant,
        shared=services.rate_buckets,
    )
    if local_tenant is not None:  # what lets everybody in must be asked by nobody else's page
        app.add_middleware(LoopbackOnlyMiddleware)
    if origins := [origin.strip() for origin in settings.api.cors_origins.split(",") if origin.strip()]:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=_EXPOSED,
            max_age=3600,
        )
    app.add_middleware(ExchangeMiddleware, tally=app.state.tally, timeout=settings.api.request_timeout)
    app.add_middleware(HeadsMiddleware)
    app.add_middleware(OldPathsMiddleware)


def _limits_of_uploads(settings: Settings) -> dict[str, int]:
    """The paths that take whole documents: as they are, or in JSON, where base64 makes them longer by a third."""
    upload = settings.content.max_bytes + _FORM_OVERHEAD
    in_json = settings.content.max_bytes * 4 // 3 + _FORM_OVERHEAD
    return {
        f"{V1}/documents": upload,
        f"{V1}/analyze/upload": upload,
        **dict.fromkeys(("/analyze", f"{V1}/analyze", f"{V1}/analyze/batch"), in_json),
    }


def _local_tenant(app: FastAPI, settings: Settings) -> Callable[[], str] | None:
    return (lambda: str(app.state.tenant)) if settings.auth.mode == "local" else None


def _add_dagster(app: FastAPI, settings: Settings, services: Services) -> None:
    """Dagster's UI, for those who may see it, and the page to log in to it."""
    home, public_url = services.identity.home, settings.api.public_url
    upstream = settings.dagster.url
    app.state.dagster = DagsterProxy(upstream, authenticate=app.state.authenticate, home=home, public_url=public_url)
    app.router.routes.append(Mount(UI_PATH, app.state.dagster))
    elsewhere = settings.auth.oidc_issuer is not None
    page = LoginPage(services.identity, check=partial(access_of, home=home), public_url=public_url, elsewhere=elsewhere)
    app.state.login_page = page
    app.router.routes.extend(page.routes)


def _add_mcp(app: FastAPI, settings: Settings, services: Services) -> None:
    """The MCP servers, and what tells clients how to get in."""
    from api.mcp.build import build_face
    from api.mcp.face import METADATA, PATH, ResourceMetadata

    face = build_face(services, settings, authenticate=app.state.authenticate, rates=app.state.rates)
    app.state.mcp = face
    with_login = settings.auth.mode != "local"
    metadata = ResourceMetadata(face, login=with_login)
    app.router.routes.extend(
        [
            Route(METADATA, metadata),
            Mount(METADATA + PATH, metadata),
            Route(METADATA + PATH, metadata),
            WebSocketRoute(f"{PATH}/ws", face),
            Mount(PATH, face),
            Route(PATH, face),
        ]
    )
    if with_login:
        from api.mcp.oauth.routes import routes_of

        app.router.routes.extend(routes_of(services.identity, scopes=face.scopes, base_url=face.base_url))


def _add_graphql(app: FastAPI, settings: Settings, services: Services) -> None:
    """The graph, its text, and GraphiQL."""
    from api.graphql import view
    from api.graphql.allowances import Allowances
    from api.graphql.guards import Limits
    from api.graphql.schema import unified

    face = view.GraphFace(
        unified(),
        services,
        authenticate=app.state.authenticate,
        dagster_url=settings.dagster.url,
        closing=lambda: app.state.tails.closing,
        allowances=Allowances.of(settings, app.state.rates),
        limits=Limits.of(settings.graphql),
    )
    app.router.routes.extend(
        [
            Route(view.PATH, face),
            WebSocketRoute(view.PATH, face),
            Mount(view.ASSETS, view.assets()),
            Route(view.SCHEMA_PATH, face.schema_text),
        ]
    )


def _add_docs(app: FastAPI) -> None:
    """`/docs` with Swagger UI and `/redoc`, from an installed package: nothing is fetched from elsewhere."""
    app.mount(_ASSETS, StaticFiles(directory=str(files("fastapi_offline").joinpath("static"))), name="docs-assets")

    async def swagger() -> HTMLResponse:
        page = get_swagger_ui_html(
            openapi_url="/openapi.json",
            title=app.title,
            swagger_js_url=f"{_ASSETS}/swagger-ui-bundle.js",
            swagger_css_url=f"{_ASSETS}/swagger-ui.css",
            swagger_favicon_url=f"{_ASSETS}/favicon.png",
        )
        return HTMLResponse(page.body, headers=_ON_PAGES)

    async def redoc() -> HTMLResponse:
        page = get_redoc_html(
            openapi_url="/openapi.json",
            title=app.title,
            redoc_js_url=f"{_ASSETS}/redoc.standalone.js",
            redoc_favicon_url=f"{_ASSETS}/favicon.png",
            with_google_fonts=False,
        )
        # Its maker's logo would be fetched from elsewhere.
        content = bytes(page.body).replace(b"</head>", b'<style>a[href*="redocly"]{display:none}</style></head>')
        return HTMLResponse(content, headers=_ON_PAGES)

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = complete(app, tags=_TAGS)
        return app.openapi_schema

    app.add_api_route("/docs", swagger, include_in_schema=False)
    app.add_api_route("/redoc", redoc, include_in_schema=False)
    app.openapi = openapi  # type: ignore[method-assign]  # the framework's documented way to complete the schema
