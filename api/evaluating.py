"""Golden sets at the shell: asked and judged in this process, on the platform's database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from resources.errors import InvalidInputError, Problem

if TYPE_CHECKING:
    from resources.ai.evals.model import CaseResult
    from resources.settings import Settings


def evaluated(settings: Settings, database_url: str, given: Any) -> list[CaseResult]:
    """What came of each case. Raises InvalidInputError for what is no golden set."""
    from resources.ai import bridge
    from resources.ai.build import build_ai
    from resources.ai.configured import ai_options
    from resources.ai.evals.golden import run
    from resources.ai.evals.model import GoldenSet
    from resources.ai.evals.scorers import Scorers
    from resources.ai.minilm import MiniLmEmbedder
    from resources.ai.model import CallContext
    from resources.content import analysers
    from resources.content.parse import parse_document
    from resources.database.postgres import Database
    from resources.events.postgres import PostgresEventStore
    from resources.prompts.bundled import bundled_prompts
    from resources.prompts.engine import PromptEngine
    from resources.prompts.library import PromptLibrary

    try:
        golden = GoldenSet.model_validate(given)
    except ValidationError as error:
        problems = tuple(Problem(".".join(map(str, one["loc"])), one["msg"]) for one in error.errors(include_url=False))
        raise InvalidInputError(
            f"This is no golden set: {'; '.join(map(str, problems))}.", problems=problems, code="golden_invalid"
        ) from error

    def readability(text: str) -> float | None:
        return analysers.analyse(parse_document(text.encode())).readability

    database = Database(database_url, pool_size=2, application_name="aiw-cli")
    events = PostgresEventStore(database)
    ai = build_ai(database, ai_options(settings.ai, production=settings.environment == "production"))
    context = CallContext(tenant=settings.tenant, workflow=f"eval/{golden.name}")
    try:
        scorers = Scorers(MiniLmEmbedder(), ai, context, readability=readability)
        prompts = PromptLibrary(events, PromptEngine(), bundled=bundled_prompts())
        return list(run(golden, ai, scorers, prompts, context))
    finally:
        bridge.run(ai.close())
        events.close()
        database.close()
