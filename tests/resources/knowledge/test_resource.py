from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

from resources.knowledge.neo4j import BoltGraphStore
from resources.knowledge.resource import GraphStoreResource, graph_store
from tests.contracts.graph.given import PANDAS

if TYPE_CHECKING:
    from resources.settings import GraphSettings


def test_runs_of_one_process_share_a_store(graph_settings: GraphSettings, tenant: str) -> None:
    assert graph_settings.url is not None
    resource = GraphStoreResource(
        url=graph_settings.url.get_secret_value(),
        user=graph_settings.user,
        password=graph_settings.password.get_secret_value(),
        database=graph_settings.database,
        pool_size=2,
    )
    context = dg.build_init_resource_context()
    store = resource.create_resource(context)
    assert isinstance(store, BoltGraphStore)
    assert resource.create_resource(context) is store
    store.prepare()
    store.weave(PANDAS, tenant=tenant)
    assert store.counts(tenant=tenant).concepts == 3
    store.close()


def test_stores_of_different_addresses_are_different() -> None:
    first = graph_store("bolt://127.0.0.1:1", "root", "", "graph")
    assert graph_store("bolt://127.0.0.1:2", "root", "", "graph") is not first
