"""`aiw gateway` and `aiw serve`: the graph as subgraphs behind a gateway."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.output import remark, show, table
from api.cli.session import session_of
from api.cli.up import Progress, foreground, ignore_signals, stoppable

if TYPE_CHECKING:
    from api.cli.session import Session
    from api.running import State
    from resources.settings import Settings


def serve(
    context: typer.Context,
    subgraph: Annotated[str, typer.Option(help="Module of the graph, such as content.")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 = the kernel chooses.")] = 0,
) -> None:
    """Serve one module of the graph as a subgraph, on loopback, and keep it registered.

    Takes its servers from the platform that runs on the data folder, else from AIW_DATABASE__URL and AIW_GRAPH__URL.
    """
    import os

    from api.gateway import subgraph as subgraphs
    from api.graphql.subgraphs import MODULES
    from api.platform import dagster_environment

    names = [module.name for module in MODULES]
    if subgraph not in names:
        raise typer.BadParameter(f"There is no module {subgraph!r}, only: {', '.join(names)}.")
    settings = _settings_of(session_of(context))
    os.environ.update(dagster_environment(settings))
    raise typer.Exit(subgraphs.serve(subgraph, settings, port=port))


def gateway(
    context: typer.Context,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of the gateway; 0 = the kernel chooses.")] = 0,
) -> None:
    """Serve the graph federated: a process for each module, a supergraph, and a gateway before them. Ctrl-C ends it all.

    Runs beside the platform; starts one where none runs. The first time it fetches the gateway's packages from npm.
    """
    from api.gateway.assembly import Federation, prepare, running
    from api.graphql.subgraphs import MODULES
    from resources.servers.node import find_node

    session = session_of(context)
    place = prepare(find_node())
    with foreground(session):
        state = _running_state(session.settings)
        if state is None or state.api_url is None:
            remark("the gateway runs beside a platform of this machine: start one with `aiw up`.")
            raise typer.Exit(1)
        federation = Federation(
            _settings_of(session),
            place,
            jwks_url=f"{state.api_url}/.well-known/jwks.json",
            names=[module.name for module in MODULES],
            folder=session.settings.data_dir.absolute() / "gateway",
            port=port,
            on_change=Progress(),
        )
        failure = None
        with suppress(KeyboardInterrupt), stoppable(), running(federation):
            rows = [("Gateway", federation.url), ("Supergraph", federation.supergraph_url)]
            show(table(("", "address"), rows))
            remark("up. Ctrl-C stops it.")
            try:
                failure = federation.wait_failed()
            finally:
                ignore_signals()
    if failure is not None:
        remark(failure.detail)
        raise typer.Exit(1)


def _running_state(settings: Settings) -> State | None:
    from api.running import read_state

    state = read_state(settings.data_dir.absolute())
    return state if state is not None and state.running else None


def _settings_of(session: Session) -> Settings:
    """The settings, with what the platform that runs here has found out.

    Raises UnavailableError when none runs and they name no servers, and ConflictError when it asks everybody to log in and they
    would let everybody in.
    """
    from resources.errors import ConflictError, UnavailableError

    settings = session.settings
    state = _running_state(settings)
    if state is None:
        if settings.database.url is None or settings.graph.url is None:
            raise UnavailableError(
                f"No platform runs on {str(settings.data_dir)!r}. Start one with `aiw up`, name its folder in AIW_DATA_DIR, or "
                "set AIW_DATABASE__URL and AIW_GRAPH__URL.",
                dependency="platform",
            )
        return settings
    if state.auth_mode != settings.auth.mode:
        raise ConflictError(
            f"The platform runs with AIW_AUTH__MODE={state.auth_mode}, and here it is {settings.auth.mode}. Give both the same "
            "settings, such as in a file .env.",
            code="settings_differ",
        )
    return _with_servers_of(state, settings)


def _with_servers_of(state: State, settings: Settings) -> Settings:
    from pathlib import Path

    from pydantic import SecretStr

    from resources.settings import GraphSettings

    folder = Path(state.data_dir)
    database, graph, auth = settings.database, settings.graph, settings.auth
    if state.database_url is not None:
        database = database.model_copy(update={"url": SecretStr(state.database_url)})
    if state.graph is not None:
        graph = GraphSettings.model_validate({key: value for key, value in state.graph.items() if value is not None})
    key = folder / "master.key"
    if auth.master_key is None and key.is_file():
        auth = auth.model_copy(update={"master_key": SecretStr(key.read_text().strip())})
    return settings.model_copy(update={"data_dir": folder, "database": database, "graph": graph, "auth": auth})
