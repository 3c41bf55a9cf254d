"""Sick challengers and hot swaps beside traffic: the champion answers, the router acts at once, versions never mix."""

import http.client
import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from tests.unit.serve.serving_kit import (
    MODEL,
    BrokenEngine,
    Parts,
    RunningServer,
    TinyEngine,
    body,
    contract,
    digest,
    running,
)

from mainspring.kernel.errors import Damaged
from mainspring.serve.errors import ModelGone
from mainspring.serve.ports import LoadedModel
from mainspring.serve.router import places
from mainspring.stats.columns import Columns, Floats

INFER = f"/v2/models/{MODEL}/infer"


class SlowEngine(TinyEngine):
    """Takes its time over every call."""

    def __init__(self, seconds: float, shift: float = 0.0) -> None:
        super().__init__(shift)
        self._seconds = seconds

    def __call__(self, columns: Columns, /) -> Floats:
        time.sleep(self._seconds)
        return super().__call__(columns)


class Caller:
    """One keep-alive connection."""

    def __init__(self, server: RunningServer) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)

    def ask(self, key: str, rows: int = 1) -> tuple[int, str, list[float], list[int], float]:
        """Return (status, version header or error code, scores, versions, seconds)."""
        document = body(rows, parameters={"keys": [f"{key}{row or ''}" for row in range(rows)]})
        started = time.perf_counter()
        self._connection.request("POST", INFER, json.dumps(document), {"content-type": "application/json"})
        response = self._connection.getresponse()
        answer, took = json.loads(response.read()), time.perf_counter() - started
        if response.status != 200:
            return response.status, str(answer["code"]), [], [], took
        header = response.getheader("mainspring-version") or ""
        return 200, header, answer["outputs"][0]["data"], answer["parameters"]["versions"], took

    def close(self) -> None:
        self._connection.close()


def fails_at(rate: float) -> Callable[[Floats], Floats]:
    source = np.random.default_rng(7)

    def fail(scores: Floats) -> Floats:
        if source.random() < rate:
            raise RuntimeError("a canary")
        return scores

    return fail


def asked(server: RunningServer) -> int:
    found = server.client()
    state = found.state()
    found.close()
    return int(state["challenger"]["requests"])


@pytest.mark.parametrize(("rate", "within"), [(1.0, 20), (0.2, 100), (0.02, 1_000)])
def test_a_challenger_that_fails_is_rolled_back_and_no_request_with_it(
    tmp_path: Path, rate: float, within: int
) -> None:
    parts = Parts()
    parts.models.add(2, BrokenEngine(fails_at(rate)))
    parts.releases.set(1, 2, weight=50)
    with running(tmp_path, parts) as server:
        caller = Caller(server)
        for turn in range(within + 1):
            status, _, scores, _, _ = caller.ask(f"{turn}-", rows=3)
            assert status == 200
            assert np.isfinite(scores).all()
        caller.close()
        assert parts.plane.weight == 0
        assert asked(server) <= within


def test_a_challenger_that_answers_nan_is_rolled_back_within_twenty_requests(tmp_path: Path) -> None:
    parts = Parts()
    parts.models.add(2, BrokenEngine(lambda scores: np.full_like(scores, np.nan)))
    parts.releases.set(1, 2, weight=100)
    with running(tmp_path, parts) as server:
        caller = Caller(server)
        answers = [caller.ask(f"{turn}-", rows=3) for turn in range(30)]
        caller.close()
        assert {answer[0] for answer in answers} == {200}
        assert all(np.isfinite(answer[2]).all() for answer in answers)
        assert asked(server) <= 20
        assert parts.plane.weight == 0


def champion_keys(parts: Parts, count: int, weight: float) -> list[str]:
    """Return keys whose requests the champion answers."""
    routing = parts.releases.routing
    assert routing is not None
    names = [f"k{number}-" for number in range(count * 3)]
    beyond = places(names, routing.rollout_id) >= weight * 100
    return [name for name, is_beyond in zip(names, beyond, strict=True) if is_beyond][:count]


@pytest.mark.slow
def test_a_challenger_five_times_as_slow_is_rolled_back_and_the_champions_callers_do_not_feel_it(
    tmp_path: Path,
) -> None:
    quiet, busy = Parts(), Parts()
    for parts in (quiet, busy):
        parts.models.add(1, SlowEngine(0.005))
    busy.models.add(2, SlowEngine(0.025))
    quiet.releases.set(1)
    busy.releases.set(1, 2, weight=50)
    keys = champion_keys(busy, 150, 50)
    with running(tmp_path / "quiet", quiet) as alone, running(tmp_path / "busy", busy) as beside:
        one, other = Caller(alone), Caller(beside)
        worst = 9.0
        for _ in range(3):  # another process may have had the machine
            took = [(one.ask(key)[4], other.ask(key)[4]) for key in keys]
            worst = min(worst, np.quantile([b for _, b in took], 0.99) / np.quantile([a for a, _ in took], 0.99))
        assert worst <= 1.10
        canary = Caller(beside)
        for turn in range(400):
            if busy.plane.override.aborted:
                break
            assert canary.ask(f"t{turn}-")[0] == 200
        assert busy.plane.weight == 0
        assert asked(beside) <= 200
        for caller in (one, other, canary):
            caller.close()


def test_a_challenger_whose_process_ends_at_half_the_traffic_costs_no_request(tmp_path: Path) -> None:
    ended = threading.Event()

    def gone(scores: Floats) -> Floats:
        if ended.is_set():
            raise ModelGone("the model's process ended", fix="see the server's log")
        return scores

    parts = Parts()
    parts.models.add(2, BrokenEngine(gone))
    parts.releases.set(1, 2, weight=50)
    with running(tmp_path, parts) as server:
        caller = Caller(server)
        versions = {version for turn in range(40) for version in caller.ask(f"{turn}-", rows=3)[3]}
        assert versions == {1, 2}
        ended.set()
        began = time.monotonic()
        statuses = [caller.ask(f"{turn}-", rows=3)[0] for turn in range(20)]
        assert parts.plane.weight == 0
        assert time.monotonic() - began < 1
        assert set(statuses) == {200}
        caller.close()


class NeverWarm(TinyEngine):
    """Its process ends when it is first asked."""

    def __call__(self, columns: Columns, /) -> Floats:
        raise ModelGone("the model's process ended", fix="see the server's log")


@pytest.mark.parametrize("loads", [True, False])
def test_a_challenger_that_fails_to_load_or_to_warm_up_takes_no_traffic(tmp_path: Path, loads: bool) -> None:
    parts = Parts()
    broken = LoadedModel(contract=contract(), engine=NeverWarm())
    parts.models.models[digest(2)] = broken if loads else Damaged("model.onnx is damaged", fix="restore it")
    with running(tmp_path, parts) as server:
        caller = Caller(server)
        parts.releases.set(1, 2, weight=50)
        (why,) = parts.reconciler.look().failures.values()
        assert ("ended" if loads else "damaged") in why
        versions = {version for turn in range(20) for version in caller.ask(f"{turn}-", rows=3)[3]}
        assert versions == {1}
        caller.close()


def test_a_hundred_hot_swaps_under_load_fail_no_request_and_mix_no_versions(tmp_path: Path) -> None:
    parts = Parts()
    rows: Columns = {"weather.wind": np.arange(4) * 0.5, "schedule.carrier": np.array(["AA"] * 4, dtype=object)}
    engines: dict[int, TinyEngine] = {1: TinyEngine(0.0), 2: SlowEngine(0.001, 1.0), 3: TinyEngine(2.0)}
    for number, engine in engines.items():
        parts.models.add(number, engine)
    expected = {number: engine(rows).tolist() for number, engine in engines.items()}
    done = threading.Event()

    def load(server: RunningServer, name: int) -> list[tuple[int, str, list[float], list[int], float]]:
        caller, seen, turn = Caller(server), [], 0
        while not done.is_set():
            seen.append(caller.ask(f"{name}-{turn}-", rows=4))
            turn += 1
        caller.close()
        return seen

    with running(tmp_path, parts) as server, ThreadPoolExecutor(3) as pool:
        seen = [pool.submit(load, server, name) for name in range(3)]
        for turn in range(100):
            parts.releases.set(1 + turn % 3)
            parts.reconciler.look()
            time.sleep(0.01)
        done.set()
        answers = [answer for found in seen for answer in found.result()]
    assert len(answers) > 100
    assert {answer[0] for answer in answers} == {200}, {answer[1] for answer in answers if answer[0] != 200}
    numbers = set()
    for _, header, scores, versions, _ in answers:
        (number,) = set(versions)
        numbers.add(number)
        assert header == str(number)
        assert scores == pytest.approx(expected[number])
    assert numbers == {1, 2, 3}
