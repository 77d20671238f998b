import os

import dagster as dg
import pytest

from resources.ai import bridge
from resources.ai.build import AiOptions, build_ai
from resources.ai.ledger.postgres import PostgresCallBooks
from resources.ai.memory import HashingEmbedder
from resources.ai.model import CallContext, EmbedRequest
from resources.ai.pipeline import AiCalls
from resources.ai.resource import ai_resource
from resources.database.postgres import Database
from resources.errors import InvalidInputError
from tests.resources.ai.calls.parts import request

OPTIONS = """{"providers": {"offline": {"kind": "offline"}, "vectors": {"kind": "hashing"}}, "redact": true,
    "memo_secret": "0123456789abcdef", "lease": 5, "free_providers": ["offline", "vectors"],
    "quotas": [{"provider": "offline", "model": "m", "requests": 1000}]}"""


def passages(provider: str) -> str:
    return f"Summarise. Graphs have nodes and edges. Ask ann@example.org about {provider}."


def test_an_op_gets_calls_that_work_without_any_key(
    database: Database, database_url: str, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIW_DATABASE__URL", database_url)
    instances: list[AiCalls] = []

    @dg.op
    def ask(ai: dg.ResourceParam[AiCalls]) -> None:
        instances.append(ai)
        asked = request(passages("graphs"), provider="offline", model="extractive-v1", max_output_tokens=200)
        result = ai.complete_sync(asked, CallContext(tenant=tenant, run_id="r"))
        assert result.answer.simulated
        assert "[[EMAIL" not in result.answer.text
        assert result.cost == 0
        vectors = EmbedRequest(provider="vectors", model=HashingEmbedder().model_id, texts=("a", "b"))
        assert len(ai.embed_sync(vectors, CallContext(tenant=tenant, run_id="r")).embeddings.vectors) == 2

    @dg.job
    def asking() -> None:
        ask()

    resource = ai_resource(AiOptions.model_validate_json(OPTIONS))
    for _ in range(2):
        assert asking.execute_in_process(resources={"ai": resource}).success
    totals = PostgresCallBooks(database).totals("run", tenant=tenant)["r"]
    assert (totals.calls, totals.hits, totals.unpriced) == (4, 2, 0)
    assert instances[0] is instances[1]


async def test_a_provider_that_is_not_configured_is_told_with_those_that_are(database: Database, tenant: str) -> None:
    calls = build_ai(database, AiOptions())
    with pytest.raises(InvalidInputError, match="there are: local, offline"):
        await calls.complete(request(provider="nobody"), CallContext(tenant=tenant))
    await calls.close()


async def answer_of_the_loop() -> int:
    return os.getpid()


def test_a_forked_process_has_a_loop_of_its_own() -> None:
    assert bridge.run(answer_of_the_loop()) == os.getpid()
    child = os.fork()
    if not child:
        os._exit(0 if bridge.run(answer_of_the_loop()) == os.getpid() else 1)
    assert os.waitpid(child, 0)[1] == 0
