"""Records the cassettes that `test_cassettes.py` replays.

    python -m tests.resources.ai.providers.recording

No key of a vendor is needed, and no vendor has answered: the real SDKs speak to the wire-level servers of
`tests/fixtures/vendors.py`, whose bytes follow the vendors' API references. What a cassette holds fast is what *we* send, which a
new version of an SDK or a change of an adapter must not alter unseen. Credentials and what tells of the machine stay out of it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import vcr
from pydantic import SecretStr

from resources.ai.model import (
    Answer,
    ChatRequest,
    Embeddings,
    EmbedRequest,
    Image,
    Message,
    OutputSchema,
    ToolCall,
    ToolSpec,
)
from resources.ai.providers import build_embedder, build_provider
from resources.ai.providers.options import ProviderOptions
from tests.fixtures.vendors import PIXEL, AnthropicMessages, OpenAIChat, OpenAIResponses, document
from tests.fixtures.wire import Reply, WireServer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vcr.request import Request

FOLDER: Final = Path(__file__).parent / "cassettes"
KEY: Final = "sk-very-secret-0123456789"
PLACE: Final = "http://vendor.test"
SENT: Final = frozenset({"accept", "content-type", "anthropic-version", "anthropic-beta"})
"""The headers that are kept: the others are credentials, or tell of the machine and the versions on it."""

WEATHER: Final = ToolSpec(
    name="get_weather",
    description="Tell the weather of a city",
    parameters={"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)
MOOD: Final = OutputSchema(
    name="mood",
    json_schema={
        "type": "object",
        "properties": {"mood": {"enum": ["good", "bad"]}, "why": {"type": "string", "minLength": 1}},
        "required": ["mood"],
    },
)
_CALL: Final = ToolCall(id="call_abc", name="get_weather", arguments={"city": "Köln"}, raw='{"city": "Köln"}')
CONVERSATION: Final[Mapping[str, Any]] = {
    "messages": (
        Message(role="system", text="Be brief."),
        Message(
            role="user",
            text="What is this, and how is the weather?",
            images=(Image(media_type="image/png", data=PIXEL),),
        ),
        Message(role="assistant", text="I shall look.", calls=(_CALL,)),
        Message(role="tool", text="18 °C", call_id="call_abc"),
        Message(role="user", text="And now?"),
    ),
    "tools": (WEATHER,),
    "max_output_tokens": 100,
}
STRUCTURED: Final[Mapping[str, Any]] = {
    "messages": (Message(role="user", text="How do you feel?"),),
    "output": MOOD,
    "max_output_tokens": 100,
}
EMBEDDED: Final = EmbedRequest(provider="openai", model="text-embedding-3-small", texts=("tea", "Käse"), dimensions=2)
_VECTORS: Final = {
    "object": "list",
    "data": [{"object": "embedding", "index": index, "embedding": [float(index), 0.5]} for index in range(2)],
    "model": EMBEDDED.model,
    "usage": {"prompt_tokens": 7, "total_tokens": 7},
}


@dataclass(frozen=True)
class Tape:
    """One exchange: through which adapter, what is asked, and what the vendor's server says to it."""

    kind: str
    asked: Mapping[str, Any]
    reply: Reply
    model: str = "gpt-4o"
    options: Mapping[str, Any] | None = None

    async def play(self, address: str) -> Answer | Embeddings:
        """Ask the adapter, on the server of that address."""
        options = ProviderOptions(base_url=address, api_key=SecretStr(KEY), egress=None, **(self.options or {}))
        if self.kind == "embeddings":
            embedder = build_embedder("openai", options)
            try:
                return await embedder.embed(EMBEDDED)
            finally:
                await embedder.close()
        provider = build_provider(self.kind, options)
        try:
            request = ChatRequest(provider=self.kind, model=self.model, **self.asked)
            *_, last = [event async for event in provider.stream(request)]
            assert isinstance(last, Answer)
            return last
        finally:
            await provider.close()


def _tapes() -> dict[str, Tape]:
    chat, responses, messages = OpenAIChat(), OpenAIResponses(), AnthropicMessages()
    tapes = {
        "embeddings": Tape("embeddings", {}, document(200, _VECTORS)),
        "responses-conversation": Tape(
            "openai", CONVERSATION, responses.text("It is ", "tea."), options={"api": "responses"}
        ),
        "responses-structured": Tape(
            "openai", STRUCTURED, responses.structured("mood", '{"mood":', ' "good"}'), options={"api": "responses"}
        ),
        "anthropic-conversation": Tape("anthropic", CONVERSATION, messages.text("It is ", "tea."), messages.model),
        "anthropic-structured": Tape(
            "anthropic", STRUCTURED, messages.structured("mood", '{"mood":', ' "good"}'), messages.model
        ),
    }
    for kind in ("openai", "azure", "gemini", "vllm"):
        tapes[f"{kind}-conversation"] = Tape(kind, CONVERSATION, chat.text("It is ", "tea."))
        tapes[f"{kind}-structured"] = Tape(kind, STRUCTURED, chat.structured("mood", '{"mood":', ' "good"}'))
    return tapes


TAPES: Final = _tapes()


def recorder(path: Path, *, record: bool) -> Any:
    """The cassette of that file. Without `record` nothing reaches a network, and what differs from the tape is an error."""
    machine = vcr.VCR(
        record_mode="all" if record else "none",
        match_on=["method", "path", "body"],
        before_record_request=_without_machine,
        before_record_response=_without_server,
        decode_compressed_response=True,
    )
    return machine.use_cassette(str(path))


def _without_machine(request: Request) -> Request:
    request.headers = {name: value for name, value in request.headers.items() if name.lower() in SENT}
    request.uri = PLACE + request.path
    return request


def _without_server(response: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in response["headers"].items() if name.lower() == "content-type"}
    return {**response, "headers": kept}


def record() -> None:
    """Write the cassettes anew."""
    server = WireServer()
    try:
        for name, tape in TAPES.items():
            path = FOLDER / f"{name}.yaml"
            path.unlink(missing_ok=True)
            server.reply(tape.reply)
            with recorder(path, record=True):
                asyncio.run(tape.play(server.url))
    finally:
        server.close()


if __name__ == "__main__":
    record()
