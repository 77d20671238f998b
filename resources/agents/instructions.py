"""What an agent is told before it begins: its instruction, what was said before, and its task."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from resources.ai.model import Message
from resources.ai.untrusted import RULE, as_data
from resources.errors import InvalidInputError, Problem

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from resources.agents.sessions import Remembered
    from resources.agents.spec import AgentSpec, AgentTask
    from resources.agents.tools.port import Tool
    from resources.prompts.library import PromptLibrary


@dataclass(frozen=True, slots=True)
class Told:
    """The first messages. `task` is the user's last one; `versions` are those of the prompts, by what they are for."""

    messages: tuple[Message, ...]
    task: str
    versions: dict[str, str]
    untrusted: bool

    @property
    def prompt_version(self) -> str | None:
        """The one that the answer is linked to: the task's, else the instruction's."""
        return self.versions.get("prompt") or self.versions.get("system")

    def after(self, before: Remembered) -> Told:
        """The same, after a conversation."""
        first = 1 if self.messages[0].role == "system" else 0
        messages = (*self.messages[:first], *before.messages, *self.messages[first:])
        return replace(self, messages=messages, untrusted=self.untrusted or before.untrusted)


def instruct(
    spec: AgentSpec,
    task: AgentTask,
    tools: Collection[Tool],
    prompts: PromptLibrary,
    versions: Mapping[str, str],
    *,
    tenant: str,
) -> Told:
    """Fill the prompts in. `versions`: of the prompts named `system` and `prompt` of the spec.

    Raises InvalidInputError for a task without words, or variables that do not fit; NotFoundError.
    """
    system = [_system(spec, tools, prompts, versions, tenant=tenant)]
    words = [task.prompt] if task.prompt else []
    if "prompt" in versions and (task.variables or not task.prompt):
        rendered = prompts.render(versions["prompt"], task.variables, tenant=tenant)
        system.append(rendered.system or "")
        words.insert(0, rendered.text)
    elif task.variables:
        problem = Problem("variables", "there is no prompt to put them in", "name one as the agent's `prompt`")
        raise InvalidInputError(f"The agent {spec.name!r}: {problem}.", problems=(problem,), code="agent_task_invalid")
    if not words:
        problem = Problem("prompt", "is missing", "say what the agent is to do")
        raise InvalidInputError(f"The agent {spec.name!r}: {problem}.", problems=(problem,), code="agent_task_invalid")
    if tools or task.documents:
        system.append(RULE)
    said = "\n\n".join(words)
    documents = [as_data(text, source=f"document {number}") for number, text in enumerate(task.documents, 1)]
    instruction = "\n\n".join(part for part in system if part)
    messages = [Message(role="system", text=instruction)] if instruction else []
    messages.append(Message(role="user", text="\n\n".join((said, *documents))))
    return Told(tuple(messages), said, dict(versions), untrusted=bool(documents))


def _system(
    spec: AgentSpec, tools: Collection[Tool], prompts: PromptLibrary, versions: Mapping[str, str], *, tenant: str
) -> str:
    if "system" not in versions:
        return spec.instructions or spec.goal
    limits = spec.limits
    facts = {
        "name": spec.name,
        "goal": spec.goal,
        "tools": [{"name": tool.name, "description": tool.spec.description} for tool in tools],
        "limits": f"{limits.steps} turns, {limits.tool_calls} uses of tools",
    }
    wanted = prompts.get(versions["system"], tenant=tenant).spec.variables
    rendered = prompts.render(
        versions["system"], {name: fact for name, fact in facts.items() if name in wanted}, tenant=tenant
    )
    return "\n\n".join(part for part in (rendered.system, rendered.text) if part)
