"""Conversations that agents remember: the turns of a session, in the stream `agent_session/<key>`.

The newest turns are given to the model word for word, as many as fit; older ones are summed up by rule (sentences taken from
them, no model is asked), so that the same session always gives the same messages. Where the memo is encrypted, so are they.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from resources.agents.journal import Seal
from resources.ai.memo.cipher import MemoCipher
from resources.ai.model import Message
from resources.ai.offline import ExtractiveWriter
from resources.ai.untrusted import as_data
from resources.errors import ConflictError, InvalidInputError
from resources.events.catalog import AgentTurnRemembered
from resources.events.model import StreamId

if TYPE_CHECKING:
    from uuid import UUID

    from resources.events.store import EventStore

STREAM: Final = "agent_session"
_MOST_TURNS: Final = 200
_CHARACTERS_PER_TOKEN: Final = 4
_SUMMARY_SHARE: Final = 4
_TEXTS: Final = ("task", "answer")


@dataclass(frozen=True, slots=True)
class Remembered:
    """What a model is told of a conversation. `untrusted`: text of others was read in it."""

    messages: tuple[Message, ...] = ()
    untrusted: bool = False


class Sessions:
    """Conversations of all tenants. Blocking: use it from a thread."""

    def __init__(self, events: EventStore, cipher: MemoCipher | None = None) -> None:
        self._events = events
        self._cipher = cipher or MemoCipher()

    def version(self, session: str, *, tenant: str) -> int:
        """How many turns there are."""
        newest = self._events.read_stream(StreamId(STREAM, session), backwards=True, limit=1, tenant=tenant)
        return newest[0].version if newest else 0

    def recall(self, session: str, *, up_to: int, tokens: int, tenant: str) -> Remembered:
        """The turns up to a version, in about so many tokens."""
        if up_to == 0:
            return Remembered()
        newest = self._events.read_stream(
            StreamId(STREAM, session), up_to_version=up_to, backwards=True, limit=_MOST_TURNS, tenant=tenant
        )
        turns = [self._opened(AgentTurnRemembered.model_validate(event.data), tenant) for event in newest]
        room = tokens * _CHARACTERS_PER_TOKEN
        kept: list[AgentTurnRemembered] = []
        for turn in turns:
            room -= len(turn.task) + len(turn.answer)
            if room < 0:
                break
            kept.append(turn)
        messages = _summary(turns[len(kept) :], tokens * _CHARACTERS_PER_TOKEN // _SUMMARY_SHARE)
        for turn in reversed(kept):
            messages += [Message(role="user", text=turn.task), Message(role="assistant", text=turn.answer)]
        return Remembered(tuple(messages), any(turn.untrusted for turn in turns))

    def remember(self, turn: AgentTurnRemembered, *, run: UUID, tenant: str) -> None:
        """Add a turn; once, however often the run is executed."""
        stream = StreamId(STREAM, turn.session)
        if self._cipher.on:
            seal = Seal(self._cipher, tenant, turn.agent_run_id)
            sealed = {part: seal.closed(getattr(turn, part), part) for part in _TEXTS}
            turn = turn.model_copy(update={**sealed, "sealed": True})
        event = turn.new(event_id=uuid.uuid5(run, "turn"))
        try:
            self._events.append(stream, [event], tenant=tenant)
        except ConflictError as error:  # sealed anew, the same turn is another text
            if error.code != "event_id_reused":
                raise

    def _opened(self, turn: AgentTurnRemembered, tenant: str) -> AgentTurnRemembered:
        if not turn.sealed:
            return turn
        seal = Seal(self._cipher, tenant, turn.agent_run_id)
        return turn.model_copy(update={part: seal.opened(getattr(turn, part), part) for part in _TEXTS})


def _summary(older: list[AgentTurnRemembered], most: int) -> list[Message]:
    passages = [text for turn in reversed(older) for text in (turn.task, turn.answer)]
    try:
        text = ExtractiveWriter(sentences=5).generate(older[0].task if older else "", passages=passages).text[:most]
    except InvalidInputError:  # there is no text
        return []
    told = "What was said before, in sentences taken from it:\n" + as_data(text, source="conversation")
    return [Message(role="user", text=told), Message(role="assistant", text="I have read it.")]
