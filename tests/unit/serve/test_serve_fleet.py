"""Several models in one server: each is found by its name, and a path without a name only where there is one."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.serve.serving_kit import MODEL, Parts

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
