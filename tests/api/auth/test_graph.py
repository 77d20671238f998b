"""Who may change the graph by a query, and see what is recommended to others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.api.auth.people import People

if TYPE_CHECKING:
    import httpx

    from api.dependencies import Services


def test_a_reader_cannot_change_the_graph_by_a_query(guarded: httpx.Client, services: Services) -> None:
    people = People(services.identity, services.identity.home)
    viewer, member = people.headers("viewer"), people.headers("member")
    body = {"query_type": "create_concept", "parameters": {"name": "Forbidden"}}
    assert guarded.post("/api/v1/query", json=body, headers=viewer).status_code == 403
    assert guarded.post("/api/v1/query", json=body, headers=member).status_code == 200
    ada = people.user("member")
    for headers, status in ((viewer, 404), (people.headers("admin"), 200)):
        for name in (str(ada.id), ada.username):
            assert guarded.get(f"/api/v1/recommendations/{name}", headers=headers).status_code == status
