"""A model that was damaged or tampered with never answers, and the last good version goes on."""

import logging
import random
from pathlib import Path

import pytest
from tests.unit.serve.serving_kit import MODEL, NOW, ListSink, MemoryReleases, digest
from tests.unit.serve.signed_models import graph, registered

from mainspring.adapters.files.keys import Keys
from mainspring.adapters.files.models import ModelStore
from mainspring.app.serving import SignedModels
from mainspring.kernel.times import FixedClock
from mainspring.serve.plane import Plane
from mainspring.serve.ports import Routing, Served
from mainspring.serve.reconciler import Reconciler


class Room:
    """A server's parts over real, signed models on disk."""

    def __init__(self, root: Path) -> None:
        self.root, self.store, self.keys = root, ModelStore(root / "models"), Keys(root / "state", root)
        self.releases = MemoryReleases()
        self.plane = Plane(log=ListSink(), clock=FixedClock(NOW), random=random.randbytes)
        models = SignedModels(self.store, self.keys, "local")
        self.reconciler = Reconciler(self.plane, self.releases, models)
        self.good, self.next = (registered(self.store, self.keys, factor) for factor in (0.5, 0.25))
        self.release(1, self.good)
        assert self.serves() == self.good

    def release(self, number: int, name: str) -> dict[str, str]:
        """Release a version and return what fails."""
        routing = Routing(model=MODEL, commit=f"{number:040x}", champion=Served(version=number, digest=name))
        self.releases.routing = routing
        return dict(self.reconciler.look(again=True).failures)

    def serves(self) -> str:
        serving = self.plane.serving
        return "" if serving is None else serving.champion.digest

    def file(self, name: str, path: str) -> Path:
        (found,) = (p for p in self.root.rglob(path) if name.removeprefix("sha256:") in str(p))
        return found


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path)


def test_a_flipped_bit_at_any_of_a_hundred_places_is_refused_and_the_last_good_version_serves(room: Room) -> None:
    source, refused = random.Random(8), 0
    for turn in range(100):
        path = room.file(room.next, ("model.onnx", "contract.json")[turn % 2])
        whole = path.read_bytes()
        at = source.randrange(len(whole))
        path.chmod(0o600)
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << source.randrange(8)]) + whole[at + 1 :])
        failures = room.release(2, room.next)
        refused += path.name in failures.get(room.next, "") and room.serves() == room.good
        path.write_bytes(whole)
    assert refused == 100
    assert room.release(2, room.next) == {}
    assert room.serves() == room.next


def test_a_model_exchanged_for_another_valid_one_is_refused_and_told_to_security(
    room: Room, caplog: pytest.LogCaptureFixture
) -> None:
    path = room.file(room.next, "model.onnx")
    path.chmod(0o600)
    path.write_bytes(graph(0.75))
    with caplog.at_level(logging.ERROR, "mainspring.security"):
        failures = room.release(2, room.next)
    assert "signature.refused" in failures[room.next]
    assert [record.name for record in caplog.records] == ["mainspring.security"]
    assert room.next in caplog.text
    assert room.serves() == room.good
    assert digest(9) not in caplog.text
