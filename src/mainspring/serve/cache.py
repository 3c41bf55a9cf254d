"""A cache of scores, off by default: the same rows asked of the same model need no second call of its engine.

Keyed by the model's digest and the rows in one canonical form (-0.0 is 0.0, every NaN the same), so another model or
another row never finds it. Only scores are kept: each answer has its own prediction id and log record. Bounded by
entries and by bytes; the one used longest ago goes first. Scores that are not finite are not kept.
"""

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mainspring.serve.blocks import Block
from mainspring.stats.columns import Floats

_ENTRY_BYTES = 200  # what an entry takes besides its scores: key, array head, place in the order


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheLimits:
    """How much may be kept: requests, and bytes. rows: larger requests are not kept."""

    entries: int = 100_000
    size: int = 64 << 20
    rows: int = 1_000


class ScoreCache:
    """Keeps scores for the versions of one server. Safe in several threads. hits, misses: since the start."""

    def __init__(self, limits: CacheLimits | None = None) -> None:
        self._limits = limits or CacheLimits()
        self._kept: OrderedDict[bytes, Floats] = OrderedDict()
        self._lock = threading.Lock()
        self.size = self.hits = self.misses = 0

    def __len__(self) -> int:
        return len(self._kept)

    def wrapped(self, digest: str, score: Callable[[Block], Floats]) -> Callable[[Block], Floats]:
        """Return `score` of the model with this digest, asked only for rows that are not kept."""

        def cached(block: Block) -> Floats:
            if len(block.numbers) > self._limits.rows:
                return score(block)
            key = key_of(digest, block)
            found = self._get(key)
            if found is None:
                found = score(block)
                if np.isfinite(found).all():
                    self._put(key, found)
            return found

        return cached

    def _get(self, key: bytes) -> Floats | None:
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                self.misses += 1
                return None
            self.hits += 1
            self._kept.move_to_end(key)
            return found

    def _put(self, key: bytes, scores: Floats) -> None:
        kept = np.array(scores)  # a part of a batch would keep the whole batch alive
        kept.flags.writeable = False
        with self._lock:
            if key in self._kept:
                return
            self._kept[key] = kept
            self.size += kept.nbytes + _ENTRY_BYTES
            while self.size > self._limits.size or len(self._kept) > self._limits.entries:
                _, gone = self._kept.popitem(last=False)
                self.size -= gone.nbytes + _ENTRY_BYTES


def key_of(digest: str, block: Block) -> bytes:
    """Return the key of rows asked of a model."""
    numbers = np.where(np.isnan(block.numbers), np.nan, block.numbers + 0.0)
    found = hashlib.blake2b(digest_size=32)
    head = [digest, *block.numbers.shape, *block.texts.shape]
    found.update(json.dumps(head).encode("utf-8") + b"\x00")
    found.update(np.ascontiguousarray(numbers).tobytes())
    if block.texts.size:
        found.update(json.dumps(block.texts.tolist(), ensure_ascii=True).encode("ascii"))
    return found.digest()
