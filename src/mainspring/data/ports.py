"""What the data layer needs from outside: training tables, the online store and the reader of sources.

Every adapter of a port passes its suite in tests/conformance.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from mainspring.data.expectations import Expectations
from mainspring.data.snapshots import SourceTable
from mainspring.data.views import Definitions, Source
from mainspring.kernel.stores import Store
from mainspring.stats.columns import Columns

ASK_VIEW = "ask"
"""The name under which `stream` gives the ask's own rows; no view may be called so."""
KEY_JOINT = "\x1f"
"""Joins the texts of a key of several columns."""
NEVER = -(2**63)
"""Before every time: the watermark of a view of which nothing was written."""
ALWAYS = -(2**62)
"""The time from which rows of a source without event time hold."""


class TrainingSets(Protocol):
    """Answers what was known when, over whole tables. Passes tests/conformance/test_training_sets.py.

    Times in its answers are int64 UTC microseconds, keys are strings, numbers float64 with NaN for null.
    """

    def asks(self, definitions: Definitions, start: int, end: int) -> Columns:
        """Return every ask with start <= at < end: `key`, `at` and the early columns of its row, by (at, key)."""

    def build(self, definitions: Definitions, asks: Columns) -> Columns:
        """Return `key`, `at` and every feature of `asks` (as `asks` gives them), in the same order."""

    def targets(self, definitions: Definitions) -> Columns:
        """Return every version of every label: `key`, `asked_at`, `value`, `known_at`; null values left out."""

    def write(self, definitions: Definitions, path: Path) -> None:
        """Write one Parquet file of all asks: `key`, `asked_at` (BIGINT), features; by (asked_at, key).

        Equal content gives equal bytes, wherever it is written.
        """

    def stream(self, definitions: Definitions, view: str, start: int, end: int) -> Columns:
        """Return what `view` shows from when, for start < at <= end: `key`, `at`, `event_time` and its columns.

        A key of several columns is their texts joined by "\\x1f". `ASK_VIEW` names the ask's own rows and gives
        their early columns. A row of a table without event time has at and event_time `ALWAYS`.
        """


class OnlineStore(Protocol):
    """Keeps what each view showed from when, for single keys. Passes tests/conformance/test_online.py.

    `view` is any identifier; two definitions of a view have two (`flows.materialise.stored_name`).
    """

    def write(self, view: str, rows: Columns, *, whole: bool = False) -> None:
        """Add rows of `stream`; the same (key, at) again replaces. No rows at all still make the view known.

        Rows later than the watermark are not seen before `publish`. whole: the rows are all that the view has; what it
        had before goes with the next `publish` at the latest. `Damaged` if the view has other columns.
        """

    def read(self, keys: Mapping[str, Sequence[str | None]], at: Sequence[int]) -> dict[str, Columns]:
        """Return for each view and (key, at) the row last shown up to `at` and up to the view's watermark.

        keys: by view, as many as `at`. Each answer has `event_time` (NEVER if none) and the view's columns; a key that
        is None or unknown gives nulls. `NotFound` if a view was never written.
        """

    def watermark(self, view: str) -> int:
        """Return the time up to which the view is complete; `NEVER` for an unknown one."""

    def publish(self, until: Mapping[str, int]) -> None:
        """Say that views, already written, are complete up to a time each: all at once. No watermark goes back."""

    def prune(self, view: str, before: int) -> None:
        """Forget what no read at or after `before` can see; reads before it are no longer right."""


class SourceReader(Protocol):
    """Reads a source's file, judges it and keeps it as canonical Parquet in a content store.

    Equal bytes read by an equal spec give equal tables, partition digests included.
    """

    def fingerprint(self, source: Source) -> str:
        """Return the digest of the file's bytes; `SourceMissing` if there is none."""

    def ingest(
        self, source: Source, expectations: Expectations, store: Store, *, one_time_a_key: bool = False
    ) -> SourceTable:
        """Read, judge and store a source; nothing is stored if it is refused.

        one_time_a_key: refuse a key with two event times (for the source that is asked about).
        Raises `DataRefused` with every finding, `SourceMissing`, or `SourceChanged` if the file changes meanwhile.
        """
