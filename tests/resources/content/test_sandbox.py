"""The child process that parses: replaced when it hangs or dies, shared by threads, not shared across a fork."""

from __future__ import annotations

import os
import signal
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from resources.content import sandbox
from resources.content.model import MediaType
from resources.content.parsers import ParseLimits
from resources.content.sandbox import ParserProcesses
from resources.errors import InvalidInputError, LimitExceededError
from tests.fixtures.pdf import make_pdf

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMITS = ParseLimits()
PAGE = b"# Title\n\nSome words."


@pytest.fixture
def processes() -> Iterator[ParserProcesses]:
    started = ParserProcesses()
    yield started
    started.close()


def children(processes: ParserProcesses) -> list[int]:
    return [child._process.pid for child in processes._all]


def test_one_child_reads_one_document_after_another(processes: ParserProcesses) -> None:
    for _ in range(3):
        assert processes.parse(MediaType.MARKDOWN, PAGE, limits=LIMITS).title == "Title"
    assert len(children(processes)) == 1


def test_errors_come_back_as_they_were_raised(processes: ParserProcesses) -> None:
    with pytest.raises(InvalidInputError) as caught:
        processes.parse(MediaType.PDF, make_pdf([["x"]], encrypted=True), limits=LIMITS)
    assert caught.value.code == "document_encrypted"
    with pytest.raises(LimitExceededError) as limit:
        processes.parse(MediaType.PDF, make_pdf([["x"]] * 3), limits=ParseLimits(max_pages=2))
    assert limit.value.details == {"pages": 3, "max_pages": 2}


def test_a_parse_that_takes_too_long_is_stopped_and_the_next_one_works(processes: ParserProcesses) -> None:
    processes.parse(MediaType.MARKDOWN, PAGE, limits=LIMITS)
    (slow,) = children(processes)
    os.kill(slow, signal.SIGSTOP)
    with pytest.raises(LimitExceededError) as caught:
        processes.parse(MediaType.MARKDOWN, PAGE, limits=ParseLimits(timeout=0.05))
    assert caught.value.code == "TIMEOUT"
    assert processes.parse(MediaType.MARKDOWN, PAGE, limits=LIMITS).title == "Title"
    assert slow not in children(processes)


def test_a_child_that_dies_is_replaced(processes: ParserProcesses) -> None:
    processes.parse(MediaType.MARKDOWN, PAGE, limits=LIMITS)
    (victim,) = children(processes)
    os.kill(victim, signal.SIGKILL)
    with pytest.raises(InvalidInputError) as caught:
        processes.parse(MediaType.MARKDOWN, PAGE, limits=LIMITS)
    assert caught.value.code == "PARSE_ERROR"
    assert processes.parse(MediaType.MARKDOWN, PAGE, limits=LIMITS).title == "Title"


def test_threads_share_two_children_at_most(processes: ParserProcesses) -> None:
    pages = [f"# Title {number}\n\nWords.".encode() for number in range(24)]
    with ThreadPoolExecutor(6) as pool:
        titles = list(pool.map(lambda page: processes.parse(MediaType.MARKDOWN, page, limits=LIMITS).title, pages))
    assert titles == [f"Title {number}" for number in range(24)]
    assert len(children(processes)) <= 2


def test_large_documents_pass_through_the_pipes(processes: ParserProcesses) -> None:
    content = b"word " * 400_000
    assert len(processes.parse(MediaType.TEXT, content, limits=LIMITS).text) == len(content) - 1


def test_a_forked_process_starts_its_own_child() -> None:
    mine = sandbox.parse_isolated(MediaType.MARKDOWN, PAGE, limits=LIMITS)
    parents = children(sandbox._processes)
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # pytest has threads; this child does little
        pid = os.fork()
    if pid == 0:  # pragma: no cover - the forked process
        status = 1
        try:
            same = sandbox.parse_isolated(MediaType.MARKDOWN, PAGE, limits=LIMITS) == mine
            other = not set(children(sandbox._processes)) & set(parents)
            os.write(writing, b"ok" if same and other else b"no")
            sandbox._processes.close()
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    assert os.read(reading, 10) == b"ok"
    os.close(reading)
    os.waitpid(pid, 0)
    assert sandbox.parse_isolated(MediaType.MARKDOWN, PAGE, limits=LIMITS) == mine
    assert children(sandbox._processes) == parents


def test_the_child_knows_no_secrets(processes: ParserProcesses, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIW_DATABASE__URL", "postgresql://secret")
    processes.parse(MediaType.MARKDOWN, PAGE, limits=LIMITS)
    (child,) = children(processes)
    with open(f"/proc/{child}/environ", "rb") as environment:  # noqa: PTH123
        assert b"secret" not in environment.read()
