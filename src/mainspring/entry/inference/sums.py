"""Several workers' accounts as one: JSON documents joined, Prometheus expositions added up."""

from collections.abc import Iterable, Mapping
from typing import Any

from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

_SMALLEST = {"mainspring_ready", "mainspring_model_ready"}
_LARGEST = {
    "mainspring_release_info", "mainspring_challenger_weight", "mainspring_challenger_aborted",
    "mainspring_load_failures", "mainspring_model_info", "mainspring_tokens_failing",
}  # fmt: skip
_GROWING = ("counter", "histogram")

Key = tuple[str, tuple[tuple[str, str], ...]]


def joined(one: Any, other: Any) -> Any:  # noqa: ANN401 - JSON values
    """Return two JSON values of one shape as one: numbers add up, of texts the first that says something stands."""
    if isinstance(one, dict) and isinstance(other, dict):
        return {
            key: joined(one[key], other[key]) if key in one and key in other else one.get(key, other.get(key))
            for key in {**one, **other}
        }
    if isinstance(one, bool) and isinstance(other, bool):
        return one and other
    if isinstance(one, int | float) and isinstance(other, int | float):
        return one + other
    if isinstance(one, list) and isinstance(other, list):
        return [*one, *(item for item in other if item not in one)]
    return one or other


def families_of(exposition: str) -> list[Metric]:
    """Return what a text exposition says; counters without the `_created` series of their birth."""
    return [
        family
        for family in text_string_to_metric_families(exposition)
        if not (family.type == "gauge" and family.name.endswith("_created"))
    ]


def growing(families: Iterable[Metric]) -> dict[Key, float]:
    """Return the series that only grow: what of a worker that ended must not be lost."""
    return {
        key: value for family in families if family.type in _GROWING for key, value in _series(family)
    }  # fmt: skip


def added(expositions: Iterable[Iterable[Metric]], ended: Mapping[Key, float]) -> bytes:
    """Return one text exposition of several. ended: totals of workers that are no more."""
    whole: dict[str, Metric] = {}
    totals: dict[Key, float] = dict(ended)
    kinds: dict[str, str] = {}
    seen: set[Key] = set()
    for families in expositions:
        for family in families:
            kinds[family.name] = family.type
            template = whole.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            for key, value in _series(family):
                totals[key] = _merged(family.name, totals.get(key), value)
                if key not in seen:
                    seen.add(key)
                    template.add_sample(key[0], dict(key[1]), 0.0)
    for template in whole.values():
        samples = [sample._replace(value=totals[_key(sample)]) for sample in template.samples]
        template.samples[:] = samples
    return choose_encoder("text/plain")[0](_Given(list(whole.values())))


class _Given(Collector):
    """A registry's place taken by families that are there already."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        return self._families


def _merged(name: str, one: float | None, other: float) -> float:
    if one is None:
        return other
    if name in _SMALLEST:
        return min(one, other)
    return max(one, other) if name in _LARGEST else one + other


def _series(family: Metric) -> list[tuple[Key, float]]:
    return [(_key(sample), float(sample.value)) for sample in family.samples]


def _key(sample: Any) -> Key:  # noqa: ANN401 - the library's sample
    return sample.name, tuple(sorted(sample.labels.items()))
