"""The suite's tools that ask in rounds (2026-07-28): the answer is a question, and the client calls again with its answers."""

from __future__ import annotations

from typing import Any

import orjson
from mcp.types import (
    CallToolResult,
    CreateMessageRequest,
    CreateMessageRequestParams,
    CreateMessageResult,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    InputRequiredResult,
    ListRootsRequest,
    ListRootsResult,
    SamplingMessage,
    TextContent,
)

from api.mcp.call import Call
from api.mcp.conformance.samples import COLOUR_FORM, NAME_FORM, OK_FORM
from api.mcp.conformance.tools import SCOPE, text
from api.mcp.tool import Tools

TOOLS = Tools()


def ask(message: str = "What is your name?", form: dict[str, Any] = NAME_FORM) -> ElicitRequest:
    """A question for the user."""
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=form))


def sample(message: str, tokens: int = 100) -> CreateMessageRequest:
    """A question for the client's model."""
    said = SamplingMessage(role="user", content=TextContent(type="text", text=message))
    return CreateMessageRequest(params=CreateMessageRequestParams(messages=[said], max_tokens=tokens))


@TOOLS.tool(SCOPE, title="A name")
def test_input_required_result_elicitation(call: Call) -> CallToolResult | InputRequiredResult:
    """Ask for a name and greet it."""
    answer = call.answers.get("user_name")
    if answer is None:
        return InputRequiredResult(input_requests={"user_name": ask()})
    name = answer.content.get("name") if isinstance(answer, ElicitResult) and answer.content else "?"
    return text(f"Hello, {name}!")


@TOOLS.tool(SCOPE, title="A capital")
def test_input_required_result_sampling(call: Call) -> CallToolResult | InputRequiredResult:
    """Ask the client's model."""
    answer = call.answers.get("capital_question")
    if answer is None:
        return InputRequiredResult(input_requests={"capital_question": sample("What is the capital of France?")})
    told = answer.content if isinstance(answer, CreateMessageResult) else None
    return text(f"Model said: {told.text if isinstance(told, TextContent) else '?'}")


@TOOLS.tool(SCOPE, title="Roots")
def test_input_required_result_list_roots(call: Call) -> CallToolResult | InputRequiredResult:
    """Ask for the client's roots."""
    answer = call.answers.get("client_roots")
    if answer is None:
        return InputRequiredResult(input_requests={"client_roots": ListRootsRequest()})
    return text(f"Client exposed {len(answer.roots) if isinstance(answer, ListRootsResult) else 0} root(s).")


@TOOLS.tool(SCOPE, title="State")
def test_input_required_result_request_state(call: Call) -> CallToolResult | InputRequiredResult:
    """Give the client a state to bring back."""
    if "confirm" in call.answers and call.state == "request-state-nonce":
        return text("state-ok: confirmation received")
    asked = {"confirm": ask("Please confirm", OK_FORM)}
    return InputRequiredResult(input_requests=asked, request_state="request-state-nonce")


@TOOLS.tool(SCOPE, title="Several questions")
def test_input_required_result_multiple_inputs(call: Call) -> CallToolResult | InputRequiredResult:
    """Ask user, model and client at once."""
    if {"user_name", "greeting", "client_roots"} <= call.answers.keys():
        return text("All inputs received.")
    asked = {"user_name": ask(), "greeting": sample("Generate a greeting", 50), "client_roots": ListRootsRequest()}
    return InputRequiredResult(input_requests=asked, request_state="multiple-inputs")


@TOOLS.tool(SCOPE, title="Several rounds")
def test_input_required_result_multi_round(call: Call) -> CallToolResult | InputRequiredResult:
    """Ask for a name, then for a colour."""
    state = orjson.loads(call.state) if call.state else {"round": 0}
    if state["round"] == 1 and "step1" in call.answers:
        step = call.answers["step1"]
        name = step.content.get("name") if isinstance(step, ElicitResult) and step.content else None
        asked = {"step2": ask("Step 2: What is your favorite color?", COLOUR_FORM)}
        return InputRequiredResult(
            input_requests=asked, request_state=orjson.dumps({"round": 2, "name": name}).decode()
        )
    if state["round"] == 2 and "step2" in call.answers:  # noqa: PLR2004  # the second round
        step = call.answers["step2"]
        colour = step.content.get("color") if isinstance(step, ElicitResult) and step.content else None
        return text(f"{state.get('name')} likes {colour}.")
    asked = {"step1": ask("Step 1: What is your name?")}
    return InputRequiredResult(input_requests=asked, request_state='{"round":1}')


@TOOLS.tool(SCOPE, title="Sealed state")
def test_input_required_result_tampered_state(call: Call) -> CallToolResult | InputRequiredResult:
    """Give the client a state; one that was changed never gets here."""
    if call.state is None:
        return InputRequiredResult(input_requests={"confirm": ask("Please confirm", OK_FORM)}, request_state="round-1")
    return text(f"state-ok: {call.state}")


@TOOLS.tool(SCOPE, title="Only what the client can")
def test_input_required_result_capabilities(call: Call) -> CallToolResult | InputRequiredResult:
    """Ask for nothing that the client has not declared."""
    can = call.context.session.client_capabilities
    asked: dict[str, Any] = {}
    if can is None or can.sampling is not None:
        asked["sample"] = sample("Say hello", 50)
    if can is None or can.elicitation is not None:
        asked["ask"] = ask()
    return InputRequiredResult(input_requests=asked, request_state="capability-gated")
