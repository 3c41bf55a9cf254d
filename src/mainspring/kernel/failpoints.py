"""Named places where a test may make the product fail: `MAINSPRING_FAILPOINT=name:kill|err|delay`.

`NAMES` lists every place; a test fails when one is never hit.
"""

import os
import time

from mainspring.kernel.errors import InvalidValue

NAMES = (
    "file.replace",
    "ledger.append",
    "log.write",
    "model.store",
    "model.sign",
    "release.commit",
    "score.part",
    "snapshot.commit",
    "step.done",
    "version.assign",
)
_DELAY_S = 0.5
_KILLED = 137


def hit(name: str) -> None:
    """Fail here if the environment asks for it; cost one look-up otherwise."""
    wanted = os.environ.get("MAINSPRING_FAILPOINT")
    if wanted:
        _act(name, wanted)


def _act(name: str, wanted: str) -> None:
    place, _, how = wanted.partition(":")
    if place not in NAMES:
        raise InvalidValue(f"no failpoint is called {place!r}", fix=f"use one of: {', '.join(NAMES)}")
    if place != name:
        return
    if how == "kill":
        os._exit(_KILLED)
    if how == "delay":
        time.sleep(_DELAY_S)
    else:
        raise OSError(f"failpoint {name}")
