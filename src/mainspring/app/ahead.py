"""Fit what a calendar will ask for while the step process has nothing else to do.

A replayed policy that trains by the calendar asks for its candidates at times that are known before it starts, and
what a fit reads does not depend on what serves then. So its candidates are fitted beside the replays before it, and
it finds their steps in the cache: the same models, charged the same seconds, one idle core less. Every training that
somebody waits for goes first.
"""

import queue
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import TracebackType

from mainspring.app.training import Params
from mainspring.kernel.errors import MainspringError

Wanted = tuple[int, Params]


class Ahead:
    """Fits candidates in the background, in the order asked; use it in `with`. One that fails is left to its asker.

    fit: fits one, given the moment looked back from (UTC microseconds) and the parameters that it overrides.
    """

    def __init__(self, fit: Callable[[int, Params], object]) -> None:
        self._fit = fit
        self._wanted: queue.Queue[Wanted | None] = queue.Queue()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ahead", daemon=True)

    def __enter__(self) -> "Ahead":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def ask(self, candidates: Iterable[Wanted]) -> None:
        """Queue candidates: moments and parameters."""
        for wanted in candidates:
            self._wanted.put(wanted)

    def stop(self) -> None:
        """End after the candidate that is being fitted; what waits is left."""
        self._ended.set()
        self._wanted.put(None)

    def close(self) -> None:
        """Stop, and wait for the end."""
        self.stop()
        self._thread.join()

    def _run(self) -> None:
        while (wanted := self._wanted.get()) is not None and not self._ended.is_set():
            with suppress(MainspringError):  # whoever asks for it meets the same error and tells it
                self._fit(*wanted)
