"""What `/metrics` tells besides requests: the cache, what the process costs, and what a watch found."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from prometheus_client.parser import text_string_to_metric_families
from tests.unit.serve.serving_kit import MODEL, BrokenEngine, Parts, RunningServer, TinyEngine, body, digest, running

from mainspring.adapters.prometheus.exposition import ReadingsFile, shown
from mainspring.entry.inference.binding import Listening
from mainspring.observe.readings import Reading
from mainspring.serve.cache import ScoreCache
from mainspring.serve.ports import EngineName, LoadedModel
from mainspring.serve.reconciler import Reconciler


def scraped(server: RunningServer) -> dict[str, float]:
    """Return the sum of every metric's samples."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(server.ask("GET", "/metrics")[2].decode()):
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0.0) + sample.value
    return found


def test_a_cache_counts_its_hits_and_without_one_there_is_no_such_number(tmp_path: Path) -> None:
    parts = Parts()
    parts.reconciler = Reconciler(parts.plane, parts.releases, parts.models, cache=ScoreCache())
    with running(tmp_path / "cached", parts) as server:
        before = scraped(server)
        for _ in range(3):
            server.infer(body(2))
        after = scraped(server)
    assert after["mainspring_cache_misses_total"] == before["mainspring_cache_misses_total"] + 1
    assert after["mainspring_cache_hits_total"] == before["mainspring_cache_hits_total"] + 2
    assert after["mainspring_cache_bytes"] > 0
    with running(tmp_path / "plain") as server:
        assert not any(name.startswith("mainspring_cache") for name in scraped(server))


def test_what_each_version_answered_and_failed_is_told_apart(tmp_path: Path) -> None:
    parts = Parts()
    parts.models.add(1, BrokenEngine(lambda scores: scores * (np.nan if len(scores) == 5 else 1.0), 0.0))
    parts.models.add(2, BrokenEngine(lambda scores: scores * np.nan))
    parts.releases.set(1, 2, 100)
    with running(tmp_path, parts) as server:
        assert [server.infer(body(rows))[0] for rows in (3, 4, 5)] == [200, 200, 500]
        text = server.ask("GET", "/metrics")[2].decode()
    for name, version, value in (("rows", 1, 7.0), ("failures", 1, 1.0), ("failures", 2, 2.0)):
        assert f'mainspring_version_{name}_total{{model="{MODEL}",version="{version}"}} {value}' in text


def test_the_process_tells_what_it_costs(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        before = scraped(server)
        for _ in range(20):
            server.infer(body(100))
        after = scraped(server)
    assert after["mainspring_cpu_seconds_total"] > before["mainspring_cpu_seconds_total"]
    assert 1e7 < after["mainspring_memory_bytes"] < 1e11


def test_the_last_readings_of_a_watch_are_shown_as_they_change(tmp_path: Path) -> None:
    path = tmp_path / "watch-local.prom"
    with running(tmp_path / "log", listening=Listening(drain_s=0.1, poll_s=0.05, beside=shown([path]))) as server:
        assert not any(name.startswith("mainspring_watch") for name in scraped(server))
        for rows in (10.0, 20.0):
            labels = {"model": MODEL, "environment": "local"}
            ReadingsFile(path).put(
                [Reading(name="mainspring_watch_window_rows", text="Rows", value=rows, labels=labels)]
            )
            assert scraped(server)["mainspring_watch_window_rows"] == rows
        path.write_text("half a fi")
        assert scraped(server)["mainspring_ready"] == 1


def test_which_engine_scores_each_loaded_version_is_told_and_forgotten_with_it(tmp_path: Path) -> None:
    parts = Parts()
    parts.models.add(3, TinyEngine(2.0))
    engines: dict[int, tuple[EngineName, str]] = {
        1: ("compiled trees", "mainspring_onnxv1"), 2: ("python process", "sklearn_skops"),
        3: ("onnxruntime", "onnx_onnxv1"),
    }  # fmt: skip
    for number, (engine, _) in engines.items():
        loaded = parts.models.models[digest(number)]
        assert isinstance(loaded, LoadedModel)
        parts.models.models[digest(number)] = replace(loaded, engine_name=engine)
    parts.releases.set(1, 2, 50)
    with running(tmp_path, parts) as server:
        for numbers in ((1, 2), (1, 3), (3,)):
            parts.releases.set(*numbers)
            parts.reconciler.look()
            assert _engines(server) == {(str(number), engines[number][0]): 1.0 for number in numbers}
            for number in numbers:
                status, _, told = server.ask("GET", f"/v2/models/{MODEL}/versions/{number}")
                assert (status, json.loads(told)["platform"]) == (200, engines[number][1])


def _engines(server: RunningServer) -> dict[tuple[str, str], float]:
    families = text_string_to_metric_families(server.ask("GET", "/metrics")[2].decode())
    (info,) = [family for family in families if family.name == "mainspring_model_info"]
    assert all(sample.labels["model"] == MODEL for sample in info.samples)
    return {(sample.labels["version"], sample.labels["engine"]): sample.value for sample in info.samples}
