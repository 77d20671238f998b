"""Nodes that call other machines, http and notify, against a real server on the loopback."""

from __future__ import annotations

import base64
import hashlib
import hmac
import socket
import threading
import time
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from pydantic import ValidationError

from assets.nodes import NODES
from resources.ai.egress import EgressPolicy
from resources.errors import (
    ConflictError,
    InvalidInputError,
    LimitExceededError,
    NotPermittedError,
    UnavailableError,
    UpstreamError,
)
from resources.resilience.breaker import BreakerPolicy, Breakers
from resources.workflows.spec import NodeSpec
from resources.workflows.web import WebClient
from tests.assets.nodes.web import Answer, WebServer, serving
from tests.fixtures.nodes import Bench

if TYPE_CHECKING:
    from collections.abc import Iterator

LOOPBACK = EgressPolicy(allowed=(ip_network("127.0.0.0/8"),))
JSON = {"content-type": "application/json"}


@pytest.fixture
def server() -> Iterator[WebServer]:
    with serving() as server:
        yield server


@pytest.fixture
def bench() -> Bench:
    return Bench(resources={"web": WebClient(LOOPBACK)}, correlation_id="correlation-1")


def problems(type: str, **config: Any) -> list[str]:
    check = NODES[type].check
    assert check is not None
    return [found.path for found in check(NodeSpec(id="n", type=type, config=config))]


# http


def test_json_comes_back_as_json(bench: Bench, server: WebServer) -> None:
    server.will(Answer(body=b'{"rate": 1.5}', headers=JSON))
    output = bench.run("http", url=f"{server.url}/rates", query={"base": "EUR", "tag": ["a", "b"], "none": None})
    assert (output["status"], output["format"], output["body"]) == (200, "json", {"rate": 1.5})
    assert server.asked[0].path == "/rates?base=EUR&tag=a&tag=b"


def test_the_correlation_id_goes_with_the_call(bench: Bench, server: WebServer) -> None:
    bench.run("http", url=server.url)
    assert server.asked[0].headers["x-correlation-id"] == "correlation-1"


def test_a_body_is_sent_as_json_or_as_text(bench: Bench, server: WebServer) -> None:
    bench.run("http", method="POST", url=server.url, json={"a": 1})
    bench.run("http", method="POST", url=server.url, body="plain", headers={"Content-Type": "text/plain"})
    assert [(asked.body, asked.headers["content-type"]) for asked in server.asked] == [
        (b'{"a":1}', "application/json"),
        (b"plain", "text/plain"),
    ]


def test_a_call_has_one_body(bench: Bench, server: WebServer) -> None:
    with pytest.raises(InvalidInputError, match="either"):
        bench.run("http", method="POST", url=server.url, json={}, body="")
    assert server.asked == []


def test_bytes_come_back_as_base64(bench: Bench, server: WebServer) -> None:
    server.will(Answer(body=b"\xff\xfe\x00"))
    output = bench.run("http", url=server.url)
    assert (output["format"], base64.b64decode(output["body"])) == ("base64", b"\xff\xfe\x00")


def test_what_is_not_json_where_json_was_asked_for_is_an_error(bench: Bench, server: WebServer) -> None:
    server.will(Answer(body=b"<html>", headers=JSON))
    with pytest.raises(UpstreamError) as caught:
        bench.run("http", url=server.url)
    assert caught.value.code == "http_body_invalid"


def test_an_unexpected_status_is_an_error_with_what_was_said(bench: Bench, server: WebServer) -> None:
    server.will(Answer(404, b"no such rate"))
    with pytest.raises(UpstreamError, match="status 404") as caught:
        bench.run("http", url=f"{server.url}/x?token=secret")
    assert caught.value.details["body"] == "no such rate"
    assert not caught.value.retryable
    assert "secret" not in caught.value.message


def test_an_expected_status_is_none(bench: Bench, server: WebServer) -> None:
    server.will(Answer(404, b"nothing"))
    assert bench.run("http", url=server.url, expect=[200, 404])["body"] == "nothing"


def test_redirects_are_not_followed(bench: Bench, server: WebServer) -> None:
    server.will(Answer(302, headers={"location": "http://169.254.169.254/latest"}))
    with pytest.raises(UpstreamError, match="not followed"):
        bench.run("http", url=server.url)
    assert len(server.asked) == 1


def test_a_service_that_fails_once_is_asked_again(bench: Bench, server: WebServer) -> None:
    server.will(Answer(503), Answer(body=b"fine"))
    assert bench.run("http", url=server.url)["body"] == "fine"


def test_a_dropped_connection_is_tried_again_where_that_is_safe(bench: Bench, server: WebServer) -> None:
    server.will(Answer(drop=True), Answer(body=b"fine"))
    assert bench.run("http", method="PUT", url=server.url)["body"] == "fine"


@pytest.mark.parametrize("answer", [Answer(500), Answer(502), Answer(drop=True)], ids=["500", "502", "drop"])
def test_what_may_have_been_done_is_not_done_twice(bench: Bench, server: WebServer, answer: Answer) -> None:
    server.will(answer)
    with pytest.raises((UpstreamError, UnavailableError)) as caught:
        bench.run("http", method="POST", url=server.url, json={})
    assert len(server.asked) == 1
    assert not caught.value.retryable  # nor does the engine try the node again


def test_too_many_requests_are_obeyed(bench: Bench, server: WebServer) -> None:
    server.will(Answer(429, headers={"retry-after": "120"}))
    with pytest.raises(LimitExceededError) as caught:
        bench.run("http", url=server.url)
    assert (caught.value.retry_after, len(server.asked)) == (120.0, 1)


def test_an_answer_that_is_too_large_is_refused(bench: Bench, server: WebServer) -> None:
    server.will(Answer(body=b"x" * 5000))
    with pytest.raises(LimitExceededError) as caught:
        bench.run("http", url=server.url, max_bytes=4999)
    assert caught.value.code == "response_too_large"


def test_an_unasked_encoding_is_refused(bench: Bench, server: WebServer) -> None:
    server.will(Answer(body=b"x", headers={"content-encoding": "zstd"}))
    with pytest.raises(UpstreamError, match="encoding"):
        bench.run("http", url=server.url)


def test_a_service_that_does_not_answer_is_not_waited_for(bench: Bench, server: WebServer) -> None:
    server.will(Answer(hang=True))
    with pytest.raises(UnavailableError) as caught:
        bench.run("http", url=server.url, timeout=0.1, retries=0)
    assert caught.value.code == "http_timeout"


def test_the_nodes_timeout_holds_for_all_tries_together(bench: Bench, server: WebServer) -> None:
    server.will(Answer(hang=True))
    began = time.monotonic()
    with pytest.raises((UnavailableError, LimitExceededError)):
        bench.execute(NodeSpec(id="n", type="http", timeout=0.3, config={"url": server.url, "retries": 10}))
    assert time.monotonic() - began < 5


def test_a_cancelled_run_gives_up_the_call(bench: Bench, server: WebServer) -> None:
    server.will(Answer(hang=True))

    def cancel() -> None:
        server.arrived.wait(60)
        bench.cancel.set()

    threading.Thread(target=cancel, daemon=True).start()
    with pytest.raises(ConflictError) as caught:
        bench.run("http", url=server.url)
    assert caught.value.code == "node_cancelled"


def test_nobody_listening_is_told_as_unreachable() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        bench = Bench(resources={"web": WebClient(LOOPBACK)})
        with pytest.raises(UnavailableError) as caught:
            bench.run("http", method="POST", url=f"http://127.0.0.1:{free.getsockname()[1]}", retries=0)
    assert (caught.value.code, caught.value.retryable) == ("http_unreachable", True)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1/",
        "http://localhost:1/",
        "http://[::1]:1/",
        "http://10.0.0.1/",
        "http://169.254.169.254/latest/meta-data",
        "http://[::ffff:127.0.0.1]/",
        "http://0.0.0.0/",
    ],
)
@pytest.mark.parametrize("type", ["http", "notify"])
def test_addresses_that_are_not_public_are_refused(type: str, url: str) -> None:
    message: Any = {"message": {}} if type == "notify" else {}
    with pytest.raises(NotPermittedError) as caught:
        Bench(resources={"web": WebClient()}).run(type, url=url, **message)
    assert caught.value.code == "egress_refused"


@pytest.mark.parametrize(
    "url", ["ftp://example.org", "file:///etc/passwd", "//example.org", "http://u:p@example.org", "http://a:b"]
)
def test_what_is_no_address_of_the_web_is_refused(bench: Bench, url: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        bench.run("http", url=url)
    assert caught.value.code == "url_invalid"


def test_a_host_that_keeps_failing_is_left_alone(server: WebServer) -> None:
    web = WebClient(LOOPBACK, breakers=Breakers(policy=BreakerPolicy(failures=3)))
    bench = Bench(resources={"web": web})
    server.will(Answer(500))
    for _ in range(3):
        with pytest.raises(UpstreamError):
            bench.run("http", url=server.url, retries=0)
    with pytest.raises(UnavailableError, match="left alone"):
        bench.run("http", url=server.url, retries=0)
    assert len(server.asked) == 3
    other = Bench(resources={"web": web}, tenant="other")
    with pytest.raises(UpstreamError):
        other.run("http", url=server.url, retries=0)


@pytest.mark.parametrize("name", ["Authorization", "Cookie", "X-Api-Key"])
def test_a_secret_in_clear_is_a_problem(name: str) -> None:
    assert problems("http", url="https://example.org", headers={name: "Bearer abc"}) == [f"config.headers.{name}"]
    assert problems("http", url="https://example.org", headers={name: "Bearer {{ env.TOKEN }}"}) == []


@pytest.mark.parametrize("config", [{"retries": 11}, {"timeout": 0}, {"max_bytes": 10**9}, {"method": "TRACE"}])
def test_limits_of_a_call_hold(bench: Bench, config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        bench.run("http", url="https://example.org", **config)


# notify


def test_a_notification_is_signed_so_that_the_receiver_can_check_it(server: WebServer) -> None:
    bench = Bench(
        resources={"web": WebClient(LOOPBACK)}, environment={"HOOK": "whsec_" + base64.b64encode(b"key").decode()}
    )
    output = bench.run("notify", url=server.url, message={"text": "done"}, secret="{{ env.HOOK }}")
    (asked,) = server.asked
    headers = asked.headers
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + asked.body
    wanted = base64.b64encode(hmac.new(b"key", content, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{wanted}"
    assert orjson.loads(asked.body) == {"text": "done"}
    assert output == {"delivery_id": headers["webhook-id"], "status": 200, "attempts": 1}


def test_without_a_secret_there_is_no_signature(bench: Bench, server: WebServer) -> None:
    bench.run("notify", url=server.url, message="hello")
    assert "webhook-signature" not in server.asked[0].headers


def test_every_try_is_the_same_delivery(bench: Bench, server: WebServer) -> None:
    server.will(Answer(500), Answer(drop=True), Answer(204))
    assert bench.run("notify", url=server.url, message="hello")["attempts"] == 3
    assert len({asked.headers["webhook-id"] for asked in server.asked}) == 1


def test_a_node_that_is_executed_again_makes_the_same_delivery(bench: Bench, server: WebServer) -> None:
    first, again = (bench.run("notify", url=server.url, message="hello") for _ in range(2))
    assert first["delivery_id"] == again["delivery_id"]


def test_each_pass_of_a_loop_makes_a_delivery_of_its_own(bench: Bench, server: WebServer) -> None:
    tell = {"tell": {"type": "notify", "config": {"url": server.url, "message": "hello"}}}
    bench.run("loop", items=["a", "a"], within=tell)
    assert len({asked.headers["webhook-id"] for asked in server.asked}) == 2


def test_a_receiver_that_says_no_is_not_asked_again(bench: Bench, server: WebServer) -> None:
    server.will(Answer(410))
    with pytest.raises(UpstreamError, match="410"):
        bench.run("notify", url=server.url, message="hello")
    assert len(server.asked) == 1


def test_a_secret_of_a_notification_in_clear_is_a_problem() -> None:
    assert problems("notify", url="https://example.org", message="x", secret="abc") == ["config.secret"]


def test_a_secret_is_not_shown() -> None:
    config = NODES["notify"].config.model_validate({"url": "https://example.org", "message": 1, "secret": "abc"})
    assert "abc" not in repr(config)
    assert "abc" not in config.model_dump_json()


def test_a_message_that_is_too_large_is_refused(bench: Bench, server: WebServer) -> None:
    with pytest.raises(InvalidInputError):
        bench.run("notify", url=server.url, message="x" * (1024 * 1024 + 1))
    assert server.asked == []
