"""F34: a model in a process of its own that ends, or hangs, on one input. That input fails once and is refused then."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from tests.faults.bombs import ENDS, HANGS, Bomb
from tests.tools import ROOT
from tests.unit.serve.serving_kit import INPUTS, MODEL, Parts, RunningServer, body, contract, digest, running

from mainspring.adapters.process.sidecar import Patience, SidecarGone
from mainspring.adapters.skops.estimators import saved
from mainspring.app.python_models import PythonEngine
from mainspring.kernel.contract import Contract
from mainspring.kernel.errors import InvalidValue
from mainspring.serve.ports import LoadedModel

pytestmark = pytest.mark.slow  # every process imports scikit-learn
TRUST = [f"{Bomb.__module__}.Bomb"]
CALL_S = 1.0
MANY = tuple(0.0 for _ in range(12))  # a process that ends is started again at once


def _engine(folder: Path, trust: list[str]) -> PythonEngine:
    data = saved(Bomb().fit(None, None), TRUST)
    patience = Patience(start_s=60.0, call_s=CALL_S, pauses_s=MANY)
    return PythonEngine(data, INPUTS, trust, log=folder / "python.log", patience=patience)


def _contract() -> Contract:
    score = 1 / (1 + np.exp(-np.array([1.5, 0.0])))
    made = contract()
    return replace(made, sample={**made.sample, "scores": [repr(float(value)) for value in score]})


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningServer]:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    parts, engine = Parts(), _engine(tmp_path, TRUST)
    parts.models.models[digest(1)] = LoadedModel(contract=_contract(), engine=engine, beside=True)
    with running(tmp_path / "log", parts) as found:
        yield found
    engine.sidecar.close()


def _asked(server: RunningServer, wind: float) -> tuple[int, str]:
    document = body(1)
    document["inputs"][0]["data"] = [wind]
    status, answer = server.infer(document)
    return status, "" if status == 200 else str(answer["code"])


def test_a_row_that_ends_the_process_fails_once_and_is_refused_then(server: RunningServer) -> None:
    assert _asked(server, 1.0) == (200, "")
    assert _asked(server, ENDS) == (500, "model.failed")
    assert _asked(server, 1.0) == (200, "")
    for _ in range(3):
        assert _asked(server, ENDS) == (400, "request.input")
    assert _asked(server, 2.0) == (200, "")


def test_a_row_that_hangs_is_ended_and_refused_then(server: RunningServer) -> None:
    assert _asked(server, HANGS) == (500, "model.failed")
    assert _asked(server, HANGS) == (400, "request.input")
    assert _asked(server, 1.0) == (200, "")


def test_others_are_answered_while_rows_end_the_process(server: RunningServer) -> None:
    wanted = [1.0, 2.0, ENDS, 3.0, ENDS + 100, 4.0, ENDS, 5.0] * 4
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda wind: _asked(server, wind), wanted))
    for wind, (status, code) in zip(wanted, found, strict=True):
        assert (status, code) == (200, "") if wind != ENDS else status in (400, 500), (wind, status, code)
    assert [status for wind, (status, _) in zip(wanted, found, strict=True) if wind == ENDS].count(500) == 1


def test_the_process_ends_with_its_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    engine = _engine(tmp_path, TRUST)
    pid = engine.sidecar.pid
    assert psutil.pid_exists(pid)
    del engine
    assert not psutil.pid_exists(pid)


def test_types_that_were_not_allowed_do_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with pytest.raises((InvalidValue, SidecarGone), match=r"bombs\.Bomb"):
        _engine(tmp_path, [])


def test_the_model_is_told_as_its_metadata_says(server: RunningServer) -> None:
    assert json.loads(server.ask("GET", f"/v2/models/{MODEL}")[2])["versions"] == ["1"]
