"""The supergraph: composed whenever the subgraphs change, and the last good one kept when they do not fit together.

Composition is that of `@theguild/federation-composition`, in a process of Node for each time; nothing of it is written here. The
last good one survives in a file.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from resources.errors import InvalidInputError, Problem, UnavailableError
from resources.servers.files import write_private
from resources.telemetry.logging import get_logger

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from api.gateway.registry import Subgraph, Subgraphs
    from resources.servers.node import Node

    Compose = Callable[[Sequence[Subgraph]], str]

log = get_logger(__name__)

_LONGEST: Final = 60.0
_EVERY: Final = 1.0


def composer(node: Node, script: Path) -> Compose:
    """Composition by the program `script`, which must stand beside its packages."""

    def compose(subgraphs: Sequence[Subgraph]) -> str:
        """The supergraph. Raises InvalidInputError with all reasons why there is none, UnavailableError without Node."""
        asked = json.dumps([{"name": it.name, "url": it.url, "sdl": it.sdl} for it in subgraphs])
        try:
            done = subprocess.run(
                [str(node.program), str(script)],
                input=asked,
                env=node.environment,
                capture_output=True,
                text=True,
                timeout=_LONGEST,
                check=True,
            )
        except (OSError, subprocess.SubprocessError) as error:
            told = getattr(error, "stderr", None) or str(error)
            raise UnavailableError(f"The composer failed: {str(told)[-500:]}.", dependency="composer") from error
        answer = json.loads(done.stdout)
        if "errors" in answer:
            raise InvalidInputError(
                "The subgraphs do not fit together.",
                code="composition_failed",
                problems=tuple(Problem("subgraphs", str(message)) for message in answer["errors"]),
            )
        return str(answer["supergraph"])

    return compose


@dataclass(frozen=True)
class State:
    """What there is now. `errors` are those of the last composition; `text` is None until the first one was good."""

    text: str | None = None
    composed_at: datetime | None = None
    errors: tuple[str, ...] = ()

    @property
    def tag(self) -> str | None:
        """A short name of the text."""
        return None if self.text is None else hashlib.sha256(self.text.encode()).hexdigest()[:16]


class Supergraph:
    """Composed from what is registered. Safe to share between threads; `look` and `run` are one thread's."""

    def __init__(self, subgraphs: Subgraphs, compose: Compose, *, file: Path) -> None:
        self._subgraphs = subgraphs
        self._compose = compose
        self._file = file
        self._seen: tuple[tuple[str, str, str], ...] | None = None
        self.state = State(text=file.read_text() if file.is_file() else None)

    def look(self) -> State:
        """Compose if something has changed since the last time."""
        found = self._subgraphs.all(now=datetime.now(UTC))
        seen = tuple((it.name, it.url, it.sdl) for it in found)
        if not found or seen == self._seen:
            return self.state
        kept = self.state
        try:
            text = self._compose(found)
        except InvalidInputError as error:
            self.state = State(kept.text, kept.composed_at, tuple(problem.message for problem in error.problems))
            log.error("supergraph.kept", subgraphs=[it.name for it in found], errors=self.state.errors)  # noqa: TRY400
        else:
            write_private(self._file, text)
            self.state = State(text, datetime.now(UTC))
            log.info("supergraph.composed", subgraphs=[it.name for it in found], tag=self.state.tag)
        self._seen = seen
        return self.state

    def run(self, stop: threading.Event) -> None:
        """Look once a second, until `stop` is set."""
        while not stop.wait(_EVERY):
            try:
                self.look()
            except UnavailableError as error:
                log.warning("supergraph.waits", error=str(error))
