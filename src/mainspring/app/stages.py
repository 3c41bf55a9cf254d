"""Long work told as it passes: seconds by stage, and a line now and then."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

Say = Callable[[str], None]
_TENTHS = 10


@dataclass(slots=True)
class Stages:
    """Seconds by stage, told as they pass."""

    say: Say
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str, what: str) -> Iterator[None]:
        """Time one stage."""
        self.say(f"{name}: {what}")
        started = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - started, 2)
        self.say(f"{name}: done in {self.seconds[name]:.1f} s")

    def bar(self, name: str) -> Callable[[str, float], None]:
        """Return a progress callback that says a line every tenth of the way."""
        told = [0]

        def progress(day: str, share: float) -> None:
            tenth = int(share * _TENTHS)
            if tenth > told[0]:
                told[0] = tenth
                self.say(f"  {name}: {day} ({tenth * _TENTHS} %)")

        return progress
