"""The report page: whole, honest, self-contained and safe, whatever is put into it."""

import math
import random
import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mainspring.entry.console.report import PAGE_POLICY, render
from mainspring.kernel.errors import InvalidValue
from mainspring.kernel.times import DAY, HOUR, parse_time

START = parse_time("2013-05-01")
WEEKS = [START + i * 7 * DAY for i in range(35)]
COLUMNS = [
    "weather.wind_speed", "weather.visib", "weather.precip", "schedule.hour", "schedule.distance", "plane.seats",
    "carrier_lately.late_share", "origin_lately.late_share", "schedule.carrier", "output",
]  # fmt: skip
HOSTILE = "<script>alert(1)</script>\"onload=x '=cmd()\r\nSet-Cookie: a&amp; http://evil.example/\u202e\x00\ud800"
VOID = {"meta", "link", "br", "img", "hr", "input"}
DRAWN = {"path", "line", "rect", "circle"}


def sample() -> dict[str, Any]:
    """A year like the flights': made up, only for these tests."""
    dice = random.Random(7)
    hard = [0.46 + 0.05 * math.sin(i / 5.5) + dice.gauss(0, 0.014) for i in range(35)]
    gains = {"never": 0.0, "scheduled": 0.017, "scheduled_equal": 0.0205, "mainspring": 0.0215}
    return {
        "schema": 1,
        "project": "flight-delay",
        "question": "Will this flight arrive at least 15 minutes late? Asked at scheduled departure.",
        "period": {"start": START, "end": START + 245 * DAY},
        "generated_at": parse_time("2026-11-23T10:00:00Z"),
        "versions": {"mainspring": "0.1.0", "numpy": "2.4.6", "onnxruntime": "1.23.2"},
        "policies": [policy(name, gain, hard, dice) for name, gain in gains.items()],
        "comparison": {"mainspring_vs_equal": {"difference": -0.0004, "low": -0.0016, "high": 0.0008}},
        "drill": drill(),
        "stages": {"snapshot": 2.1, "features": 3.4, "training (14 fits)": 71.8, "replay": 88.0, "report": 0.4},
        "lineage": [
            {"kind": kind, "id": name, "detail": detail}
            for kind, name, detail in (
                ("prediction", "p-2013121806-7HQX2K4M9TBN3WRA.17", "0.3127, asked 2013-12-18 11:30 UTC"),
                ("release", "8f41c02e9d6b7a55e1f0", "champion version 7 at 100 %, committed 2013-12-03"),
                ("model", "sha256:" + "3f9a" * 16, "version 7, signature verified with key local"),
                ("run", "run-20131202-drift", "trigger: output drift in 2 of 3 windows"),
                ("code", "b7d2e88c10f4", "clean work tree"),
                ("snapshot", "sha256:" + "c04d" * 16, "version 12"),
                ("sources", "flights, weather, planes", "336,776 rows; 26,115 rows; 3,322 rows"),
            )
        ],
        "notes": ["Settings were fixed on January to April.", "Batching: one binary request a tick of six hours."],
    }  # fmt: skip


def policy(name: str, gain: float, hard: list[float], dice: random.Random) -> dict[str, Any]:
    title = {"never": "Never retrained", "scheduled": "Scheduled monthly", "scheduled_equal": "Scheduled, as many",
             "mainspring": "Mainspring's policy"}[name]  # fmt: skip
    loss = [h - gain * min(1.0, i / 9) + dice.gauss(0, 0.003) for i, h in enumerate(hard)]
    trained = 0 if name == "never" else 7
    mean = sum(loss) / 35
    return {
        "name": name, "title": title, "rows": 223_441, "log_loss": mean, "low": mean - 0.011, "high": mean + 0.011,
        "roc_auc": 0.709 + gain * 1.4, "trainings": trained, "promoted": trained - 2 if trained else 0,
        "refused": 1 if trained else 0, "rolled_back": 1 if trained else 0, "train_seconds": trained * 5.13,
        "vs_never": None if name == "never" else paired(-gain * 0.8, 0.003),
        "weekly": [
            {"week": w, "rows": 6384, "log_loss": v, "low": v - 0.018, "high": v + 0.018}
            for w, v in zip(WEEKS, loss, strict=True)
        ],
        "events": events(trained, name == "mainspring"),
        "drift": drift(dice) if name == "mainspring" else {"weeks": [], "columns": [], "psi": [], "drifted": []},
        "rollouts": [rollout(2 + i, START + (16 + 33 * i) * DAY, i == 3) for i in range(trained - 1)],
    }  # fmt: skip


def events(trained: int, ours: bool) -> list[dict[str, Any]]:
    found: list[tuple[Any, ...]] = []
    for i in range(trained):
        at, version = START + (15 + 33 * i) * DAY, i + 2
        found.append((at, "trained", "Trained on all history", "window: all, holdout 14 days", version))
        if i == 5:
            found.append(
                (
                    at + HOUR,
                    "gate_refused",
                    "Refused by the champion gate",
                    "upper bound 0.0131 > margin 0.0100",
                    version,
                )
            )
            continue
        found += [
            (at + d * DAY // 4, "canary_step", f"Canary at {w} %", "", version) for d, w in ((2, 5), (4, 25), (6, 100))
        ]
        last = ("rolled_back", "Rolled back") if i == 3 else ("promoted", "Promoted")
        found.append((at + 2 * DAY, *last, "matured paired quality", version))
    for tick in range(60 if ours else 0):
        at = START + (40 + 3 * tick) * DAY
        found.append((at, "drift_found", "Drift in the output", "PSI 0.14 above 0.09", None))
        if tick % 3:
            found.append(
                (at + HOUR, "retrain_refused", "Not retrained: cooldown", "9 of 14 days since the last training", None)
            )
    return [dict(zip(("at", "kind", "title", "detail", "version"), row, strict=True)) for row in found]


def drift(dice: random.Random) -> dict[str, Any]:
    psi = [
        [
            None if i == 2 and 10 < j < 14 else abs(dice.gauss(0.03, 0.03)) * (5 if i in (0, 9) and 8 < j < 22 else 1)
            for j in range(35)
        ]
        for i in range(len(COLUMNS))
    ]
    return {
        "weeks": WEEKS,
        "columns": COLUMNS,
        "psi": psi,
        "drifted": [[v is not None and v > 0.15 for v in row] for row in psi],
    }


def paired(difference: float, half: float) -> dict[str, Any]:
    return {"difference": difference, "low": difference - half, "high": difference + half}


def rollout(version: int, at: int, bad: bool) -> dict[str, Any]:
    pairs = [0.002 * i if bad else -0.001 * i + 0.002 for i in range(1, 7)]
    return {
        "version": version, "started": at, "ended": at + 42 * HOUR, "outcome": "rolled_back" if bad else "promoted",
        "steps": [{"at": at + h * HOUR, "weight": w} for h, w in ((0, 5), (12, 25), (30, 100))][: 2 if bad else 3],
        "reason": "The lower bound of the difference rose above 0." if bad else "Errors, latency and quality held.",
        "paired": [
            {"at": at + (6 * i + 5) * HOUR} | paired(d, 0.012 / (i + 1)) for i, d in enumerate(pairs)
        ],
    }  # fmt: skip


def drill() -> dict[str, Any]:
    at = START + 160 * DAY
    return {
        "name": "drill", "title": "", "rollouts": [rollout(9, at, True)],
        "events": [{"at": at, "kind": "rolled_back", "title": "Rolled back", "detail": "by quality", "version": 9}],
        "story": ["A challenger was trained whose wind speed is right in the past and in knots from now on.",
                  "It passed the gate. The canary gave it 25 % of requests; quality stopped it after 42 hours."],
    }  # fmt: skip


class Reader(HTMLParser):
    """Reads a page as a browser would and remembers elements, attributes and text; refuses wrong nesting."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def read(page: str) -> Reader:
    """Read a page and check what must hold for every page."""
    page.encode()
    found = Reader(page)
    assert found.open == []
    assert not {"script", "iframe", "object", "embed", "base", "form", "link", "img"} & set(found.tags)
    for tag, name, value in found.attributes:
        assert not name.startswith("on"), (tag, name)
        assert name not in ("src", "srcset", "style", "xlink:href"), (tag, name)
        assert name != "href" or value.startswith("#")
    assert "url(" not in page
    assert "@import" not in page
    assert ("meta", "content", PAGE_POLICY) in found.attributes
    return found


def changed(value: Any, change: Callable[[Any], Any]) -> Any:  # noqa: ANN401 - any JSON
    """Return the value with every leaf changed."""
    if isinstance(value, dict):
        return {key: changed(item, change) for key, item in value.items()}
    return [changed(item, change) for item in value] if isinstance(value, list) else change(value)


def test_a_whole_report_shows_every_section_with_its_numbers() -> None:
    page = read(render(sample()))
    for words in ("lowered log loss by 0.0172", "(interval includes zero)", "223,441 predictions", "version 12",
                  " times, last", "p-2013121806-7HQX2K4M9TBN3WRA.17", "The drill", "Drift in the output"):  # fmt: skip
        assert words in page.text, words
    anchors = {value[1:] for _, name, value in page.attributes if name == "href"}
    assert anchors <= {value for _, name, value in page.attributes if name == "id"}
    assert all(page.tags.count(tag) > 20 for tag in DRAWN)


def test_the_same_report_gives_the_same_page_and_is_left_alone() -> None:
    report = sample()
    assert render(report) == render(report)
    assert report == sample()


def test_hostile_text_in_every_field_stays_text() -> None:
    report = changed(sample(), lambda v: HOSTILE if isinstance(v, str) else v)
    report |= {"versions": {HOSTILE: HOSTILE}, "stages": {HOSTILE: 1.0}}
    for found, named in zip(report["policies"], sample()["policies"], strict=True):
        found["name"] = named["name"]
    page = read(render(report))
    assert page.text.count("<script>alert(1)</script>") > 50
    assert not {"\u202e", "\x00", "\ud800"} & set("".join(page.words))
    read(render(changed(sample(), lambda v: HOSTILE if isinstance(v, str) else v)))


def test_the_page_names_no_address_outside_itself() -> None:
    assert not re.search(r"https?:|//[a-z]", render(sample()))


@pytest.mark.parametrize("missing", sorted(sample()))
def test_any_part_may_be_missing_or_empty(missing: str) -> None:
    report = sample()
    empty = type(report[missing])() if missing != "schema" else 1
    read(render(report | {missing: empty}))
    del report[missing]
    read(render(report))


@pytest.mark.parametrize("missing", sorted(sample()["policies"][3]))
def test_any_part_of_a_policy_may_be_missing_or_null(missing: str) -> None:
    report = sample()
    for found in report["policies"]:
        found[missing] = None
    read(render(report))
    for found in report["policies"]:
        del found[missing]
    read(render(report))


def test_nothing_at_all_still_gives_a_calm_page() -> None:
    page = read(render({}))
    assert "there is no verdict" in page.text
    assert "No policy was replayed yet" in page.text
    assert "svg" not in page.tags


def test_one_week_one_event_and_one_cell_are_drawn() -> None:
    report = sample()
    for found in report["policies"]:
        found["weekly"], found["events"] = found["weekly"][:1], found["events"][:1]
        found["drift"] = {"weeks": WEEKS[:1], "columns": ["output"], "psi": [[0.3]], "drifted": [[True]]}
        found["rollouts"] = [rollout(1, START, False) | {"ended": None, "outcome": "open"} for _ in range(1)]
    page = read(render(report))
    assert "still open" in page.text
    assert "output, week of 1 May 2013: PSI 0.300, drifted" in page.text


def test_another_schema_is_refused() -> None:
    with pytest.raises(InvalidValue, match="schema 2"):
        render({"schema": 2})


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from([None, math.nan, math.inf, -1, 0, 1e300, 10**18, 10**400, "7", True, [], {}]), st.integers(0, 9999)
)
def test_a_wrong_value_anywhere_never_breaks_the_page(wrong: object, seed: int) -> None:
    dice = random.Random(seed)
    report = changed(sample(), lambda v: wrong if dice.random() < 0.1 else v)
    read(render(report | {"schema": 1}))
