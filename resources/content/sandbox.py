"""Parsing in a child process that can be killed: hostile files hang and crash parsers, and must not take us down.

The child (`python -m resources.content.sandbox`) is started with exec, not forked from a process with threads; it is kept
and reused, so that a parse costs a round trip over two pipes (about 0.1 ms) and a start (about 0.3 s) is paid once. When a
parse takes too long or the child dies, it is killed and the next parse gets a new one. The child has no secrets in its
environment, a limit on memory, and answers in JSON: what a parser says is data, never code.

A process that forks (a warm worker) leaves its children's pipes to the parent: the fork closes its copies and starts its own
on first use. The child ends when its standard input does.
"""

from __future__ import annotations

import atexit
import os
import select
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import orjson

from resources.content.model import MediaType, ParsedDocument
from resources.content.parsers.base import PARSE_ERROR, TIMED_OUT, TOO_LARGE, ParseLimits
from resources.errors import InvalidInputError, LimitExceededError, PlatformError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

_ROOT = Path(__file__).resolve().parents[2]
_LENGTH = 8
_START_SECONDS = 30.0
_MEMORY_BYTES = 2 * 1024**3
_MAX_CHILDREN = 2


class _Child:
    """One child process and its two pipes. Used by one thread at a time."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "resources.content.sandbox"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            close_fds=True,
            env={"PYTHONPATH": str(_ROOT), "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"},
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._to, self._from = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._to, False)
        os.set_blocking(self._from, False)
        self._fresh = True

    def parse(self, media_type: MediaType, content: bytes | Path, limits: ParseLimits, name: str = "") -> bytes:
        """The child's answer. Raises TimeoutError when it takes too long, EOFError when the child is gone."""
        patience = limits.timeout + (_START_SECONDS if self._fresh else 0.0)
        if self._fresh:
            self._exchange([b""], time.monotonic() + patience)
            self._fresh = False
        request = {"media_type": media_type, "limits": _as_json(limits), "name": _sendable(name)}
        if isinstance(content, Path):
            request["file"], content = str(content), b""
        return self._exchange([orjson.dumps(request), content], time.monotonic() + limits.timeout)

    def _exchange(self, messages: list[bytes], deadline: float) -> bytes:
        pending = memoryview(b"".join(len(message).to_bytes(_LENGTH, "big") + message for message in messages))
        answer = bytearray()
        wanted = _LENGTH
        while len(answer) < wanted:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            readable, writable, _ = select.select([self._from], [self._to] if pending else [], [], left)
            if writable:
                with suppress(BlockingIOError):
                    pending = pending[os.write(self._to, pending[: 1 << 16]) :]
            if readable:
                piece = os.read(self._from, 1 << 20)
                if not piece:
                    raise EOFError
                answer += piece
                if wanted == _LENGTH and len(answer) >= _LENGTH:
                    wanted += int.from_bytes(answer[:_LENGTH], "big")
        return bytes(answer[_LENGTH:wanted])

    def kill(self) -> int | None:
        """End the child, at once; returns its exit status."""
        self._process.kill()
        status = self._process.wait()
        self.close_pipes()
        return status

    def close_pipes(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()

    def abandon(self) -> None:
        """Forget a child that belongs to the process we were forked from."""
        self.close_pipes()
        self._process.returncode = 0  # not ours to wait for


class ParserProcesses:
    """The children of this process: started on demand, two at most, kept for the next document. Safe for threads."""

    def __init__(self, *, start: Callable[[], _Child] = _Child, most: int = _MAX_CHILDREN) -> None:
        self._start = start
        self._most = most
        self._reset()

    def _reset(self) -> None:
        self._turn = threading.BoundedSemaphore(self._most)
        self._guard = threading.Lock()
        self._idle: list[_Child] = []
        self._all: list[_Child] = []

    def parse(
        self, media_type: MediaType, content: bytes | Path, *, limits: ParseLimits, name: str = ""
    ) -> ParsedDocument:
        """Like a parser; what stands in a file is read by the child itself.

        Raises LimitExceededError (TIMEOUT), or InvalidInputError (PARSE_ERROR) when the child died.
        """
        with self._turn:
            child = self._take()
            try:
                answer = child.parse(media_type, content, limits, name)
            except TimeoutError as error:
                self._discard(child)
                raise LimitExceededError(
                    f"Parsing took longer than {limits.timeout:g} s and was stopped. Split the document.",
                    code=TIMED_OUT,
                    seconds=limits.timeout,
                ) from error
            except (EOFError, OSError) as error:
                status = self._discard(child)
                raise InvalidInputError(
                    f"The parser of {media_type.value} crashed on the document (status {status}).", code=PARSE_ERROR
                ) from error
            except BaseException:
                self._discard(child)
                raise
            with self._guard:
                self._idle.append(child)
        return _decode(answer)

    def close(self) -> None:
        """End all children."""
        with self._guard:
            children, self._all, self._idle = self._all, [], []
        for child in children:
            child.kill()

    def after_fork(self) -> None:
        """In a forked process: let go of the parent's children and begin anew."""
        children = self._all
        self._reset()
        for child in children:
            child.abandon()

    def _take(self) -> _Child:
        with self._guard:
            if self._idle:
                return self._idle.pop()
        try:
            child = self._start()
        except OSError as error:
            raise UnavailableError("A parser process cannot be started.", dependency="parser") from error
        with self._guard:
            self._all.append(child)
        return child

    def _discard(self, child: _Child) -> int | None:
        with self._guard:
            if child in self._all:
                self._all.remove(child)
        return child.kill()


_processes = ParserProcesses()
atexit.register(_processes.close)
os.register_at_fork(after_in_child=_processes.after_fork)


def parse_isolated(
    media_type: MediaType, content: bytes | Path, *, limits: ParseLimits, name: str = ""
) -> ParsedDocument:
    """Parse in a child of this process."""
    return _processes.parse(media_type, content, limits=limits, name=name)


def _sendable(name: str) -> str:
    """The name without what JSON cannot carry."""
    return name[:255].encode("utf-8", "replace").decode()


def _as_json(limits: ParseLimits) -> dict[str, float]:
    return {name: getattr(limits, name) for name in ParseLimits.__slots__}


_ERRORS: dict[str, type[PlatformError]] = {"invalid": InvalidInputError, "limit": LimitExceededError}


def _decode(answer: bytes) -> ParsedDocument:
    if answer[:1] == b"P":
        return ParsedDocument.model_validate_json(answer[1:])
    failure = orjson.loads(answer[1:])
    raise _ERRORS[failure["kind"]](failure["message"], code=failure["code"], **failure["details"])


def _answer(header: bytes, content: bytes) -> bytes:
    from resources.content.parsers import read, read_file

    request = orjson.loads(header)
    media_type = MediaType(request["media_type"])
    try:
        limits = ParseLimits(**request["limits"])
        if "file" in request:
            with Path(request["file"]).open("rb") as file:
                parsed = read_file(media_type, file, limits=limits, name=request["name"])
        else:
            parsed = read(media_type, content, limits=limits, name=request["name"])
        return b"P" + parsed.model_dump_json().encode()
    except LimitExceededError as error:
        return _failure("limit", error)
    except PlatformError as error:
        return _failure("invalid", error)
    except MemoryError:
        message = f"Parsing the document as {media_type.value} takes too much memory. Split it."
        return _failure("limit", LimitExceededError(message, code=TOO_LARGE))
    except Exception as error:  # noqa: BLE001 - whatever a parser throws is the document's fault, and must be answered
        message = f"The parser of {media_type.value} failed: {type(error).__name__}: {str(error)[:200]}"
        return _failure("invalid", InvalidInputError(message, code=PARSE_ERROR))


def _failure(kind: str, error: PlatformError) -> bytes:
    failure = {"kind": kind, "message": error.message, "code": error.code, "details": error.details}
    return b"E" + orjson.dumps(failure, default=str)


def _limit_memory() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))


def _read_message(source: BinaryIO) -> bytes:
    length = source.read(_LENGTH)
    if len(length) < _LENGTH:
        raise EOFError
    return source.read(int.from_bytes(length, "big"))


def serve(source: BinaryIO, target: BinaryIO) -> None:
    """Answer requests until the source ends. The first message is empty: its answer says that the child is up."""
    with suppress(EOFError):
        _read_message(source)
        target.write((0).to_bytes(_LENGTH, "big"))
        target.flush()
        while True:
            answer = _answer(_read_message(source), _read_message(source))
            target.write(len(answer).to_bytes(_LENGTH, "big") + answer)
            target.flush()


def _main() -> None:
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints must not get between the answers
    _limit_memory()
    serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    _main()
