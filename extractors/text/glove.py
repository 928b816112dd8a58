"""GloVe, or any table of word vectors: one vector a phrase, the mean of its words.

Source: Pennington et al., GloVe: global vectors for word representation, EMNLP 2014. LEAP takes GloVe 6B, 300
dimensions; the norms of its published phrase vectors agree with plain means of the words'.
"""

from __future__ import annotations

import logging
import re
import socket
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from extractors.text.embedder import TextEmbedder
from extractors.text.word_vectors import Vectors, read_word_vectors
from extractors.weights.cache import TIMEOUT_SECONDS, file_sha256
from extractors.weights.inventory import WeightsFile, gensim_data_file
from extractors.weights.loading import WeightsSource, resolve
from storage.errors import InvalidInput, WeightsError

GENSIM_DATA = "glove-wiki-gigaword-300"
"""GloVe 6B, 300 dimensions, as gensim-data publishes it."""

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_GENSIM_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)+")


class Glove(TextEmbedder):
    """``glove``: the mean of the vectors of a phrase's words, looked up as written and then in lower case.

    Weights are a file, a name in gensim-data, ``pretrained`` (which is ``glove-wiki-gigaword-300`` there), or
    ``random:SEED``, which gives each word numbers of its own.
    """

    options: ClassVar[Mapping[str, tuple[str, ...]]] = {"oov": ("error", "skip-word"), "dim": ("300", "N …")}
    libraries: ClassVar[tuple[str, ...]] = ("gensim", "numpy")

    def __init__(self, *, name: str, variant: str = "", options: Mapping[str, str] | None = None) -> None:
        super().__init__(name=name, variant=variant, options=options)
        if not (self.chosen["dim"].isascii() and self.chosen["dim"].isdigit() and int(self.chosen["dim"])):
            raise InvalidInput(f"--dim {self.chosen['dim']!r}: expected a positive number")
        self.dim = int(self.chosen["dim"])
        self._path: Path | None = None
        self._seed = 0

    @property
    def weights_files(self) -> tuple[WeightsFile, ...]:
        """The table of gensim-data."""
        return (gensim_data_file(GENSIM_DATA, megabytes=394.4),)

    def fetch(self) -> None:
        """See :meth:`TextEmbedder.fetch`."""
        _from_gensim_data(GENSIM_DATA)

    def load(self, weights: str, *, device: str = "cpu") -> None:
        """Find the file; it is read when texts are embedded. The device plays no part."""
        if weights.startswith("random"):
            found = resolve(weights, WeightsSource("", ""))
            self.weights, self.weights_source, self._seed = found.identity, found.source, found.seed
            return
        path = Path(weights).expanduser()
        if weights == "pretrained" or (not path.exists() and _GENSIM_NAME.fullmatch(weights)):
            name = GENSIM_DATA if weights == "pretrained" else weights
            path, self.weights_source = _from_gensim_data(name), f"gensim-data {name}"
        elif path.is_file():
            self.weights_source = str(path)
        else:
            raise WeightsError(
                f"weights {weights!r}: no such file. Give a file of word vectors, a name in gensim-data such as "
                f"{GENSIM_DATA}, or random:SEED"
            )
        self._path = path
        self.weights = f"sha256:{file_sha256(path)}"

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See :meth:`TextEmbedder.embed`.

        Raises:
            InvalidInput: If words are not in the table, unless ``oov`` is ``skip-word`` and others of the text are.
            WeightsError: If the table is broken or of another dimension.
        """
        phrases = [_WORD.findall(text) for text in texts]
        table = self._vectors({form for words in phrases for word in words for form in (word, word.lower())})
        rows, missing = [], []
        for text, words in zip(texts, phrases, strict=True):
            vectors = [table[form] for word in words if (form := _form_of(word, table)) is not None]
            missing += [f"{word!r} of {text!r}" for word in words if _form_of(word, table) is None]
            if not vectors and (self.chosen["oov"] == "skip-word" or not words):
                raise InvalidInput(f"{self.name}: no word of {text!r} is in {self.weights_source}")
            rows.append(np.mean(vectors, axis=0) if vectors else np.zeros(self.dim))
        if missing and self.chosen["oov"] == "error":
            raise InvalidInput(
                f"{self.name}: {self.weights_source} lacks {', '.join(missing)}. "
                "Change the prompts, or leave such words out: --oov skip-word"
            )
        return np.asarray(rows, dtype=np.float32).reshape(len(texts), self.dim)

    def _vectors(self, words: set[str]) -> Vectors:
        if not self.weights:
            raise RuntimeError("load() comes before embed()")
        if self._path is not None:
            return read_word_vectors(self._path, words, dim=self.dim)
        return {
            word: np.random.RandomState([zlib.crc32(word.encode()), self._seed])
            .uniform(-1, 1, self.dim)
            .astype(np.float32)
            for word in words
            if word == word.lower()
        }


def _form_of(word: str, table: Vectors) -> str | None:
    return next((form for form in (word, word.lower()) if form in table), None)


def _from_gensim_data(name: str) -> Path:
    """The file of a gensim-data name, downloaded once by gensim."""
    import gensim.downloader

    kept = Path(gensim.downloader.BASE_DIR) / name / f"{name}.gz"
    if kept.is_file():
        return kept
    logger, patience = logging.getLogger(gensim.downloader.__name__), socket.getdefaulttimeout()
    logger.disabled = True  # it logs a traceback where the network is out of reach
    socket.setdefaulttimeout(TIMEOUT_SECONDS)
    try:
        return Path(str(gensim.downloader.load(name, return_path=True)))
    except (OSError, ValueError, RuntimeError) as problem:
        reason = " ".join(str(problem).split()) or type(problem).__name__
        raise WeightsError(
            f"{name!r} cannot be had from gensim-data: {reason}. Give a glove.6B.300d.txt by its path, or random:0"
        ) from None
    finally:
        logger.disabled = False
        socket.setdefaulttimeout(patience)
