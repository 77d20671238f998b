"""Servers that are slow, lie, flood, hang, repeat themselves and die: each a clear error or no harm at all, and nothing hangs."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr

from resources.errors import PlatformError
from resources.mcp.arguments import problems_of
from resources.mcp.model import RemoteTool, ServerConfig
from resources.mcp.pool import Pool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

FAULTY = str(Path(__file__).with_name("faulty.py"))
ERA = "legacy"


@contextmanager
def replica() -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The faulty server over HTTP."""
    with subprocess.Popen([sys.executable, FAULTY, "http"], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}/mcp", process
        finally:
            process.kill()


@asynccontextmanager
async def calling(**given: Any) -> AsyncIterator[Pool]:
    pool = Pool(ServerConfig.model_validate({"name": "faulty", "era": ERA, "timeout": 20.0, **given}))
    try:
        yield pool
    finally:
        await pool.close()


def by_program(**given: Any) -> dict[str, Any]:
    return {"transport": "stdio", "command": sys.executable, "args": [FAULTY, "stdio"], **given}


@pytest.fixture(params=["stdio", "http"])
def server(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    if request.param == "stdio":
        yield by_program()
        return
    with replica() as (url, _):
        yield {"urls": [url]}


@pytest.fixture(scope="module")
def pair() -> Iterator[list[str]]:
    with replica() as (one, _), replica() as (other, _):
        yield [one, other]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110  # what it waits for tells nobody
            await asyncio.sleep(0.01)


async def all_ready(pool: Pool) -> None:
    await pool.call("fine", {})
    await until(lambda: all(connection.ready for connection in pool._connections))


async def failure(pool: Pool, tool: str, arguments: dict[str, Any] | None = None, **options: Any) -> PlatformError:
    with pytest.raises(PlatformError) as caught:
        await pool.call(tool, arguments or {}, **options)
    return caught.value


async def test_bad_answers_are_told_and_the_next_call_is_answered(server: dict[str, Any]) -> None:
    async with calling(**server) as pool:
        assert (await pool.call("twice", {})).text.startswith("twice")
        assert (await failure(pool, "liar")).code == "mcp_output_invalid"
        assert (await pool.call("fine", {})).text.startswith("fine")
        error = await failure(pool, "failing")
        assert (error.code, "the shelf is empty" in error.message) == ("mcp_tool_failed", True)
        unknown = await failure(pool, "nothing")
        assert unknown.code == "mcp_tool_not_found"
        assert "fine" in unknown.message
        huge = await failure(pool, "huge")
        assert "4,194,304 bytes" in huge.message
        assert (await pool.call("fine", {})).text.startswith("fine")


async def test_a_server_that_never_answers_is_given_up(server: dict[str, Any]) -> None:
    async with calling(**server) as pool:
        error = await failure(pool, "silent", seconds=0.3)
        assert (error.code, error.retryable) == ("mcp_timeout", True)


async def test_a_slow_server_does_not_hold_up_others() -> None:
    with replica() as (url, _):
        async with calling(urls=[url]) as pool:
            slow = asyncio.create_task(pool.call("slow", {"seconds": 20}))
            assert (await pool.call("fine", {})).text.startswith("fine")
            assert not slow.done()
            slow.cancel()
            with pytest.raises(asyncio.CancelledError):
                await slow
            assert (await pool.call("fine", {})).text.startswith("fine")


async def test_what_breaks_half_way_is_not_done_twice(server: dict[str, Any], tmp_path: Path) -> None:
    note = tmp_path / "calls"
    async with calling(**server) as pool:
        assert (await failure(pool, "half", {"note": str(note)})).code == "mcp_connection_lost"
        assert note.read_text().split() == ["half"]
        assert (await pool.call("fine", {})).text.startswith("fine")


async def test_what_may_be_repeated_is_and_at_last_given_up(tmp_path: Path) -> None:
    note = tmp_path / "calls"
    async with calling(**by_program(max_restarts=1)) as pool:
        assert (await failure(pool, "half_again", {"note": str(note)})).code == "mcp_connection_lost"
        assert note.read_text().split() == ["half_again"] * 3


async def test_garbage_is_no_answer() -> None:
    with replica() as (url, _):
        async with calling(urls=[url]) as pool:
            assert (await failure(pool, "garbage")).code == "mcp_answer_invalid"
    async with calling(**by_program()) as pool:
        assert (await failure(pool, "garbage", seconds=0.5)).code == "mcp_timeout"


async def test_no_repeatable_call_fails_when_one_of_two_replicas_is_killed() -> None:
    with replica() as (one, victim), replica() as (other, _):
        async with calling(urls=[one, other], connections=2, strategy="round_robin") as pool:
            answered: list[str] = []

            async def caller() -> None:
                for _ in range(25):
                    answered.append((await pool.call("fine", {})).text)
                    if len(answered) == 60:
                        victim.kill()

            await asyncio.gather(*(caller() for _ in range(8)))
            assert len(answered) == 200
            assert len(set(answered)) == 2, "both were asked"
            assert len(set(answered[-50:])) == 1, "one is left"


async def test_a_program_that_was_killed_is_started_again() -> None:
    async with calling(**by_program()) as pool:
        first = (await pool.call("fine", {})).text
        os.kill(int(first.split()[1]), signal.SIGKILL)
        second = (await pool.call("fine", {})).text
        assert second.startswith("fine")
        assert second != first


async def test_a_server_that_is_not_there_is_unreachable() -> None:
    async with calling(**by_program(command="/no/such/program", args=[], max_restarts=1)) as pool:
        error = await failure(pool, "fine")
        assert error.code == "mcp_server_unreachable"
        assert "/no/such/program" in error.message


async def test_a_program_sees_what_its_configuration_names_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAULTY_SECRET", "of this process")
    async with calling(**by_program()) as pool:
        assert (await pool.call("secret", {})).text == "none"
    async with calling(**by_program(env={"FAULTY_SECRET": SecretStr("given")})) as pool:
        assert (await pool.call("secret", {})).text == "given"


@pytest.mark.parametrize("strategy", ["round_robin", "least_connections", "weighted", "random", "health_based"])
async def test_every_strategy_asks_both_replicas(pair: list[str], strategy: str) -> None:
    async with calling(urls=pair, strategy=strategy) as pool:
        await all_ready(pool)
        found = await asyncio.gather(*(pool.call("fine", {}) for _ in range(40)))
        assert len({one.text for one in found}) == 2


async def test_affinity_keeps_a_key_with_one_replica(pair: list[str]) -> None:
    async with calling(urls=pair, strategy="affinity") as pool:
        await all_ready(pool)
        for key in ("a", "b", "c"):
            found = [await pool.call("fine", {}, affinity=key) for _ in range(5)]
            assert len({one.text for one in found}) == 1


async def test_connections_that_nobody_uses_are_closed_and_made_again() -> None:
    async with calling(**by_program(idle_seconds=0.1)) as pool:
        first = (await pool.call("fine", {})).text
        await until(lambda: pool.status()[0].status == "disconnected")
        assert (await pool.call("fine", {})).text != first


def test_arguments_are_checked_against_the_tool_before_anything_is_sent() -> None:
    tool = RemoteTool("greet", "", {"type": "object", "required": ["name"]})
    assert problems_of(tool, {}) == ["$: 'name' is a required property"]
    assert problems_of(tool, {"name": "Ada"}) == []
    assert problems_of(RemoteTool("odd", "", {"type": "nonsense"}), {}) == []
