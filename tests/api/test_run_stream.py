"""What a run says, as server-sent events, while it works and when one comes back."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest

from api.run_stream import RunStream, position_of
from assets.partitions import TENANT_TAG
from resources.errors import InvalidInputError, UnavailableError
from resources.realtime.output import RunOutput

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    import httpx

    from api.dependencies import Services


@dg.op
def nothing() -> None:
    """Does nothing."""


@dg.job
def idle() -> None:
    nothing()


def frames(lines: Iterator[str]) -> Iterator[tuple[str, str | None, Any]]:
    """Event, id and data of each frame."""
    event, place = "", None
    for line in lines:
        name, _, value = line.partition(": ")
        match name:
            case "event":
                event = value
            case "id":
                place = value
            case "data":
                yield event, place, value if value == "[DONE]" else json.loads(value)
                event, place = "", None


def finished_run(instance: dg.DagsterInstance, tenant: str) -> str:
    return idle.execute_in_process(instance=instance, tags={TENANT_TAG: tenant}).run_id


def begun_run(instance: dg.DagsterInstance, tenant: str) -> str:
    return instance.create_run_for_job(
        idle, run_id=str(uuid.uuid4()), status=dg.DagsterRunStatus.STARTED, tags={TENANT_TAG: tenant}
    ).run_id


def say(services: Services, run_id: str, tenant: str, *words: str) -> None:
    output = RunOutput(services.publisher.messages, run_id, tenant=tenant)
    for word in words:
        output.write("write", {"text": word})
    output.close()


def test_a_run_that_has_ended_tells_what_is_left_and_how_it_ended(
    http: httpx.Client, services: Services, dagster_instance: dg.DagsterInstance, tenant: str
) -> None:
    run_id = finished_run(dagster_instance, tenant)
    say(services, run_id, tenant, "Tea ", "is hot.")
    with http.stream("GET", f"/api/v1/runs/{run_id}/stream") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        found = list(frames(answer.iter_lines()))
    assert [event for event, _, _ in found] == ["connected", "chunk", "complete", "done"]
    assert found[1][2]["pieces"][0] == {"node": "write", "text": "Tea is hot."}
    assert found[2][2] == {"run_id": run_id, "status": "success"}
    assert found[3][2] == "[DONE]"


def test_text_comes_while_the_run_works_and_a_reader_that_comes_back_goes_on(
    http: httpx.Client, services: Services, dagster_instance: dg.DagsterInstance, tenant: str
) -> None:
    run_id = begun_run(dagster_instance, tenant)
    with http.stream("GET", f"/api/v1/runs/{run_id}/stream") as answer:
        coming = frames(answer.iter_lines())
        assert next(coming)[0] == "connected"
        say(services, run_id, tenant, "first")
        event, place, data = next(coming)
        assert (event, data["pieces"][0]["text"]) == ("chunk", "first")
    say(services, run_id, tenant, "second")
    run = dagster_instance.get_run_by_id(run_id)
    assert run is not None
    dagster_instance.report_run_canceled(run)
    with http.stream("GET", f"/api/v1/runs/{run_id}/stream", headers={"Last-Event-ID": str(place)}) as answer:
        found = list(frames(answer.iter_lines()))
    texts = [piece.get("text") for event, _, data in found if event == "chunk" for piece in data["pieces"]]
    assert texts == ["second", None]
    assert found[-2][2]["status"] == "canceled"


def test_a_run_that_there_is_not_is_told_before_the_stream(http: httpx.Client) -> None:
    assert http.get(f"/api/v1/runs/{uuid.uuid4()}/stream").status_code == 404


def test_the_run_of_another_tenant_is_not_heard(
    http: httpx.Client, dagster_instance: dg.DagsterInstance, tenant: str
) -> None:
    run_id = finished_run(dagster_instance, f"{tenant}-other")
    assert http.get(f"/api/v1/runs/{run_id}/stream").status_code == 404


@pytest.mark.parametrize("place", ["x", "-1", "1" * 20, "1.5"])
def test_an_id_that_is_none_is_refused(place: str) -> None:
    with pytest.raises(InvalidInputError):
        position_of(place)


async def collected(text: AsyncIterator[bytes]) -> list[tuple[str, str | None, Any]]:
    whole = b"".join([part async for part in text])
    return list(frames(iter(whole.decode().split("\n"))))


async def test_a_quiet_run_is_told_to_be_alive(services: Services, tenant: str) -> None:
    states = iter([None, None, "failure"])
    stream = RunStream(
        services.publisher.messages, "quiet", tenant=tenant, after=0, ended=lambda: next(states), heartbeat=0.01
    )
    found = await collected(stream.text())
    assert [event for event, _, _ in found] == ["connected", "heartbeat", "heartbeat", "complete", "done"]


async def test_a_fault_on_the_way_is_told_as_an_error(services: Services, tenant: str) -> None:
    def ended() -> str | None:
        raise UnavailableError("Dagster is away.", dependency="dagster")

    found = await collected(RunStream(services.publisher.messages, "r", tenant=tenant, after=0, ended=ended).text())
    assert [event for event, _, _ in found] == ["connected", "error", "done"]
    assert found[1][2]["code"] == "dependency_unavailable"


async def test_a_process_that_ends_ends_its_streams(services: Services, tenant: str) -> None:
    stream = RunStream(
        services.publisher.messages, "r", tenant=tenant, after=0, ended=lambda: None, closing=lambda: True
    )
    assert [event for event, _, _ in await collected(stream.text())] == ["connected", "done"]
