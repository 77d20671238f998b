from __future__ import annotations

import dagster as dg

from resources.ai.memory import HashingEmbedder
from resources.ai.resource import EmbedderResource


def test_runs_of_one_process_share_an_embedder_of_the_same_configuration() -> None:
    context = dg.build_init_resource_context()
    first = EmbedderResource(threads=1).create_resource(context)
    assert EmbedderResource(threads=1).create_resource(context) is first
    assert EmbedderResource(threads=2).create_resource(context) is not first


def test_the_embedder_for_tests_must_be_asked_for() -> None:
    context = dg.build_init_resource_context()
    assert isinstance(EmbedderResource(model="hashing").create_resource(context), HashingEmbedder)
    assert not isinstance(EmbedderResource().create_resource(context), HashingEmbedder)
