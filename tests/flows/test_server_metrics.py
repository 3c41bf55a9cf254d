"""What `/metrics` tells besides requests: the cache, what the process costs, and what a watch found."""

from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from tests.unit.serve.serving_kit import MODEL, Parts, RunningServer, body, running

from mainspring.adapters.prometheus.exposition import ReadingsFile, shown
from mainspring.entry.inference.binding import Listening
from mainspring.observe.readings import Reading
from mainspring.serve.cache import ScoreCache
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
