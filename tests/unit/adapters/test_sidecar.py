"""A process beside the server: it answers, refuses, crashes and hangs without taking the server with it."""

import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from tests.unit.adapters import sidecars

from mainspring.adapters.process.sidecar import Patience, Sidecar, SidecarGone, SidecarLate
from mainspring.kernel.errors import InvalidValue

PAUSES = Patience(pauses_s=(0.0, 1.0, 4.0))
ARGV = [sys.executable, sidecars.__file__]


class Now:
    """Seconds that a test sets."""

    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def now() -> Now:
    return Now()


@pytest.fixture
def sidecar(tmp_path: Path, now: Now) -> Iterator[Sidecar]:
    found = Sidecar(ARGV, lambda: b"told ", log=tmp_path / "log", patience=PAUSES, clock=now)
    yield found
    found.close()


def test_it_starts_at_the_first_call_and_keeps_what_it_was_told(sidecar: Sidecar, tmp_path: Path) -> None:
    assert sidecar.pid == 0
    assert sidecar.call(b"a") == b"told a"
    pid = sidecar.pid
    large = b"b" * (1 << 20)
    assert sidecar.call(large) == b"told " + large
    with pytest.raises(InvalidValue, match="not this"):
        sidecar.call(b"?")
    assert sidecar.call(b"p") == b"told p"
    assert (tmp_path / "log").read_text() == "a library prints"
    assert (sidecar.pid, sidecar.starts) == (pid, 1)
    sidecar.close()
    assert not psutil.pid_exists(pid)


def test_a_crash_is_told_and_the_next_start_waits_longer_each_time(sidecar: Sidecar, now: Now) -> None:
    with pytest.raises(SidecarGone, match="status 3"):
        sidecar.call(b"!")
    with pytest.raises(SidecarGone, match="started again later"):
        sidecar.call(b"a")
    now.seconds = 1.5
    assert sidecar.call(b"a") == b"told a"
    with pytest.raises(SidecarGone):
        sidecar.call(b"!")
    now.seconds = 3.0
    with pytest.raises(SidecarGone, match="later"):
        sidecar.call(b"a")
    now.seconds = 6.0
    sidecar.start()
    assert sidecar.starts == 3
    now.seconds = 400.0
    assert sidecar.call(b"a") == b"told a"
    with pytest.raises(SidecarGone):
        sidecar.call(b"!")
    now.seconds = 401.5
    assert sidecar.call(b"a") == b"told a"


def test_a_call_that_takes_too_long_ends_the_process(tmp_path: Path) -> None:
    late = Sidecar(ARGV, lambda: b"", log=tmp_path / "log", patience=Patience(call_s=0.3))
    assert late.call(b"a", seconds=30.0) == b"a"
    pid = late.pid
    with pytest.raises(SidecarLate, match=r"0\.3 s"):
        late.call(b"z")
    assert not psutil.pid_exists(pid)


def test_what_cannot_start_is_told(tmp_path: Path) -> None:
    broken = Sidecar([sys.executable, "-c", "raise SystemExit(4)"], lambda: b"", log=tmp_path / "log")
    with pytest.raises(SidecarGone, match="status 4"):
        broken.call(b"a")


def test_an_end_at_once_does_not_wait_for_a_start(tmp_path: Path) -> None:
    """Nor is the process started again for a call that met the end of the one before."""
    for delay in (0.0, 0.01, 0.05, 0.2):
        starting = Sidecar(ARGV, lambda: b"", log=tmp_path / "log")
        told: list[SidecarGone] = []
        thread = threading.Thread(target=hangs_in, args=(starting, told))
        thread.start()
        while not starting._turn.locked():
            time.sleep(0.001)
        time.sleep(delay)
        began = time.monotonic()
        starting.close(0.0)
        assert time.monotonic() - began < 10.0
        thread.join(20)
        assert len(told) == 1
        assert starting.pid == 0


def hangs_in(found: Sidecar, told: list[SidecarGone]) -> None:
    try:
        found.call(b"z")
    except SidecarGone as error:
        told.append(error)


def test_an_end_at_once_does_not_wait_for_a_call(tmp_path: Path) -> None:
    busy = Sidecar(ARGV, lambda: b"", log=tmp_path / "log")
    busy.start()
    told: list[SidecarGone] = []
    thread = threading.Thread(target=hangs_in, args=(busy, told))
    thread.start()
    while "asleep" not in (tmp_path / "log").read_text():
        time.sleep(0.01)
    began = time.monotonic()
    busy.close(0.0)
    thread.join(20)
    assert time.monotonic() - began < 5.0
    assert [error.asked for error in told] == [True]
    assert busy.pid == 0
