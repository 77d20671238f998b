"""What a run of an agent has done: its checkpoints, one event each, in the stream `agent_run/<id>`.

The id is the occasion's (the same each time a run is executed again), so a process that is killed loses at most the answer of one
call that was on its way. Answers and uses of tools are found by what was asked: when a changed agent asks something else, it is
asked anew from there on. Where the memo is encrypted, so is what was answered here.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import orjson

from resources.ai.model import Answer
from resources.errors import ConflictError
from resources.events.catalog import AgentAnswered, AgentCompleted, AgentStarted, AgentToolUsed
from resources.events.model import EventMetadata, StreamId

if TYPE_CHECKING:
    from uuid import UUID

    from resources.ai.memo.cipher import MemoCipher
    from resources.events.schema import EventData
    from resources.events.store import EventStore

STREAM: Final = "agent_run"


_SEALED: Final = "sealed"


@dataclass(frozen=True, slots=True)
class Seal:
    """Encrypts the texts of one run, if there is a secret."""

    cipher: MemoCipher
    tenant: str
    run: str

    def closed(self, text: str, place: str) -> str:
        return self.cipher.seal_text(text, tenant=self.tenant, key=f"{self.run}/{place}")

    def opened(self, text: str, place: str) -> str:
        """Raises UpstreamError when it was sealed under another secret."""
        return self.cipher.open_text(text, tenant=self.tenant, key=f"{self.run}/{place}")


class Journal:
    """The checkpoints of one run. Blocking: use it from a thread."""

    def __init__(
        self,
        events: EventStore,
        run: UUID,
        *,
        agent: str,
        tenant: str,
        correlation_id: str | None,
        cipher: MemoCipher,
    ) -> None:
        self._events = events
        self._seal = Seal(cipher, tenant, str(run))
        self._stream = StreamId(STREAM, str(run))
        self._run = run
        self._tenant = tenant
        self._metadata = EventMetadata(correlation_id=correlation_id, source=f"agent/{agent}")
        self.started: AgentStarted | None = None
        self.answers: dict[str, AgentAnswered] = {}
        self.tools: dict[tuple[str, int], AgentToolUsed] = {}

    def read(self) -> None:
        """Take in what was written before."""
        for event in self._events.read_stream(self._stream, tenant=self._tenant):
            match event.type:
                case AgentStarted.event_type:
                    self.started = AgentStarted.model_validate(event.data)
                case AgentAnswered.event_type:
                    answered = self._opened(AgentAnswered.model_validate(event.data))
                    self.answers[answered.request] = answered
                case AgentToolUsed.event_type:
                    used = self._opened_tool(AgentToolUsed.model_validate(event.data))
                    self.tools[used.request, used.index] = used

    def begin(self, started: AgentStarted) -> None:
        self._write(started, "started")
        self.started = started

    def answer(self, answered: AgentAnswered) -> None:
        what = f"answered {answered.request}"
        if self._seal.cipher.on:
            sealed = self._seal.closed(orjson.dumps(answered.answer).decode(), what)
            answered = answered.model_copy(update={"answer": {_SEALED: sealed}})
        self._write(answered, what)

    def tool(self, used: AgentToolUsed) -> None:
        what = f"tool {used.request} {used.index}"
        if self._seal.cipher.on:
            used = used.model_copy(update={"text": self._seal.closed(used.text, what), "sealed": True})
        self._write(used, what)

    def complete(self, completed: AgentCompleted) -> None:
        self._write(completed, "completed " + completed.model_dump_json())

    def _opened(self, answered: AgentAnswered) -> AgentAnswered:
        if answered.answer.keys() != {_SEALED}:
            return answered
        text = self._seal.opened(answered.answer[_SEALED], f"answered {answered.request}")
        return answered.model_copy(update={"answer": orjson.loads(text)})

    def _opened_tool(self, used: AgentToolUsed) -> AgentToolUsed:
        if not used.sealed:
            return used
        text = self._seal.opened(used.text, f"tool {used.request} {used.index}")
        return used.model_copy(update={"text": text, "sealed": False})

    def _write(self, data: EventData, what: str) -> None:
        event = data.new(event_id=uuid.uuid5(self._run, what), metadata=self._metadata)
        try:
            self._events.append(self._stream, [event], tenant=self._tenant)
        except ConflictError as error:
            if error.code != "event_id_reused":
                raise
            # Another execution of the same run was faster; what it wrote counts.


def answer_of(answered: AgentAnswered) -> Answer:
    """The answer as it was."""
    return Answer.model_validate(answered.answer)
