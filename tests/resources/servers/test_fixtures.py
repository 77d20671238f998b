"""The servers that the tests get are real ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import neo4j
import psycopg

if TYPE_CHECKING:
    from resources.database.postgres import Database
    from resources.settings import GraphSettings


def test_the_database_is_migrated(database: Database) -> None:
    with database.transaction() as connection:
        assert connection.execute("SELECT to_regclass('aiw.schema_migration')").fetchone() == ("schema_migration",)


def test_an_empty_database_has_no_schema(empty_database_url: str) -> None:
    with psycopg.connect(empty_database_url) as connection:
        assert connection.execute("SELECT to_regnamespace('aiw')").fetchone() == (None,)


def test_pgvector_and_trigrams_are_there(empty_database_url: str) -> None:
    with psycopg.connect(empty_database_url) as connection:
        connection.execute("CREATE EXTENSION vector")
        connection.execute("CREATE EXTENSION pg_trgm")
        assert connection.execute("SELECT '[1,0]'::vector <=> '[0,1]'::vector").fetchone() == (1.0,)


def test_the_graph_keeps_what_is_written(graph_settings: GraphSettings, tenant: str) -> None:
    assert graph_settings.url is not None
    credentials = (graph_settings.user, graph_settings.password.get_secret_value())
    with neo4j.GraphDatabase.driver(graph_settings.url.get_secret_value(), auth=credentials) as driver:
        driver.execute_query("CREATE (:Probe {tenant: $tenant})", tenant=tenant, database_=graph_settings.database)
        found = driver.execute_query(
            "MATCH (p:Probe {tenant: $tenant}) RETURN count(p) AS n", tenant=tenant, database_=graph_settings.database
        )
    assert found.records[0]["n"] == 1
