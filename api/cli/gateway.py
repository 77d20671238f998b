"""`aiw gateway` and `aiw serve`: the graph as subgraphs behind a gateway."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.output import remark, show, table
from api.cli.session import session_of
from api.cli.up import Progress, foreground, ignore_signals, stoppable

if TYPE_CHECKING:
    from api.running import State
    from resources.settings import Settings


def serve(
    subgraph: Annotated[str, typer.Option(help="Module of the graph, such as content.")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 = the kernel chooses.")] = 0,
) -> None:
    """Serve one module of the graph as a subgraph, on loopback, and keep it registered. Needs the platform's settings."""
    from api.gateway.subgraph import main

    raise typer.Exit(main([subgraph, "--port", str(port)]))


def gateway(
    context: typer.Context,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of the gateway; 0 = the kernel chooses.")] = 0,
) -> None:
    """Serve the graph federated: a process for each module, a supergraph, and a gateway before them. Ctrl-C ends it all.

    Runs beside the platform; starts one where none runs. The first time it fetches the gateway's packages from npm.
    """
    from api.gateway.assembly import Federation, prepare, running
    from api.graphql.subgraphs import MODULES
    from api.running import read_state
    from resources.servers.node import find_node

    session = session_of(context)
    place = prepare(find_node())
    with foreground(session):
        state = read_state(session.settings.data_dir.absolute())
        if state is None or state.api_url is None or not state.running:
            remark("the gateway runs beside a platform of this machine: start one with `aiw up`.")
            raise typer.Exit(1)
        federation = Federation(
            _settings_of(session.settings, state),
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


def _settings_of(settings: Settings, state: State) -> Settings:
    """The settings, with what the running platform has found out."""
    from pathlib import Path

    from pydantic import SecretStr

    from resources.settings import GraphSettings

    folder = Path(state.data_dir)
    found = {"data_dir": folder}
    database, graph, auth = settings.database, settings.graph, settings.auth
    if state.database_url is not None:
        database = database.model_copy(update={"url": SecretStr(state.database_url)})
    if state.graph is not None:
        graph = GraphSettings.model_validate({key: value for key, value in state.graph.items() if value is not None})
    key = folder / "master.key"
    if auth.master_key is None and key.is_file():
        auth = auth.model_copy(update={"master_key": SecretStr(key.read_text().strip())})
    return settings.model_copy(update={**found, "database": database, "graph": graph, "auth": auth})
