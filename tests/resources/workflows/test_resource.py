from __future__ import annotations

from threading import Event

import dagster as dg
import pytest

from resources.errors import NotPermittedError, UnavailableError
from resources.workflows.resource import WebResource
from resources.workflows.web import WebClient, WebRequest


def client(*allowed: str) -> WebClient:
    return WebResource(allowed=list(allowed)).create_resource(dg.build_init_resource_context())


def call(client: WebClient) -> None:
    # Port 1 is never listened to, so that a call that may be made finds nobody.
    client.send(WebRequest("GET", "http://127.0.0.1:1/"), tenant="default", cancel=Event())


def test_the_loopback_is_refused_unless_the_operator_allows_it() -> None:
    with pytest.raises(NotPermittedError):
        call(client())
    with pytest.raises(UnavailableError):
        call(client("127.0.0.0/8"))


def test_runs_share_a_client_and_so_its_circuit_breakers() -> None:
    assert client("10.0.0.0/8") is client("10.0.0.0/8")
