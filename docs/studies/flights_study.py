"""Measure the statistics of monitoring on the flights of 2013; docs/studies/flights.md tells what follows from it.

Run `python docs/studies/flights_study.py [--cache FILE]` (two to five minutes on two cores). Settings may be chosen
from the January-April lines only; May-December is there to see whether they hold.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from flights_data import DAY, NUMBERS, TEXT, everything, month_start
from scipy.stats import norm

from mainspring.kernel.times import SECOND
from mainspring.observe.drift.judgement import judge_drift
from mainspring.observe.plans import DriftRule, RetrainPolicy
from mainspring.observe.policy import History, Signals, decide
from mainspring.observe.profiles import TickProfile, add_up, profile
from mainspring.observe.quality import judge_quality
from mainspring.observe.references import reference_profile
from mainspring.stats.blocks import block_sums
from mainspring.stats.bootstrap import bootstrap_difference
from mainspring.stats.intervals import block_interval
from mainspring.stats.metrics import log_loss, log_losses, roc_auc
from mainspring.stats.paired import paired_difference
from mainspring.stats.sequential import harm_evidence

WEEK = 7
Scores = dict[int, np.ndarray]
MARGIN = 0.01


class Stream:
    """The flights with what every part of the study asks for."""

    def __init__(self, flights: pd.DataFrame) -> None:
        self.t = flights["t"].to_numpy()
        self.day = self.t // DAY
        self.late = flights["late"].to_numpy()
        self.columns = {name: flights[name].to_numpy(object if name in TEXT else float) for name in TEXT + NUMBERS}
        self.month = pd.to_datetime(self.t, unit="s").month.to_numpy()

    def days(self, first: int, end: int) -> slice:
        """Rows of the days from `first` to before `end`; the flights are in order of time."""
        return slice(*np.searchsorted(self.day, [first, end]).tolist())

    def between(self, start: int, end: int) -> np.ndarray:
        return (self.t >= start) & (self.t < end)


def title(text: str) -> None:
    print(f"\n## {text}\n")


def pairs(stream: Stream, models: Scores) -> None:
    title("Two models a month apart, on the month after the newer was trained")
    print("| newer | rows | difference | paired sd | unpaired sd | daily means vary | 95 % by row | 95 % by day |")
    print("|---|---|---|---|---|---|---|---|")
    for month in range(4, 13):
        rows = stream.between(month_start(month), month_start(month + 1))
        new, old = (log_losses(stream.late[rows], models[m][rows]) for m in (month, month - 1))
        gap = new - old
        _, totals, counts = block_sums(gap, stream.day[rows])
        daily = (totals / counts)[counts > 500]
        ratio = daily.std() / (gap.std() / np.sqrt(counts.mean()))
        apart = np.hypot(new.std(), old.std())
        wide = 1.96 * gap.std() / np.sqrt(len(gap))
        found = paired_difference(new, old, stream.day[rows])
        print(
            f"| {month:02d} | {rows.sum()} | {gap.mean():+.4f} | {gap.std():.3f} "
            f"| {apart:.3f} | {ratio:.1f}x | +-{wide:.4f} | +-{(found.high - found.low) / 2:.4f} |"
        )


def coverage(stream: Stream, models: Scores) -> None:
    title("Does a 95 % interval of a 14-day holdout hold the mean? (2,000 draws of centred days each)")
    gap = log_losses(stream.late, models[4]) - log_losses(stream.late, models[3])
    rows = stream.t >= month_start(4)
    _, totals, counts = block_sums(gap[rows], stream.day[rows])
    kept = counts > 500
    totals, counts = totals[kept] - totals[kept].sum() / counts[kept].sum() * counts[kept], counts[kept]
    row_sd = gap[rows].std()
    random = np.random.default_rng(0)
    print("| days | rows alone | day t | day bootstrap |\n|---|---|---|---|")
    for days in (5, 7, 14, 28):
        hits = np.zeros(3)
        for _ in range(2000):
            drawn = random.integers(0, len(totals), days)
            total, count = totals[drawn], counts[drawn]
            mean = total.sum() / count.sum()
            hits[0] += abs(mean) <= 1.96 * row_sd / np.sqrt(count.sum())
            found = block_interval(np.repeat(total / count, 2), np.repeat(np.arange(days), 2))
            hits[1] += found.low <= 0 <= found.high
            weights = random.multinomial(days, np.full(days, 1 / days), size=200)
            low, high = np.quantile((weights @ total) / (weights @ count), [0.025, 0.975])
            hits[2] += low <= 0 <= high
        shown = " | ".join(f"{hit / 2000:.1%}" for hit in hits)
        print(f"| {days} | {shown} |")


def gate_power(stream: Stream, models: Scores) -> None:
    title("Champion gate on 14 days before each month: bound <= margin?")
    daily = {}
    for month in range(4, 13):
        rows = stream.between(month_start(month), month_start(month) + 28 * DAY)
        gap = log_losses(stream.late[rows], models[month][rows]) - log_losses(
            stream.late[rows], models[month - 1][rows]
        )
        _, totals, counts = block_sums(gap, stream.day[rows])
        daily[month] = float((totals / counts)[counts > 500].std())
    print("daily sd of the paired difference by month:", {m: round(v, 4) for m, v in daily.items()})
    print(
        "\n| margin | 14 days, equal models pass (April's sd) | (median sd of May-December) | 28 days (May-December) |"
    )
    print("|---|---|---|---|")
    rest = float(np.median([daily[m] for m in range(5, 13)]))
    for margin in (0.005, 0.01, 0.015, 0.02):
        power = [norm.cdf(margin / (sd / np.sqrt(n)) - 1.7) for sd, n in ((daily[4], 14), (rest, 14), (rest, 28))]
        print(f"| {margin} | " + " | ".join(f"{p:.0%}" for p in power) + " |")


def canary(stream: Stream, models: Scores) -> None:
    title("Canary: false aborts and delay of the sequential test, 10 days, level 1 %")
    tests = []
    for month in range(4, 11):
        rows = stream.t >= month_start(month)
        gap = (log_losses(stream.late, models[month]) - log_losses(stream.late, models[month - 1]))[rows]
        names, totals, counts = block_sums(gap - gap.mean(), stream.t[rows] // (DAY // 4))
        tests.append((names, totals, counts, names // 4))
    print("| block | margin | equal models aborted | +0.02 found, days | +0.05 found, days | +0.10 found, days |")
    print("|---|---|---|---|---|---|")
    for width, name in ((1, "6 h"), (4, "day")):
        for margin in (0.0, MARGIN):
            random, false, delays = np.random.default_rng(1), 0, []
            for _ in range(300):
                means = drawn_run(random, tests, width)
                false += first_alarm(means, margin) is not None
                delays.append([first_alarm(means + harm, margin) for harm in (0.02, 0.05, 0.1)])
            per_day = 3.0 if width == 1 else 1.0
            table = np.array([[np.nan if d is None else d / per_day for d in row] for row in delays])
            shown = " | ".join(f"{np.isfinite(column).mean():.0%}, {np.nanmedian(column):.1f}" for column in table.T)
            print(f"| {name} | {margin} | {false / 300:.1%} | {shown} |")


def drawn_run(random: np.random.Generator, tests: list, width: int) -> np.ndarray:
    """Ten days of a pair of models, each day's sign drawn: no difference, the days' own correlation."""
    names, totals, counts, days = tests[random.integers(len(tests))]
    start = random.integers(days[0], days[-1] - 12)
    kept = (days >= start) & (days < start + 10)
    sign = random.choice([-1.0, 1.0], 10)[days[kept] - start]
    place = np.unique(names[kept] // width, return_inverse=True)[1]
    rows = np.bincount(place, counts[kept])
    return (np.bincount(place, totals[kept] * sign) / rows)[rows >= 100]


def first_alarm(means: np.ndarray, margin: float) -> int | None:
    return next((n for n in range(2, len(means) + 1) if harm_evidence(means[:n], margin=margin) >= 100), None)


def signals(stream: Stream, scores: np.ndarray, start: int) -> tuple[list, pd.DataFrame]:
    """Judge every day's 7-day window after `start` for a model trained then."""
    trained = stream.t < start
    at = stream.t * SECOND
    reference = reference_profile(
        {name: values[trained] for name, values in stream.columns.items()}, at[trained], scores[trained]
    )
    days = np.unique(stream.day[stream.t >= start])
    daily: dict[int, TickProfile] = {}
    for day in days:
        rows = stream.days(day, day + 1)
        daily[day] = profile(reference, {n: v[rows] for n, v in stream.columns.items()}, scores[rows])
    found, faults = [], set()
    for end in days[WEEK:]:
        window = add_up(reference, [daily[d] for d in range(end - WEEK, end) if d in daily])
        usual, fixed = judge_drift(reference, window, DriftRule()), judge_drift(reference, window, DriftRule(above=0.2))
        faults |= {(fault.column, fault.detector, str(np.datetime64(end, "M"))) for fault in usual.faults}
        rows = stream.days(end - WEEK, end)
        quality = judge_quality(stream.late[rows], scores[rows], at[rows])
        found.append({
            "end": int(end), "month": int(stream.month[rows][-1]), "features": len(usual.drifted),
            "features_fixed": len(fixed.drifted), "output": usual.output_drifted, "output_fixed": fixed.output_drifted,
            "quality": quality.worse,
        })  # fmt: skip
    return sorted(faults), pd.DataFrame(found)


def firing(stream: Stream, models: Scores) -> None:
    title("7-day windows by month, models trained once and kept: drifted inputs of 21, share that fires")
    for month in (3, 5, 7):
        faults, table = signals(stream, models[month], month_start(month))
        shown = table.drop(columns="end").groupby("month").mean().round(2)
        early, late = table[table["month"] <= 4], table[table["month"] >= 5]
        print(f"trained {month:02d}-01 on all history; faults: {faults}\n")
        print(shown.T.to_string(), "\n")
        for name, part in (("January-April", early), ("May-December", late)):
            if len(part):
                print(name, part.drop(columns=["end", "month"]).mean().round(2).to_dict())
        print()


def policies(stream: Stream, growing: Scores, sliding: Scores) -> None:
    title("What retraining wins (May-December, every flight once; no gate, no canary)")
    rows = stream.between(month_start(5), month_start(13))
    never = growing[3]

    def monthly(models: Scores) -> np.ndarray:
        made = never.copy()
        for month in range(4, 13):
            made = np.where(stream.t >= month_start(month), models[month], made)
        return made

    def triggered() -> tuple[np.ndarray, list[int]]:
        made, trainings = never.copy(), []
        policy = RetrainPolicy(
            when=("output_drift", "quality"), persist=(2, 3), cooldown=14, min_new_labels=5000, budget=(2, 30)
        )
        model = 3
        windows: list[Signals] = []
        tables = {m: signals(stream, growing[m], month_start(m))[1].set_index("end") for m in growing}
        for day in range(month_start(4) // DAY, month_start(13) // DAY):
            row = tables[model].loc[day] if day in tables[model].index else None
            seen = Signals(at=day, output_drift=bool(row is not None and row["output"]),
                           quality=bool(row is not None and row["quality"]))  # fmt: skip
            history = History(since=0, windows=tuple(windows[-5:]), trainings=tuple(trainings), new_labels=9000)
            newest = max(m for m in growing if month_start(m) // DAY <= day)
            if decide(policy, history, seen, day).act and newest != model:
                trainings.append(day)
                model = newest
                made = np.where(stream.day >= day, growing[model], made)
            windows.append(seen)
        return made, trainings

    drifted, trainings = triggered()
    table = {
        "never (January-February)": (never, 0),
        "monthly, all history": (monthly(growing), 9),
        "monthly, sliding three months": (monthly(sliding), 9),
        "triggered (latest monthly model)": (drifted, len(trainings)),
    }
    base = log_losses(stream.late[rows], never[rows])
    print("| policy | trainings | log loss | AUC | against never, 95 % by day |\n|---|---|---|---|---|")
    for name, (scores, count) in table.items():
        losses = log_losses(stream.late[rows], scores[rows])
        found = bootstrap_difference(losses, base, stream.day[rows])
        print(
            f"| {name} | {count} | {log_loss(stream.late[rows], scores[rows]):.4f} "
            f"| {roc_auc(stream.late[rows], scores[rows]):.4f} "
            f"| {found.difference:+.4f} ({found.low:+.4f} to {found.high:+.4f}) |"
        )
    print("\ntriggered on:", [str(np.datetime64(day, "D")) for day in trainings])


def main() -> int:
    cache = Path(sys.argv[sys.argv.index("--cache") + 1]) if "--cache" in sys.argv else None
    flights, growing, sliding = everything(cache)
    stream = Stream(flights)
    print(f"{len(flights)} flights with an outcome, {stream.late.mean():.1%} late")
    pairs(stream, growing)
    coverage(stream, growing)
    gate_power(stream, growing)
    canary(stream, growing)
    firing(stream, growing)
    policies(stream, growing, sliding)
    return 0


if __name__ == "__main__":
    sys.exit(main())
