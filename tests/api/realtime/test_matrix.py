"""Every command of a socket, given by each role, while somebody of another tenant listens. A command without a row fails."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, get_args

import pytest

from api.realtime import frames
from resources.tenants.permissions import Role, allows, scopes_of

if TYPE_CHECKING:
    from tests.api.realtime.harness import Client, Sockets

# What each takes to be good enough to be looked at, and the scopes that it needs besides those to connect.
COMMANDS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "Ping": ({}, ()),
    "Pong": ({}, ()),
    "Subscribe": ({"topics": ["news"]}, ()),
    "Unsubscribe": ({"topics": ["news"]}, ()),
    "Broadcast": ({"topic": "news", "payload": 1}, ("write",)),
    "TopicMessage": ({"topic": "news", "content": 1}, ("write",)),
    "DirectMessage": ({"to": "anna", "content": 1}, ("write",)),
    "BroadcastMessage": ({"content": 1}, ("write", "broadcast")),
    "UpdatePresence": ({"status": "away"}, ()),
    "TypingStart": ({"conversation_id": "news"}, ()),
    "TypingEnd": ({"conversation_id": "news"}, ()),
    "Ack": ({"message_id": str(uuid.UUID(int=7))}, ()),
    "Connect": ({}, ()),
    "Disconnect": ({}, ()),
}


def test_every_command_has_a_row() -> None:
    assert {kind.__name__ for kind in get_args(frames.Command)} == set(COMMANDS)


def refused(client: Client, kind: str, data: dict[str, Any]) -> bool:
    """Whether the answer is that one may not."""
    client.say(kind, **data)
    client.say("Ping", timestamp=f"after {kind}")
    found = False
    while True:
        frame = client.next()
        if frame["type"] == "Error":
            found = found or frame["data"]["code"] == 403
        if frame == {"type": "Pong", "data": {"timestamp": f"after {kind}"}}:
            return found


@pytest.mark.parametrize("role", list(Role))
def test_each_role_may_say_what_its_scopes_allow_and_no_other_tenant_hears_it(served: Sockets, role: Role) -> None:
    scopes = scopes_of(role, at_home=False)
    with (
        served.client("thief", role="admin", tenant=f"{served.tenant}-b") as thief,
        served.client("anna", role=str(role)) as client,
    ):
        thief.subscribe("**", "news", "presence")
        for kind, (data, wanted) in COMMANDS.items():
            if kind != "Disconnect":
                may = all(allows(scopes, scope) for scope in wanted)
                assert refused(client, kind, data) is not may, kind
        client.say("Disconnect")
        assert client.closed()[0] == 1000
        thief.say("Ping", timestamp="last")
        heard = []
        while (frame := thief.next()) != {"type": "Pong", "data": {"timestamp": "last"}}:
            heard.append(frame)
        assert "anna" not in str(heard)
        assert not [frame for frame in heard if frame["type"] in {"Broadcast", "DirectMessage", "TypingIndicator"}]
