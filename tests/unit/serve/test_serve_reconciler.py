"""Following the release: a model is verified and checked before it serves, and a bad one changes nothing."""

from dataclasses import replace

import numpy as np
import pytest
from tests.unit.serve.serving_kit import MemoryReleases, Parts, TinyEngine, contract, digest

from mainspring.kernel.contract import Input
from mainspring.kernel.errors import Damaged
from mainspring.serve.errors import ModelRefused
from mainspring.serve.ports import LoadedModel, Routing
from mainspring.serve.reconciler import Reconciler
from mainspring.serve.versions import checked
from mainspring.stats.columns import Columns, Floats


class NanEngine(TinyEngine):
    """NaN on everything."""

    def __call__(self, columns: Columns, /) -> Floats:
        return np.full_like(super().__call__(columns), np.nan)


class OffEngine(TinyEngine):
    """A little off what was recorded."""

    def __call__(self, columns: Columns, /) -> Floats:
        return super().__call__(columns) + 1e-5


def serving(parts: Parts) -> list[int]:
    return [version.number for version in parts.plane.serving.versions()] if parts.plane.serving else []


def test_a_release_is_followed_once() -> None:
    parts = Parts()
    assert parts.reconciler.look().commit == ""
    commit = parts.releases.set(1)
    assert parts.reconciler.look().changed
    assert parts.reconciler.look().commit == commit
    assert not parts.reconciler.look().changed
    assert parts.reconciler.loads == 1


def test_a_weight_step_loads_nothing_again() -> None:
    parts = Parts()
    for weight in (5, 25, 100):
        parts.serve(1, 2, weight)
    parts.serve(2)
    assert parts.reconciler.loads == 2
    assert serving(parts) == [2]


@pytest.mark.parametrize("engine", [NanEngine(), OffEngine()])
def test_a_champion_that_misses_its_recorded_sample_keeps_the_old_one_serving(engine: TinyEngine) -> None:
    parts = Parts()
    parts.serve(1)
    parts.models.models[digest(3)] = LoadedModel(contract=contract(), engine=engine)
    old = parts.plane.serving
    parts.serve(3)
    assert parts.plane.serving is old
    assert "model.refused" in parts.reconciler.last.failures[digest(3)]


def test_a_damaged_challenger_leaves_the_champion_alone_and_is_reported_until_it_loads() -> None:
    parts = Parts()
    parts.models.models[digest(2)] = Damaged("model.onnx is damaged", fix="restore it")
    parts.serve(1, 2, weight=50)
    assert serving(parts) == [1]
    assert parts.plane.weight == 0
    assert digest(2) in parts.reconciler.look().failures
    parts.models.add(2, TinyEngine(1.0))
    assert digest(2) in parts.reconciler.look().failures
    assert not parts.reconciler.look(again=True).failures
    assert serving(parts) == [1, 2]


def test_a_challenger_that_reads_an_input_otherwise_is_refused() -> None:
    parts = Parts()
    parts.models.add(2, TinyEngine(1.0), [Input(name="weather.wind", kind="string")])
    parts.serve(1, 2, weight=50)
    assert serving(parts) == [1]
    assert "two kinds" in parts.reconciler.last.failures[digest(2)]


def test_a_champion_of_another_model_is_refused() -> None:
    parts = Parts()
    parts.releases.set(1)
    routing = parts.releases.routing
    assert routing is not None
    parts.releases.routing = Routing(model="other", commit="c", champion=routing.champion)
    assert digest(1) in parts.reconciler.look().failures
    assert parts.plane.serving is None


class TornReleases(MemoryReleases):
    """A release file that cannot be read for a while."""

    torn = True

    def current(self) -> Routing | None:
        if self.torn:
            raise Damaged("release.yaml cannot be read", fix="commit it again")
        return super().current()


def test_an_unreadable_release_keeps_the_old_one_serving() -> None:
    parts = Parts()
    parts.serve(1)
    torn = TornReleases()
    reconciler = Reconciler(parts.plane, torn, parts.models)
    assert reconciler.look().failures == {"release": "release.yaml cannot be read [damaged]"}
    assert serving(parts) == [1]
    torn.torn = False
    torn.set(2)
    assert reconciler.look().changed
    assert serving(parts) == [2]


@pytest.mark.parametrize(
    "sample", [{}, {"columns": {}, "scores": []}, {"columns": {"weather.wind": [1]}, "scores": [1]}]
)
def test_a_contract_without_a_usable_sample_is_refused(sample: dict[str, object]) -> None:
    with pytest.raises(ModelRefused):
        checked(1, digest(1), LoadedModel(contract=replace(contract(), sample=sample), engine=TinyEngine()))
