"""An agent in a process of its own, which a test kills. Started as `python -m`: URL TENANT RUN PROVIDER JOURNAL.

The model is a server that counts what it is asked; each use of the tool writes a line to the journal.
"""

from __future__ import annotations

import sys
import uuid
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from resources.agents.loop import Agents
from resources.agents.spec import AgentTask
from resources.agents.tools.port import Tool
from resources.ai.build import AiOptions, build_ai
from resources.ai.directory import ProviderConfig
from resources.ai.providers.options import ProviderOptions
from resources.database.postgres import Database
from resources.events.postgres import PostgresEventStore
from resources.prompts.engine import PromptEngine
from resources.prompts.library import PromptLibrary
from tests.resources.agents.parts import occasion, spec, tool

STEPS = 5


def main(url: str, tenant: str, run: str, provider: str, journal: Path) -> None:
    database = Database(url, pool_size=4)
    options = ProviderOptions(base_url=provider, api_key=SecretStr("key"), egress=None)
    providers = {"openai": ProviderConfig(kind="openai", options=options)}
    events = PostgresEventStore(database)
    calls = build_ai(database, AiOptions(providers=providers, lease=0.5, attempts=1))
    agents = Agents(calls, PromptLibrary(events, PromptEngine()), events)

    def look(given: Any, use: Any) -> str:
        with journal.open("a") as file:
            file.write(f"{given['q']} {use.key}\n")
        return f"seen {given['q']}"

    who = spec("look").model_copy(update={"provider": "openai", "model": "gpt-4o"})
    found = agents.run_sync(
        who,
        AgentTask(prompt="Count."),
        [Tool(tool().spec, look)],
        occasion(uuid.UUID(run), tenant=tenant, memo="off"),
    )
    sys.stdout.write(found.answer + "\n")


if __name__ == "__main__":
    url, tenant, run, provider, journal = sys.argv[1:]
    main(url, tenant, run, provider, Path(journal))
