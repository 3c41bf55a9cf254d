"""Whose turn it is at the one step process: whoever is in no hurry lets all others go first."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """One holder at a time, for any number of threads. A patient one waits until nobody else waits."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._busy = False
        self._hurried = 0

    @property
    def hurried(self) -> int:
        """How many wait in a hurry."""
        return self._hurried

    @contextmanager
    def turn(self, *, patient: bool = False) -> Iterator[None]:
        """Hold the turn for a block. A block that runs is never interrupted."""
        with self._changed:
            self._hurried += not patient
            try:
                self._changed.wait_for(lambda: not self._busy and not (patient and self._hurried))
            finally:
                self._hurried -= not patient
            self._busy = True
        try:
            yield
        finally:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
