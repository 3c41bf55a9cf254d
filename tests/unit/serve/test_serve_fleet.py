"""Several models in one server: each is found by its name, and a path without a name only where there is one."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.serve.serving_kit import MODEL, Parts, digest

from mainspring.adapters.files.logs import SegmentWriter
from mainspring.serve.errors import NotReady, UnknownModel
from mainspring.serve.fleet import Fleet, Member
from mainspring.serve.log import PredictionLog


@contextlib.contextmanager
def fleet_of(root: Path, *parts: Parts) -> Iterator[Fleet]:
    logs = [PredictionLog(SegmentWriter(root / str(number))) for number in range(len(parts))]
    try:
        yield Fleet(
            [Member(label=f"p{i}", plane=p.plane, log=logs[i], reconciler=p.reconciler) for i, p in enumerate(parts)]
        )
    finally:
        for log in logs:
            log.close()


def test_a_model_is_found_once_its_release_is_loaded(tmp_path: Path) -> None:
    parts = Parts()
    with fleet_of(tmp_path, parts) as fleet:
        with pytest.raises(NotReady):
            fleet.plane(MODEL)
        assert not fleet.ready
        parts.serve()
        assert fleet.plane(MODEL) is parts.plane
        assert fleet.plane(MODEL) is parts.plane
        assert fleet.only() is parts.plane
        assert fleet.ready
        with pytest.raises(UnknownModel):
            fleet.plane("other")


def test_a_path_without_a_model_needs_a_server_of_one(tmp_path: Path) -> None:
    first, second = Parts(), Parts()
    first.serve()
    with fleet_of(tmp_path, first, second) as fleet:
        assert not fleet.ready
        assert fleet.planes == (first.plane, second.plane)
        with pytest.raises(UnknownModel, match="2 models"):
            fleet.only()
    with pytest.raises(NotReady):
        Fleet(()).only()


def test_an_unloaded_model_is_not_served_and_not_waited_for_until_it_is_loaded(tmp_path: Path) -> None:
    first, second = Parts(), Parts()
    for parts in (first, second):
        parts.serve()
    with fleet_of(tmp_path, first, second) as fleet:
        assert {entry["state"] for entry in fleet.index()} == {"READY"}
        fleet.unload("p1")
        assert fleet.ready
        second.reconciler.look(again=True)
        assert second.plane.serving is None
        assert [entry["state"] for entry in fleet.index()] == ["READY", "UNAVAILABLE"]
        assert [entry["name"] for entry in fleet.index(ready=True)] == [first.plane.model]
        fleet.load("p1")
        assert second.plane.serving is not None
        with pytest.raises(UnknownModel):
            fleet.load("nobody")


def test_two_projects_with_one_model_name_are_told_apart_by_nobody(tmp_path: Path) -> None:
    first, second = Parts(), Parts()
    for parts in (first, second):
        parts.serve()
    with fleet_of(tmp_path, first, second) as fleet, pytest.raises(UnknownModel, match="two projects"):
        fleet.plane(MODEL)


def test_a_version_that_failed_to_load_stands_in_the_index_with_its_reason(tmp_path: Path) -> None:
    parts = Parts()
    parts.serve()
    parts.models.models.pop(digest(2))
    parts.serve(1, 2, weight=10)
    with fleet_of(tmp_path, parts) as fleet:
        assert [(entry["version"], entry["state"]) for entry in fleet.index()] == [
            ("1", "READY"), (digest(2), "UNAVAILABLE"),
        ]  # fmt: skip
        assert "damaged" in fleet.index()[1]["reason"]
        assert [entry["version"] for entry in fleet.index(ready=True)] == ["1"]
        with pytest.raises(NotReady, match="damaged"):
            fleet.load("p0")
